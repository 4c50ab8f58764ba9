"""What was shown to whom, told to the events service in the background: an answer never waits for it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

from musicrec.errors import ServiceError
from musicrec.serving.background import background
from musicrec.serving.blending import Pick
from musicrec.serving.metrics import Metrics
from musicrec.serving.neighbours import Neighbour

_MOST_WAITING = 50_000
_AT_ONCE = 500


class Impressions:
    """A bounded queue; what does not fit, or what the events service does not take, is dropped and counted."""

    def __init__(self, events: Neighbour, metrics: Metrics, timeout_s: float) -> None:
        self.events, self.metrics, self.timeout_s = events, metrics, timeout_s
        self._waiting: asyncio.Queue[dict[str, Any]] = asyncio.Queue(_MOST_WAITING)

    def add(self, user_id: int, picks: Sequence[Pick]) -> None:
        """Tell that `picks` were shown to the user, the first at position 0."""
        for position, pick in enumerate(picks):
            try:
                self._waiting.put_nowait({"user_id": user_id, "item_id": pick.item_id, "source": pick.source, "position": position})
            except asyncio.QueueFull:
                self.metrics.impressions_lost.inc(len(picks) - position)
                return

    @contextlib.asynccontextmanager
    async def told(self) -> AsyncIterator[None]:
        """Send in the background until the block ends, then send what still waits."""
        try:
            async with background(self._send_for_ever()):
                yield
        finally:
            while not self._waiting.empty():
                await self._send([self._waiting.get_nowait() for _ in range(min(_AT_ONCE, self._waiting.qsize()))])

    async def _send_for_ever(self) -> None:
        while True:
            batch = [await self._waiting.get()]
            batch += [self._waiting.get_nowait() for _ in range(min(_AT_ONCE - 1, self._waiting.qsize()))]
            await self._send(batch)

    async def _send(self, batch: list[dict[str, Any]]) -> None:
        deadline = asyncio.get_running_loop().time() + self.timeout_s
        try:
            await self.events.answer("/impressions", {"impressions": batch}, deadline, dict, again=False)
        except ServiceError:
            self.metrics.impressions_lost.inc(len(batch))
