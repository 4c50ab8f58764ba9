"""Clients of the events and the features service: one pooled session, one deadline, one retry, and a circuit breaker each."""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple, TypeVar, cast

import aiohttp
from pydantic import Field, TypeAdapter, ValidationError
from pydantic_core import from_json, to_json

from musicrec.errors import ServiceError
from musicrec.serving.access_log import REQUEST_ID
from musicrec.serving.blending import SimilarItems
from musicrec.serving.event_schemas import RememberedItems
from musicrec.serving.grouping import GroupedCalls
from musicrec.serving.keys import Key
from musicrec.serving.metrics import Metrics
from musicrec.serving.schemas import MAX_BATCH, MAX_KEY
from musicrec.settings.sections import ServiceSettings, keys_in

T = TypeVar("T")
_JITTER_S = (0.002, 0.015)
# Users who are asked about together: what is stored of them is read and understood in a few milliseconds.
_GROUPED = 20
# The most items of a question that is asked with others: together they are no more than a call may ask for.
_ITEMS_GROUPED = 4 * MAX_BATCH // _GROUPED
# A batch of 1,000 users asks for 3,000 items with 100 similar ones each, about 8 MB.
_MAX_ANSWER = 32 << 20
_WHOLE_NUMBERS, _NUMBERS = TypeAdapter(list[Annotated[int, Field(ge=0, lt=2**31)]]), TypeAdapter(list[float])
_REMEMBERED = TypeAdapter(list[RememberedItems])


class CircuitBreaker:
    """Closed at first. Opens after `failures` in a row; after `pause_s` one call is let through, whose outcome closes or reopens it.

    Calls that were under way together fail together, so they count once: a service that stands still for a moment under load
    is not left alone for long. `clock` returns seconds that only grow.

    >>> now = [1.0]
    >>> breaker = CircuitBreaker(failures=2, pause_s=2, clock=lambda: now[0])
    >>> breaker.failed(began=0.8); breaker.failed(began=0.9); breaker.allows()
    True
    >>> breaker.failed(began=1.0); breaker.allows()
    False
    >>> now[0] = 3.5; (breaker.allows(), breaker.allows())
    (True, False)
    >>> breaker.succeeded(); breaker.allows()
    True
    """

    def __init__(self, failures: int, pause_s: float, clock: Callable[[], float]) -> None:
        self.failures, self.pause_s, self.clock = failures, pause_s, clock
        self._in_a_row, self._counted_at, self._open_until = 0, 0.0, 0.0

    def allows(self) -> bool:
        """Whether a call may be made now. While open, a yes counts as the trial, so that no second one follows at once."""
        if self._in_a_row < self.failures:
            return True
        if self.clock() < self._open_until:
            return False
        self._open_until = self.clock() + self.pause_s
        return True

    def succeeded(self) -> None:
        """A call went well."""
        self._in_a_row = 0

    def failed(self, began: float) -> None:
        """A call that was made at the moment `began` failed."""
        if began >= self._counted_at:
            self._in_a_row += 1
            self._counted_at = self.clock()
            self._open_until = self._counted_at + self.pause_s


def session() -> aiohttp.ClientSession:
    """A pool of connections without what our services do not need: cookies, compression, and a time limit beside each call's deadline."""
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=256), cookie_jar=aiohttp.DummyCookieJar(),
                                 timeout=aiohttp.ClientTimeout(), auto_decompress=False,
                                 skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent"))


