"""The musicrec command for tests: in this process, or as a process of its own."""

import contextlib
import os
import signal
import sys
from collections.abc import Iterator, Mapping

import pytest

from musicrec.cli import main

MUSICREC = (sys.executable, "-m", "musicrec")


@contextlib.contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """These variables and no others inside; those from before afterwards."""
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


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
