"""What each stage of a run takes: seconds on the clock and of a core, and the highest memory of the process during it."""

import ctypes
import logging
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pyarrow as pa

log = logging.getLogger(__name__)
_PROCESS = Path("/proc/self")
# Written there, it makes Linux forget the highest memory so far.
_FORGET_PEAK = "5"


@dataclass(frozen=True)
class Stages:
    """The stages measured so far, in the order in which they began; those inside another one have a name of two parts."""

    rows: list[dict[str, object]] = field(default_factory=list)
    _open: list[str] = field(default_factory=list)

    @contextmanager
    def measured(self, name: str, *, fits: bool = False) -> Iterator[None]:
        """Measure what happens inside as stage `name`, also when it fails. A stage inside another counts in both.

        fits: the stage is the fit of the model `name`, see last_fits. Before a stage begins, memory that earlier work has freed is given
        back to the system; when it has succeeded, its row is logged as INFO, inside another stage as
        DEBUG.
        """
        self._open.append(name)
        row: dict[str, object] = {"stage": ": ".join(self._open), "model": name if fits else None}
        self.rows.append(row)
        _give_back_memory()
        if len(self._open) == 1:
            _forget_peak()
        clock, core = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            row |= {"seconds": time.perf_counter() - clock, "core_seconds": time.process_time() - core, "peak_gb": _peak_gb()}
            self._open.pop()
        level = logging.DEBUG if self._open else logging.INFO
        log.log(level, "%(stage)s: %(seconds).1f s, %(core_seconds).1f s of a core, peak %(peak_gb).2f GB", row)

    def table(self) -> pd.DataFrame:
        """Columns stage, seconds, core_seconds, peak_gb; peak_gb is that of the process since the outermost stage began, on systems
        other than Linux since the process began. Stages that are not over have no figures.

        >>> stages = Stages()
        >>> with stages.measured("backtest"), stages.measured("als", fits=True):
        ...     pass
        >>> stages.table()["stage"].tolist()
        ['backtest', 'backtest: als']
        """
        return pd.DataFrame(self.rows, columns=["stage", "seconds", "core_seconds", "peak_gb"])

    def last_fits(self) -> pd.DataFrame:
        """fit_seconds and peak_gb of the last fit of each model that is over, by the model's name."""
        fits = {row["model"]: (row["seconds"], row["peak_gb"]) for row in self.rows if row["model"] is not None and "seconds" in row}
        return pd.DataFrame.from_dict(fits, orient="index", columns=["fit_seconds", "peak_gb"])


def _give_back_memory() -> None:
    # Allocators keep what was freed for themselves, after some hours of work gigabytes of it.
    pa.default_memory_pool().release_unused()
    if sys.platform.startswith("linux"):
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


def _forget_peak() -> None:
    try:
        (_PROCESS / "clear_refs").write_text(_FORGET_PEAK)
    except OSError:
        return


def _peak_gb() -> float:
    try:
        status = (_PROCESS / "status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 2**20
    except (OSError, IndexError):
        bytes_a_unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * bytes_a_unit / 2**30