class Client:
    """A client of the service at `url`, called `name` in messages; calls without an answer are counted in `metrics`."""

    name = ""

    def __init__(self, session: aiohttp.ClientSession, url: str, options: ServiceSettings, metrics: Metrics) -> None:
        self.session, self.url, self._failures = session, url.rstrip("/"), metrics.failures.labels(self.name)
        self.breaker = CircuitBreaker(options.breaker_failures, options.breaker_pause_s, asyncio.get_running_loop().time)
        keys = keys_in(options.api_key)
        self.headers = {"Content-Type": "application/json", **({"X-API-Key": keys[0]} if keys else {})}

    async def call(self, route: str, body: Mapping[str, Any] | bytes, deadline: float, parse: Callable[[dict[str, Any]], T],
                   retry: bool = True) -> T:
        """What `parse` makes of the JSON object that POST `route` answers before `deadline` (time of the event loop).

        Raises ServiceError, as `parse` may. With `retry` a call that fails before the deadline is made a second time: only for
        what may happen twice.
        """
        if not self.breaker.allows():
            raise ServiceError(f"{self.name} service at {self.url} is left alone for a moment after {self.breaker.failures} failures")
        began = self.breaker.clock()
        try:
            async with asyncio.timeout_at(deadline):
                try:
                    answer = await self._post(route, body)
                except ServiceError:
                    if not retry:
                        raise
                    await asyncio.sleep(random.uniform(*_JITTER_S))
                    answer = await self._post(route, body)
                found = parse(answer)
        except (TimeoutError, ServiceError) as cause:
            self.breaker.failed(began)
            self._failures.inc()
            if isinstance(cause, ServiceError):
                raise
            raise ServiceError(f"{self.name} service at {self.url} did not answer in time") from None
        self.breaker.succeeded()
        return found

    def nonsense(self) -> ServiceError:
        """The error for an answer that cannot be understood."""
        return ServiceError(f"{self.name} service at {self.url} answered nonsense")

    async def _post(self, route: str, body: Mapping[str, Any] | bytes) -> dict[str, Any]:
        headers = {**self.headers, "X-Request-Id": REQUEST_ID.get()}
        try:
            # A redirect would carry the API key to another address.
            data = body if isinstance(body, bytes) else to_json(body)
            async with self.session.post(self.url + route, data=data, headers=headers, allow_redirects=False) as response:
                if response.status != 200:
                    raise ServiceError(f"{self.name} service at {self.url} answered with status {response.status}")
                if response.content_length is None or response.content_length > _MAX_ANSWER:
                    response.close()
                    raise ServiceError(f"{self.name} service at {self.url} answered with more than {_MAX_ANSWER:,} bytes")
                found = from_json(await response.read())
        except (aiohttp.ClientError, OSError) as cause:
            raise ServiceError(f"{self.name} service at {self.url} is not reachable ({type(cause).__name__})") from None
        except ValueError:
            raise self.nonsense() from None
        if not isinstance(found, dict):
            raise self.nonsense()
        return found


class StoredOfUser(NamedTuple):
    """What the events service knows of a user: the latest plays, and what it remembers."""

    plays: list[Key]
    remembered: RememberedItems


class EventsClient(Client):
    """Latest plays, what is remembered, and excluded users; and where exposures go."""

    name = "events"

    def __init__(self, session: aiohttp.ClientSession, url: str, options: ServiceSettings, metrics: Metrics) -> None:
        super().__init__(session, url, options, metrics)
        self._grouped: GroupedCalls[tuple[Key, int, bool], StoredOfUser | None] = GroupedCalls(
            lambda asked, deadline: self.latest([user for user, _, _ in asked], asked[0][1], deadline, asked[0][2]), _GROUPED)

    async def latest_of(self, user: Key, k: int, deadline: float, are_ids: bool) -> StoredOfUser | None:
        """As `latest` for one user, asked together with others whose questions come while a call is under way."""
        return await self._grouped.answer((user, k, are_ids), deadline)

    async def latest(self, users: Sequence[Key], k: int, deadline: float, are_ids: bool) -> list[StoredOfUser | None]:
        """At most k plays, newest first, and what is remembered of each user, None for an excluded one, in one call; raises ServiceError.

        are_ids: whether items can be nothing but ids.
        """
        understood = _whole_numbers if are_ids else _keys

        def stored(answer: dict[str, Any]) -> list[StoredOfUser | None]:
            found, blocked, rows = answer.get("events"), answer.get("blocked", []), answer.get("remembered")
            if len(users) == 1:
                found, blocked, rows = [found], [0] if blocked is True else blocked, [rows]
            if not isinstance(found, list) or len(found) != len(users) or not all(understood(items, k) for items in found):
                raise self.nonsense()
            if not _whole_numbers(blocked, len(users)):
                raise self.nonsense()
            if rows in (None, [None]):  # where the service does not say, it is the plays
                rows = [{"items": items, "feedback": []} for items in found]
            remembered = self._remembered(rows, len(users))
            return [None if at in blocked else StoredOfUser(*both) for at, both in enumerate(zip(found, remembered))]

        more = {"k": k, "remembered": True}
        if len(users) == 1:
            return await self.call("/get", {"user_id": users[0], **more}, deadline, stored)
        return await self.call("/get/batch", {"user_ids": list(users), **more}, deadline, stored)

    def _remembered(self, rows: object, users: int) -> list[RememberedItems]:
        try:
            remembered = _REMEMBERED.validate_python(rows)
        except ValidationError:
            raise self.nonsense() from None
        if len(remembered) != users:
            raise self.nonsense()
        return remembered

    async def excluded(self, deadline: float) -> set[Key]:
        """The excluded users; raises ServiceError."""
        def users(answer: dict[str, Any]) -> set[Key]:
            found = answer.get("excluded")
            if not _keys(found, _MAX_ANSWER):
                raise self.nonsense()
            return set(found)  # type: ignore[arg-type]

        return await self.call("/users/excluded", {}, deadline, users)


