"""The progress bar of long work: one at a time, on a terminal and in a Jupyter notebook."""

import sys
import threading
from collections.abc import Iterable
from typing import Any
from weakref import WeakSet

from tqdm import tqdm

_bars: WeakSet[Any] = WeakSet()
_lock = threading.Lock()
# Work that is over sooner needs no bar.
SECONDS = 1.0
LARGE = 10_000


def progress(parts: Iterable[Any] | None = None, title: str | None = None, *, total: int | None = None, unit: str = "it",
             unit_scale: bool | None = None) -> Any:
    """A tqdm bar with rate and estimate, over `parts` or moved on by its update(n); it disappears when the work is over.

    Nothing is shown where neither a terminal nor a notebook reads the output, and inside the work of another bar. In a notebook the
    environment variable TQDM_DISABLE=1 hides it. unit_scale: numbers such as 1.5k; where None, for a total of at least LARGE.
    """
    scale = (total or 0) >= LARGE if unit_scale is None else unit_scale
    with _lock:
        if any(not bar.disable for bar in _bars):
            shown: dict[str, Any] = {"disable": True}
        elif type(sys.stdout).__module__ == "ipykernel.iostream":
            # What goes to stderr has a red background there. Without `disable` tqdm asks TQDM_DISABLE.
            shown = {"file": sys.stdout, "ncols": 100}
        else:
            shown = {"disable": None}
        bar = tqdm(parts, title, total, leave=False, unit=unit, unit_scale=scale, delay=SECONDS, **shown)
        _bars.add(bar)
    return bar
