"""What was shown to whom: how the recommendations service tells the events service, and in which form."""

import asyncio
import random
import time
from collections import deque
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field
from pydantic_core import to_json

from musicrec.errors import ServiceError
from musicrec.serving.answers import Answer
from musicrec.serving.clients import EventsClient
from musicrec.serving.keys import Key
from musicrec.serving.lookup import Lookup
from musicrec.serving.metrics import Metrics
from musicrec.serving.schemas import MAX_BATCH, MAX_ID, Id, Parameters, ShownBy

RECOMMENDATION_ID = "X-Recommendation-Id"
_MOST_WAITING = 5_000
# Items of one exposure, so that even with the longest keys it fits into a body, and bytes of exposures that are sent together.
_ITEMS, _BYTES = 200, 60_000
_PAUSE_S = 0.25
# Of a request that failed.
NO_ANSWER = Answer((), (), (), (), "failed", ("the answer itself",))


def new_recommendation_id() -> str:
    """An id for one answer. It need not be unguessable, only rare, and is made without asking the kernel."""
    return f"{random.getrandbits(64):016x}"


class ShownList(ShownBy):
    """Items that were shown to a user, if one is known, below each other: the first at position `first`, each from the source that stands
    at its place in `sources`, or all from the only one; their propensities where there are some; the milliseconds that the answer took."""

    user_id: Id | None = None
    item_ids: Annotated[list[Annotated[int, Field(strict=True, ge=0, le=MAX_ID)]], Field(max_length=_ITEMS)]
    sources: Annotated[list[Annotated[str, Field(max_length=50)]], Field(max_length=_ITEMS)]
    first: Id = 0
    propensities: Annotated[tuple[Annotated[float, Field(gt=0, le=1)], ...], Field(max_length=_ITEMS)] = ()
    ms: Annotated[float, Field(ge=0)] | None = None
    outcome: Literal["", "degraded", "failed"] = ""

    @property
    def is_even(self) -> bool:
        """Whether there are as many sources, unless there is one, and propensities, unless there are none, as items."""
        return (len(self.sources) == 1 or len(self.sources) == len(self.item_ids)) and len(self.propensities) in (0, len(self.item_ids))


class ExposuresRequest(Parameters):
    """What was shown to whom, a list at a time."""

    exposures: Annotated[list[ShownList], Field(min_length=1, max_length=MAX_BATCH, description="Lists that were shown.", examples=[
        [{"user_id": 617032, "item_ids": [99262, 590303], "sources": ["personal", "online"], "recommendation_id": "5f0c6a1de2b34978"}]])]


class Shown(NamedTuple):
    """What an exposure says beside the answer: the user, where one is known, the position of the first item, and when answering began, by
    time.perf_counter(), where it is known how long that took."""

    user: Key | None
    recommendation_id: str
    variant: str = ""
    first: int = 0
    began: float | None = None


class Exposures:
    """What was shown to whom, sent to the events service in the background, so that an answer never waits for it.

    Of what does not fit into the bounded queue, or what the events service does not take, the items are dropped and counted.
    """

    def __init__(self, events: EventsClient, metrics: Metrics, timeout_s: float) -> None:
        self.events, self.metrics, self.timeout_s = events, metrics, timeout_s
        self._waiting: deque[tuple[bytes, int]] = deque()

    def add(self, answer: Answer, lookup: Lookup, shown: Shown) -> None:
        """Note an answer. As JSON it is small enough to wait."""
        more: dict[str, Any] = {"outcome": "failed" if answer is NO_ANSWER else "degraded"} if answer.degraded else {}
        if shown.user is not None:
            more["user_id"] = shown.user
        if shown.began is not None:
            more["ms"] = round((time.perf_counter() - shown.began) * 1000, 2)
        for start in range(0, len(answer.item_ids) or 1, _ITEMS):
            part = slice(start, start + _ITEMS)
            ids, sources, propensities = answer.item_ids[part], answer.sources[part], answer.propensities[part]
            if len(self._waiting) >= _MOST_WAITING:
                self.metrics.impressions_lost.inc(len(ids))
                continue
            sources = sources[:1] if len(set(sources)) == 1 else sources
            body = {"item_ids": list(map(lookup.items.key_of, ids)) if lookup.items.kind else ids, "sources": sources,
                    "first": shown.first + start, "run": lookup.run_id, "recommendation_id": shown.recommendation_id,
                    "variant": shown.variant, "propensities": propensities, **more}
            self._waiting.append((to_json(body), len(ids)))

    async def send_for_ever(self) -> None:
        """Send what has come, again and again."""
        while True:
            await asyncio.sleep(_PAUSE_S)
            await self.send_waiting()

    async def send_waiting(self) -> None:
        """Send what waits now, as much at once as fits into a body."""
        while self._waiting:
            parts, size, items = list[bytes](), 0, 0
            while self._waiting and size + len(self._waiting[0][0]) < _BYTES and len(parts) < MAX_BATCH:
                body, count = self._waiting.popleft()
                parts.append(body)
                size, items = size + len(body) + 1, items + count
            deadline = asyncio.get_running_loop().time() + self.timeout_s
            try:
                await self.events.call("/exposures", b'{"exposures":[' + b",".join(parts) + b"]}", deadline, dict, retry=False)
            except ServiceError:
                self.metrics.impressions_lost.inc(items)