class FeaturesClient(Client):
    """Similar items."""

    name = "features"

    def __init__(self, session: aiohttp.ClientSession, url: str, options: ServiceSettings, metrics: Metrics) -> None:
        super().__init__(session, url, options, metrics)
        self._grouped: GroupedCalls[tuple[Sequence[int], int], dict[int, SimilarItems]] = GroupedCalls(self._similar_of_all, _GROUPED)

    async def similar_of(self, item_ids: Sequence[int], k: int, deadline: float) -> dict[int, SimilarItems]:
        """As `similar`, and perhaps of other items too: few items are asked for together with those of questions that come meanwhile."""
        if 0 < len(item_ids) <= _ITEMS_GROUPED:
            return await self._grouped.answer((item_ids, k), deadline)
        return await self.similar(item_ids, k, deadline)

    async def _similar_of_all(self, asked: Sequence[tuple[Sequence[int], int]], deadline: float) -> list[dict[int, SimilarItems]]:
        found = await self.similar(list(dict.fromkeys(item for item_ids, _ in asked for item in item_ids)), asked[0][1], deadline)
        return [found] * len(asked)

    async def similar(self, item_ids: Sequence[int], k: int, deadline: float) -> dict[int, SimilarItems]:
        """At most k similar items of each item, in one call; raises ServiceError."""
        def similar(answer: dict[str, Any]) -> dict[int, SimilarItems]:
            found = answer.get("similar")
            if not isinstance(found, list) or len(found) != len(item_ids):
                raise self.nonsense()
            return {item: self._similar_items(item, entry, k) for item, entry in zip(item_ids, found)}

        body = {"item_ids": list(item_ids), "k": k, "ids": True}
        return await self.call("/similar_items/batch", body, deadline, similar) if item_ids else {}

    def _similar_items(self, item: int, entry: object, k: int) -> SimilarItems:
        items, scores = (entry.get("item_id_2"), entry.get("score")) if isinstance(entry, dict) else (None, None)
        if not isinstance(items, list) or not isinstance(scores, list) or len(items) != len(scores) or not _whole_numbers(items, k):
            raise self.nonsense()
        if not _fits(_NUMBERS, scores):
            raise self.nonsense()
        return SimilarItems(item, items, scores)




def _keys(values: object, most: int) -> bool:
    return isinstance(values, list) and len(values) <= most and all(
        0 <= value < 2**63 if type(value) is int else isinstance(value, str) and len(value) <= MAX_KEY for value in values)


def _whole_numbers(values: object, most: int) -> bool:
    return _fits(_WHOLE_NUMBERS, values) and len(cast(list[int], values)) <= most


def _fits(kind: TypeAdapter[Any], values: object) -> bool:
    try:
        kind.validate_python(values, strict=True)
    except ValidationError:
        return False
    return True
