"""Ctrl-C and SIGTERM end a command in order, with one sentence."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import typer


class Terminated(KeyboardInterrupt):
    """SIGTERM came; whatever Ctrl-C ends in order, this does as well."""


def terminated(signal_number: int, frame: Any) -> NoReturn:
    """The handler of SIGTERM."""
    raise Terminated


@contextmanager
def stoppable(kept: str) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end the block with "Stopped by ...; {kept}" on stderr and exit code 130 or 143."""
    try:
        yield
    except (KeyboardInterrupt, RuntimeError, SystemError) as cause:
        stop = interruption(cause)
        if stop is None:
            raise
        by, code = ("SIGTERM", 143) if isinstance(stop, Terminated) else ("Ctrl-C", 130)
        print(f"\nStopped by {by}; {kept}", file=sys.stderr)
        raise typer.Exit(code) from None


def interruption(cause: BaseException | None) -> KeyboardInterrupt | None:
    """The KeyboardInterrupt behind an error, if there is one: DuckDB and numba hand it on as the cause of one of their own."""
    while cause is not None and not isinstance(cause, KeyboardInterrupt):
        cause = cause.__cause__ or cause.__context__
    return cause
