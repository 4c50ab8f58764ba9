"""Questions that come while a call is under way, asked together by the next one."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Q = TypeVar("Q")
R = TypeVar("R")


class GroupedCalls(Generic[Q, R]):
    """Calls `ask` with at most `most` questions and the earliest deadline of theirs, one call at a time, which begin `apart_s` apart.

    One question alone is asked at once. Under load a call costs many times less for each: it is the calls that take time, not the answers.
    """

    def __init__(self, ask: Callable[[Sequence[Q], float], Awaitable[Sequence[R]]], most: int, apart_s: float = 0.003) -> None:
        self._ask, self._most, self._apart_s, self._next = ask, most, apart_s, 0.0
        self._waiting: list[tuple[Q, float, asyncio.Future[R]]] = []
        self._asking: asyncio.Task[None] | None = None

    async def answer(self, question: Q, deadline: float) -> R:
        """What `ask` says to the question before `deadline` (time of the event loop); raises what its call raised."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[R] = loop.create_future()
        self._waiting.append((question, deadline, future))
        if self._asking is None or self._asking.done():
            self._asking = loop.create_task(self._ask_all())
        return await future

    async def _ask_all(self) -> None:
        now = asyncio.get_running_loop().time
        while self._waiting:
            if (wait := self._next - now()) > 0:
                await asyncio.sleep(wait)
            self._next = now() + self._apart_s
            batch, self._waiting = self._waiting[:self._most], self._waiting[self._most:]
            open_ = [future for _, _, future in batch]
            try:
                found = await self._ask([question for question, _, _ in batch], min(deadline for _, deadline, _ in batch))
            except Exception as cause:
                for future in open_:
                    if not future.done():
                        future.set_exception(cause)
            else:
                for future, one in zip(open_, found):
                    if not future.done():
                        future.set_result(one)
