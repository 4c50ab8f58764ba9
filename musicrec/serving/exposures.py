"""What was shown to whom: how the recommendations service tells the events service, and in which form."""

import asyncio
import random
from collections.abc import Iterator
from typing import Annotated, NamedTuple

from pydantic import Field
from pydantic_core import to_json

from musicrec.errors import ServiceError
from musicrec.serving.answers import Answer
from musicrec.serving.clients import EventsClient
from musicrec.serving.keys import Key
from musicrec.serving.lookup import Lookup
from musicrec.serving.metrics import Metrics
from musicrec.serving.schemas import MAX_ID, Id, Parameters, ShownBy

RECOMMENDATION_ID = "X-Recommendation-Id"
_MOST_WAITING = 5_000
# Items of one exposure, so that even with the longest keys it fits into a body, and bytes of exposures that are sent together.
_ITEMS, _BYTES = 200, 60_000
_MAX_EXPOSURES = 1000


def new_recommendation_id() -> str:
    """An id for one answer. It need not be unguessable, only rare, and is made without asking the kernel."""
    return f"{random.getrandbits(64):016x}"


class ShownList(ShownBy):
    """Items that were shown to a user below each other: the first at position `first`, each from the source that stands at its place in
    `sources`; their propensities where there are some."""

    user_id: Id
    item_ids: Annotated[list[Annotated[int, Field(strict=True, ge=0, le=MAX_ID)]], Field(min_length=1, max_length=_ITEMS)]
    sources: Annotated[list[Annotated[str, Field(max_length=50)]], Field(min_length=1, max_length=_ITEMS)]
    first: Id = 0
    propensities: Annotated[tuple[Annotated[float, Field(gt=0, le=1)], ...], Field(max_length=_ITEMS)] = ()

    @property
    def is_even(self) -> bool:
        """Whether there are as many sources, and propensities if any, as items."""
        return len(self.item_ids) == len(self.sources) == len(self.propensities or self.sources)


class ExposuresRequest(Parameters):
    """What was shown to whom, a list at a time."""

    exposures: Annotated[list[ShownList], Field(min_length=1, max_length=_MAX_EXPOSURES, description="Lists that were shown.", examples=[
        [{"user_id": 617032, "item_ids": [99262, 590303], "sources": ["personal", "online"], "recommendation_id": "5f0c6a1de2b34978"}]])]


class _Shown(NamedTuple):
    user: Key
    answer: Answer
    lookup: Lookup
    recommendation_id: str
    first: int

    def bodies(self) -> Iterator[tuple[bytes, int]]:
        """As JSON, and how many items, in as many parts as it takes."""
        keys, answer = self.lookup.items, self.answer
        for start in range(0, len(answer.item_ids), _ITEMS):
            part = slice(start, start + _ITEMS)
            ids = answer.item_ids[part]
            body = {"user_id": self.user, "item_ids": [keys.key_of(item) for item in ids] if keys.kind else ids,
                    "sources": answer.sources[part], "first": self.first + start, "run": self.lookup.run_id,
                    "recommendation_id": self.recommendation_id}
            yield to_json(body), len(ids)


class Exposures:
    """What was shown to whom, sent to the events service in the background, so that an answer never waits for it.

    What does not fit into the bounded queue, or what the events service does not take, is dropped and counted.
    """

    def __init__(self, events: EventsClient, metrics: Metrics, timeout_s: float) -> None:
        self.events, self.metrics, self.timeout_s = events, metrics, timeout_s
        self._waiting: asyncio.Queue[_Shown] = asyncio.Queue(_MOST_WAITING)

    def add(self, user: Key, answer: Answer, lookup: Lookup, recommendation_id: str, first: int) -> None:
        """Note that the answer was shown to the user, its first item at position `first`."""
        try:
            self._waiting.put_nowait(_Shown(user, answer, lookup, recommendation_id, first))
        except asyncio.QueueFull:
            self.metrics.impressions_lost.inc(len(answer.item_ids))

    async def send_for_ever(self) -> None:
        """Send whatever comes, as much at once as waits and fits."""
        while True:
            await self._send(await self._waiting.get())

    async def send_waiting(self) -> None:
        """Send what waits now."""
        while not self._waiting.empty():
            await self._send(self._waiting.get_nowait())

    async def _send(self, first: _Shown) -> None:
        parts, size, items = list[bytes](), 0, 0
        shown: _Shown | None = first
        while shown is not None:
            for body, count in shown.bodies():
                if size + len(body) > _BYTES or len(parts) == _MAX_EXPOSURES:
                    await self._post(parts, items)
                    parts, size, items = [], 0, 0
                parts.append(body)
                size, items = size + len(body) + 1, items + count
            shown = None if size > _BYTES // 2 or self._waiting.empty() else self._waiting.get_nowait()
        if parts:
            await self._post(parts, items)

    async def _post(self, parts: list[bytes], items: int) -> None:
        deadline = asyncio.get_running_loop().time() + self.timeout_s
        try:
            await self.events.call("/exposures", b'{"exposures":[' + b",".join(parts) + b"]}", deadline, dict, retry=False)
        except ServiceError:
            self.metrics.impressions_lost.inc(items)
