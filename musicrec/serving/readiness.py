"""Whether a service can do its work now: what it did in the last seconds tells, else a cheap real check."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple, TypeVar

from musicrec.errors import EventStoreError

T = TypeVar("T")
_NEVER = float("-inf")
_RECENT_S, _CHECK_EVERY_S, _CHECK_TAKES_S = 2.0, 1.0, 2.0


class Readiness(NamedTuple):
    """Why a service cannot answer now, and what it lacks although it answers."""

    problem: str | None = None
    degraded: str | None = None


class StoreWork:
    """What is asked of an event store, by kind (put, get), and how it went.

    `check` tries the store for real. It runs once a second at most, however often the question comes, and one at a time.
    """

    def __init__(self, check: Callable[[], Awaitable[None]], clock: Callable[[], float] = time.monotonic) -> None:
        self.check, self.clock = check, clock
        self._succeeded: dict[str, float] = {}
        self._failed: dict[str, tuple[float, str]] = {}
        self._checked: tuple[float, asyncio.Task[str | None]] | None = None

    async def done(self, kind: str, work: Awaitable[T]) -> T:
        """What `work` gives; raises what it raises."""
        try:
            found = await work
        except EventStoreError as cause:
            self._failed[kind] = self.clock(), str(cause)
            raise
        self._succeeded[kind] = self.clock()
        return found

    async def readiness(self) -> Readiness:
        """Not ready while all work of one kind fails, or without recent puts the check does."""
        since = self.clock() - _RECENT_S
        for kind, (at, sentence) in self._failed.items():
            if at > since and self._succeeded.get(kind, _NEVER) <= since:
                return Readiness(sentence)
        if self._succeeded.get("put", _NEVER) > since:
            return Readiness()
        return Readiness(await self._problem())

    async def _problem(self) -> str | None:
        now = self.clock()
        if self._checked is None or (self._checked[1].done() and now - self._checked[0] > _CHECK_EVERY_S):
            self._checked = now, asyncio.create_task(self._outcome())
        try:
            async with asyncio.timeout(_CHECK_TAKES_S):
                return await asyncio.shield(self._checked[1])
        except TimeoutError:
            return f"the event store has not answered a check within {_CHECK_TAKES_S:g} seconds; see whether its disk or server hangs"

    async def _outcome(self) -> str | None:
        try:
            await self.check()
        except EventStoreError as cause:
            return str(cause)
        return None
