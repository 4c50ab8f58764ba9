"""Run a notebook in a kernel of this Python, one line of progress a chapter."""

import asyncio
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError

from musicrec.errors import NotebookError
from musicrec.notebook.chapters import chapters


class _Progress:
    """One line a chapter: its number and title when it begins, its seconds when it ends."""

    def __init__(self, titles: list[str]) -> None:
        self.titles, self.order = titles, list(dict.fromkeys(titles))
        self.title, self.cell, self.began = "", 0, 0.0

    def enter(self, cell_index: int) -> None:
        self.cell, title = cell_index, self.titles[cell_index]
        if title != self.title:
            self.end()
            self.title, self.began = title, time.monotonic()
            print(f"  {self.order.index(title) + 1:>2}/{len(self.order)}  {title:<60}", end="", flush=True)

    def end(self) -> None:
        if self.title:
            print(f" {time.monotonic() - self.began:6.1f} s", flush=True)


def execute(notebook: Any, name: str, folder: Path, environ: Mapping[str, str]) -> None:
    """Execute all cells of `notebook` in place, in `folder` and with `environ`, printing a line a chapter.

    Raises NotebookError when a cell fails or the kernel dies; the outputs so far are then in the notebook. Ctrl-C and SIGTERM end the
    kernel, and then do what they did before the call.
    """
    progress, stopped_by = _Progress(chapters(notebook)), 0
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    async def started(cell: Any, cell_index: int) -> None:
        # nbclient would take Ctrl-C for a dead kernel; cancelling its task ends the kernel in order
        for number in handlers:
            asyncio.get_running_loop().add_signal_handler(number, stop, number, asyncio.current_task())
        progress.enter(cell_index)

    def stop(number: int, running: asyncio.Task[Any] | None) -> None:
        nonlocal stopped_by
        stopped_by = number
        if running:
            running.cancel()

    # log level 50: what the kernel's own log says about its sockets and about Ctrl-C helps nobody who reads chapters
    client = NotebookClient(notebook, timeout=None, on_cell_start=started, extra_arguments=["--log-level=50"],
                            resources={"metadata": {"path": str(folder)}})
    try:
        asyncio.run(client.async_execute(env=dict(environ)))
    except CellExecutionError as cause:
        raise _failed(name, progress, f"{cause.ename}: {cause.evalue}") from None
    except (DeadKernelError, asyncio.CancelledError):
        if not stopped_by:
            raise _failed(name, progress, "the kernel died, most often because memory ran out; lower [engine] memory_limit "
                                          "or use a larger machine") from None
    finally:
        progress.end()
        for number, handler in handlers.items():
            signal.signal(number, handler)
    if stopped_by:
        signal.raise_signal(stopped_by)


def _failed(name: str, progress: _Progress, why: str) -> NotebookError:
    return NotebookError(f"{name}, chapter {progress.title!r}, cell {progress.cell + 1}: {why.rstrip('.')}.")
