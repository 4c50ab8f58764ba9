"""Run a notebook in a kernel of this Python: a progress bar over its cells, and a line per chapter that is over."""

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
from musicrec.progress import progress


class _Chapters:
    """Which cell runs, in a bar; the number, title and seconds of each chapter that is over, in a line."""

    def __init__(self, titles: list[str]) -> None:
        self.titles, self.order = titles, list(dict.fromkeys(titles))
        self.title, self.cell, self.began = "", 0, 0.0
        self.bar = progress(total=len(titles), unit="cell")

    def enter(self, cell_index: int) -> None:
        title = self.titles[cell_index]
        self.bar.update(cell_index - self.cell)
        self.cell = cell_index
        if title != self.title:
            self.leave()
            self.title, self.began = title, time.monotonic()
            self.bar.set_description(title, refresh=False)

    def leave(self) -> None:
        if self.title:
            number = f"{self.order.index(self.title) + 1}/{len(self.order)}"
            self.bar.write(f"  {number:>5}  {self.title:<60} {time.monotonic() - self.began:6.1f} s")

    def close(self) -> None:
        self.leave()
        self.bar.close()

    async def tick(self) -> None:
        """Keep the clock of the bar going while a cell runs."""
        while True:
            await asyncio.sleep(1)
            self.bar.refresh()


def execute(notebook: Any, name: str, folder: Path, environ: Mapping[str, str]) -> None:
    """Execute all cells of `notebook` in place, in `folder` and with `environ`, printing a line per chapter.

    Bars within cells are left out, since outputs are kept. Raises NotebookError when a cell fails or the kernel dies; the outputs so far
    are then in the notebook. Ctrl-C and SIGTERM end the kernel, and then do what they did before the call.
    """
    shown, stopped_by = _Chapters(chapters(notebook)), 0
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    async def started(cell: Any, cell_index: int) -> None:
        # nbclient would take Ctrl-C for a dead kernel; cancelling its task ends the kernel in order
        for number in handlers:
            asyncio.get_running_loop().add_signal_handler(number, stop, number, asyncio.current_task())
        shown.enter(cell_index)

    def stop(number: int, running: asyncio.Task[Any] | None) -> None:
        nonlocal stopped_by
        stopped_by = number
        if running:
            running.cancel()

    async def run() -> None:
        clock = asyncio.create_task(shown.tick())
        try:
            await client.async_execute(env={**environ, "TQDM_DISABLE": "1"})
        finally:
            clock.cancel()

    # log level 50: what the kernel's own log says about its sockets and about Ctrl-C helps nobody who reads chapters
    client = NotebookClient(notebook, timeout=None, on_cell_start=started, extra_arguments=["--log-level=50"],
                            resources={"metadata": {"path": str(folder)}})
    try:
        asyncio.run(run())
    except CellExecutionError as cause:
        raise _failed(name, shown, f"{cause.ename}: {cause.evalue}") from None
    except (DeadKernelError, asyncio.CancelledError):
        if not stopped_by:
            raise _failed(name, shown, "the kernel died, most often because memory ran out; lower [engine] memory_limit "
                                       "or use a larger machine") from None
    finally:
        shown.close()
        for number, handler in handlers.items():
            signal.signal(number, handler)
    if stopped_by:
        signal.raise_signal(stopped_by)


def _failed(name: str, shown: _Chapters, why: str) -> NotebookError:
    return NotebookError(f"{name}, chapter {shown.title!r}, cell {shown.cell + 1}: {why.rstrip('.')}.")
