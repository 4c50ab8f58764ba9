"""Group commit: rows that arrive while a commit runs are written together by the next one."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from operator import methodcaller
from typing import Generic, TypeVar

from musicrec.errors import EventStoreError

T = TypeVar("T")
R = TypeVar("R")
W = TypeVar("W")


class GroupCommit(Generic[T, W]):
    """Calls `write` in one thread with all rows that have arrived, in order; `add` returns after the commit of its rows.

    write: commits its rows in one transaction; an exception is raised in every `add` of that transaction.
    max_waiting: the most rows that wait, which bounds memory; `add` raises EventStoreError for further ones.
    """

    def __init__(self, write: Callable[[Sequence[T]], W], max_waiting: int = 20_000) -> None:
        self._write, self._max_waiting = write, max_waiting
        self._waiting: list[tuple[Sequence[T], asyncio.Future[W]]] = []
        self._rows_waiting = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="event-writer")
        self._committing: asyncio.Task[None] | None = None

    async def add(self, rows: Sequence[T]) -> W:
        """What `write` gave for the transaction that holds all rows, once it is committed."""
        if self._rows_waiting + len(rows) > self._max_waiting:
            raise EventStoreError(f"{self._rows_waiting} events already wait for the disk; try again later.")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[W] = loop.create_future()
        self._waiting.append((rows, future))
        self._rows_waiting += len(rows)
        if self._committing is None or self._committing.done():
            self._committing = loop.create_task(self._commit_all())
        return await future

    async def between(self, work: Callable[[], R]) -> R:
        """What `work` gives, run in the writing thread between two commits."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def close(self) -> None:
        """Return when all waiting rows are committed and the thread has ended."""
        if self._committing is not None:
            await self._committing
        self._thread.shutdown()

    async def _commit_all(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            batch, self._waiting, self._rows_waiting = self._waiting, [], 0
            settle: Callable[[asyncio.Future[W]], None]
            try:
                found = await loop.run_in_executor(self._thread, self._write, [row for rows, _ in batch for row in rows])
            except Exception as cause:
                settle = methodcaller("set_exception", cause)
            else:
                settle = methodcaller("set_result", found)
            for _, future in batch:
                if not future.done():
                    settle(future)
