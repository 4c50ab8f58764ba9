"""The two services that the recommendations service asks: one pooled aiohttp session, a total time-out, one sentence on failure."""

import asyncio
from collections.abc import Sequence
from typing import Any

import aiohttp

from musicrec.errors import ServiceError

Similar = tuple[int, list[int], list[float]]


class Neighbour:
    """A service at `url`, called `name` in messages; every call ends within `timeout_s` or raises ServiceError."""

    def __init__(self, session: aiohttp.ClientSession, name: str, url: str, timeout_s: float) -> None:
        self.session, self.name, self.url, self.timeout_s = session, name, url.rstrip("/"), timeout_s

    async def answer(self, route: str, body: dict[str, Any]) -> dict[str, Any]:
        """The JSON object that POST `route` answers to `body`."""
        try:
            async with asyncio.timeout(self.timeout_s), self.session.post(self.url + route, json=body) as response:
                if response.status != 200:
                    raise ServiceError(f"{self.name} service at {self.url} answered with status {response.status}")
                found = await response.json(content_type=None)
        except TimeoutError:
            raise ServiceError(f"{self.name} service at {self.url} did not answer within {round(self.timeout_s * 1000)} ms") from None
        except (aiohttp.ClientError, OSError) as cause:
            raise ServiceError(f"{self.name} service at {self.url} is not reachable ({type(cause).__name__})") from None
        except ValueError:
            raise self.nonsense() from None
        if not isinstance(found, dict):
            raise self.nonsense()
        return found

    def nonsense(self) -> ServiceError:
        """The error for an answer that cannot be understood."""
        return ServiceError(f"{self.name} service at {self.url} answered nonsense")


class Plays:
    """Latest plays, from the events service."""

    def __init__(self, neighbour: Neighbour) -> None:
        self.neighbour = neighbour

    async def latest(self, user_id: int, k: int) -> list[int]:
        """At most k items, newest first; raises ServiceError."""
        found = (await self.neighbour.answer("/get", {"user_id": user_id, "k": k})).get("events")
        if not _whole_numbers(found):
            raise self.neighbour.nonsense()
        return list(found or [])


class SimilarItems:
    """Similar items, from the features service."""

    def __init__(self, neighbour: Neighbour) -> None:
        self.neighbour = neighbour

    async def of(self, item_ids: Sequence[int], k: int) -> list[Similar]:
        """(item, its similar items, their scores) for each of `item_ids`, in one call; raises ServiceError."""
        found = (await self.neighbour.answer("/similar_items/batch", {"item_ids": list(item_ids), "k": k})).get("similar")
        if not isinstance(found, list) or len(found) != len(item_ids):
            raise self.neighbour.nonsense()
        return [(item, *self._pair(entry)) for item, entry in zip(item_ids, found)]

    def _pair(self, entry: object) -> tuple[list[int], list[float]]:
        items, scores = (entry.get("item_id_2"), entry.get("score")) if isinstance(entry, dict) else (None, None)
        if not isinstance(items, list) or not isinstance(scores, list) or len(items) != len(scores) or not _whole_numbers(items):
            raise self.neighbour.nonsense()
        if not all(isinstance(score, int | float) for score in scores):
            raise self.neighbour.nonsense()
        return items, scores


def _whole_numbers(values: object) -> bool:
    return isinstance(values, list) and all(type(value) is int and 0 <= value < 2**31 for value in values)
