"""How a command of musicrec ends: well, or with one sentence on stderr."""

import sys
from collections.abc import Callable

from musicrec.errors import MusicRecError


def exit_code(act: Callable[[], object]) -> int:
    """0 when `act` ends well; 1 after the sentence of a MusicRecError. Whatever else it raises, Ctrl-C included, passes."""
    try:
        act()
    except MusicRecError as cause:
        print(cause, file=sys.stderr)
        return 1
    return 0
