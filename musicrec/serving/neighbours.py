"""The two services that the recommendations service asks: one pooled session, one deadline, one retry, one circuit breaker each."""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import aiohttp
from pydantic_core import from_json, to_json

from musicrec.errors import ServiceError
from musicrec.serving.breaker import Breaker
from musicrec.serving.logs import REQUEST_ID

T = TypeVar("T")
Similar = tuple[int, list[int], list[float]]
_JITTER_S = (0.002, 0.015)


def session() -> aiohttp.ClientSession:
    """A pool of connections without what neighbours need not: cookies, compression, and a time limit beside the deadline of each call."""
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=256), cookie_jar=aiohttp.DummyCookieJar(),
                                 timeout=aiohttp.ClientTimeout(), auto_decompress=False,
                                 skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent"))


class Neighbour:
    """A service at `url`, called `name` in messages.

    `failed` is told every call that got no answer, for the metrics.
    """

    def __init__(self, session: aiohttp.ClientSession, name: str, url: str, breaker: Breaker, failed: Callable[[], None],
                 headers: Mapping[str, str]) -> None:
        self.session, self.name, self.url, self.breaker = session, name, url.rstrip("/"), breaker
        self.failed, self.headers = failed, {"Content-Type": "application/json", **headers}

    async def answer(self, route: str, body: Mapping[str, Any], deadline: float, understood: Callable[[dict[str, Any]], T],
                     again: bool = True) -> T:
        """What `understood` reads from the JSON object that POST `route` answers before `deadline` (time of the event loop).

        Raises ServiceError, as `understood` may. With `again` a call that fails before the deadline is made a second time: only for
        what may happen twice.
        """
        if not self.breaker.allows():
            raise ServiceError(f"{self.name} service at {self.url} is left alone for a moment after {self.breaker.failures} failures")
        began = self.breaker.clock()
        try:
            async with asyncio.timeout_at(deadline):
                found = understood(await (self._twice(route, body) if again else self._once(route, body)))
        except (TimeoutError, ServiceError) as cause:
            self.breaker.failed(began)
            self.failed()
            if isinstance(cause, ServiceError):
                raise
            raise ServiceError(f"{self.name} service at {self.url} did not answer in time") from None
        self.breaker.succeeded()
        return found

    def nonsense(self) -> ServiceError:
        """The error for an answer that cannot be understood."""
        return ServiceError(f"{self.name} service at {self.url} answered nonsense")

    async def _twice(self, route: str, body: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return await self._once(route, body)
        except ServiceError:
            await asyncio.sleep(random.uniform(*_JITTER_S))
            return await self._once(route, body)

    async def _once(self, route: str, body: Mapping[str, Any]) -> dict[str, Any]:
        headers = {**self.headers, "X-Request-Id": REQUEST_ID.get()}
        try:
            async with self.session.post(self.url + route, data=to_json(body), headers=headers) as response:
                if response.status != 200:
                    raise ServiceError(f"{self.name} service at {self.url} answered with status {response.status}")
                found = from_json(await response.read())
        except (aiohttp.ClientError, OSError) as cause:
            raise ServiceError(f"{self.name} service at {self.url} is not reachable ({type(cause).__name__})") from None
        except ValueError:
            raise self.nonsense() from None
        if not isinstance(found, dict):
            raise self.nonsense()
        return found


class Plays:
    """Latest plays, from the events service."""

    def __init__(self, neighbour: Neighbour) -> None:
        self.neighbour = neighbour

    async def latest(self, user_ids: Sequence[int], k: int, deadline: float) -> list[list[int]]:
        """At most k items, newest first, for each user, in one call; raises ServiceError."""
        def plays(answer: dict[str, Any]) -> list[list[int]]:
            found = [answer.get("events")] if len(user_ids) == 1 else answer.get("events")
            if not isinstance(found, list) or len(found) != len(user_ids) or not all(map(_whole_numbers, found)):
                raise self.neighbour.nonsense()
            return found

        if len(user_ids) == 1:
            return await self.neighbour.answer("/get", {"user_id": user_ids[0], "k": k}, deadline, plays)
        return await self.neighbour.answer("/get/batch", {"user_ids": list(user_ids), "k": k}, deadline, plays)


class SimilarItems:
    """Similar items, from the features service."""

    def __init__(self, neighbour: Neighbour) -> None:
        self.neighbour = neighbour

    async def of(self, item_ids: Sequence[int], k: int, deadline: float) -> dict[int, Similar]:
        """(item, its similar items, their scores) by item, in one call; raises ServiceError."""
        def similar(answer: dict[str, Any]) -> dict[int, Similar]:
            found = answer.get("similar")
            if not isinstance(found, list) or len(found) != len(item_ids):
                raise self.neighbour.nonsense()
            return {item: (item, *self._pair(entry)) for item, entry in zip(item_ids, found)}

        if not item_ids:
            return {}
        return await self.neighbour.answer("/similar_items/batch", {"item_ids": list(item_ids), "k": k}, deadline, similar)

    def _pair(self, entry: object) -> tuple[list[int], list[float]]:
        items, scores = (entry.get("item_id_2"), entry.get("score")) if isinstance(entry, dict) else (None, None)
        if not isinstance(items, list) or not isinstance(scores, list) or len(items) != len(scores) or not _whole_numbers(items):
            raise self.neighbour.nonsense()
        if not all(isinstance(score, int | float) for score in scores):
            raise self.neighbour.nonsense()
        return items, scores


def _whole_numbers(values: object) -> bool:
    return isinstance(values, list) and all(type(value) is int and 0 <= value < 2**31 for value in values)
