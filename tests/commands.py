"""The musicrec command for tests: in this process, or as a process of its own."""

import signal
import sys

import pytest

from musicrec.cli import main

MUSICREC = (sys.executable, "-m", "musicrec")


def exit_code(*arguments: object) -> int:
    """What `musicrec` with these arguments ends with, run in this process."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
    finally:
        signal.signal(signal.SIGTERM, before)
    assert ended.value.code is None or isinstance(ended.value.code, int)
    return ended.value.code or 0
