"""Processes of this machine's services without their imports: forked from a process that has done them once."""

import multiprocessing
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

# What the interpreter or a library reads before the first line of a service runs, so that a fork comes too late for it.
READ_AT_START = ("PYTHONPATH", "PROMETHEUS_MULTIPROC_DIR")
_FORKSERVER = multiprocessing.get_context("forkserver")
_FORKSERVER.set_forkserver_preload(["uvicorn.main", *(f"musicrec.serving.{name}" for name in ("recommendations", "features", "events")),
                                    __name__])


def is_possible(environment: Mapping[str, str]) -> bool:
    """Whether a fork of this process sees these variables as a process of its own would."""
    return all(environment.get(name) == os.environ.get(name) for name in READ_AT_START)


class Forked:
    """`python -m uvicorn` with these arguments, as far as tests use a subprocess.Popen: real, killable, with an exit code."""

    def __init__(self, arguments: Sequence[str], folder: Path, environment: Mapping[str, str], log: Path) -> None:
        self._process = _FORKSERVER.Process(target=_uvicorn, args=(arguments, folder, dict(environment), log))
        self._process.start()
        assert self._process.pid
        self.pid: int = self._process.pid

    def poll(self) -> int | None:
        """The exit code, -n for a signal; None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, when it has ended. Raises TimeoutExpired."""
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            raise subprocess.TimeoutExpired("uvicorn", timeout or 0)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it with SIGKILL."""
        self.send_signal(signal.SIGKILL)


def _uvicorn(arguments: Sequence[str], folder: Path, environment: Mapping[str, str], log: Path) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    with log.open("ab") as file:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(file.fileno(), stream.fileno())
    warnings.simplefilter("default")
    sys.path[0:0] = [str(folder)]
    from uvicorn.main import main

    main(list(arguments))
