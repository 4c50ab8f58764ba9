"""The events service: stores plays, answers with the latest, and is ready when the store does its work."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from musicrec.errors import EventStoreError
from musicrec.events import EventStore, Impression, event_store
from musicrec.serving.access_control import charge
from musicrec.serving.app import Json, Operation, Readiness, application
from musicrec.serving.metrics import Metrics
from musicrec.serving.parameters import limited, read
from musicrec.serving.schemas import (
    ImpressionsRequest,
    LatestPlays,
    LatestPlaysBatch,
    LatestPlaysRequest,
    PlayRequest,
    Stored,
    UsersRequest,
)
from musicrec.settings import Settings

T = TypeVar("T")
_DAY_S = 86_400
_NEVER = float("-inf")
_USERS_AT_ONCE = 20
_RECENT_S, _CHECK_EVERY_S, _CHECK_TAKES_S = 2.0, 1.0, 2.0


class StoreHealth:
    """Whether an event store does its work, by kind (put, get): what it did in the last seconds tells, else a cheap real check.

    `check` tries the store for real. It runs once a second at most, however often the question comes, and one at a time.
    """

    def __init__(self, check: Callable[[], Awaitable[None]], clock: Callable[[], float] = time.monotonic) -> None:
        self.check, self.clock = check, clock
        self._succeeded: dict[str, float] = {}
        self._failed: dict[str, tuple[float, str]] = {}
        self._checked: tuple[float, asyncio.Task[str | None]] | None = None

    async def watch(self, kind: str, work: Awaitable[T]) -> T:
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


def create_app(settings: Settings) -> FastAPI:
    """The app; it opens the event store that the settings name when it starts."""
    section = settings.events
    stores: list[EventStore] = []
    plays_model, batch_model = limited(LatestPlaysRequest, settings.blending.max_k), limited(UsersRequest, settings.blending.max_k)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        stores.append(event_store(section.store, section.path.get_secret_value(), section.per_user, section.max_age_days * _DAY_S or None,
                                  section.log_rows))
        try:
            yield
        finally:
            await stores.pop().close()

    def store() -> EventStore:
        if not stores:
            raise EventStoreError("the event store is not open; wait until the service is ready.")
        return stores[0]

    health = StoreHealth(lambda: store().check())

    async def put(request: Request) -> Response:
        """Store a play; answers when it is on disk."""
        play = await read(request, PlayRequest)
        await health.watch("put", store().put(play.user_id, play.item_id))
        return Json({"result": "ok"})

    async def get(request: Request) -> Response:
        """The latest plays of a user, newest first; an empty list for an unknown user."""
        asked = await read(request, plays_model)
        return Json({"events": await health.watch("get", store().latest(asked.user_id, asked.k))})

    async def get_batch(request: Request) -> Response:
        """The latest plays of many users, in one call."""
        asked = await read(request, batch_model)
        charge(request, len(asked.user_ids))
        found = []
        for at, user in enumerate(asked.user_ids):
            if at % _USERS_AT_ONCE == _USERS_AT_ONCE - 1:
                await asyncio.sleep(0)  # so that a large batch does not hold up everybody else
            found.append(await health.watch("get", store().latest(user, asked.k)))
        return Json({"events": found})

    async def impressions(request: Request) -> Response:
        """Store what was shown to whom; answers when it is on disk."""
        now = int(time.time() * 1e6)
        shown = (await read(request, ImpressionsRequest)).impressions
        charge(request, len(shown))
        rows = [Impression(one.user_id, one.item_id, one.source, one.position, now) for one in shown]
        await health.watch("impressions", store().put_impressions(rows))
        return Json({"result": "ok"})

    operations = [Operation("/put", put, PlayRequest, Stored, ("POST",), hot=True),
                  Operation("/get", get, plays_model, LatestPlays, hot=True),
                  Operation("/get/batch", get_batch, batch_model, LatestPlaysBatch, ("POST",)),
                  Operation("/impressions", impressions, ImpressionsRequest, Stored, ("POST",))]
    return application(Metrics("events"), "Stores plays and answers with the latest.", settings.service, operations, lifespan,
                       lambda: {"store": type(store()).__name__}, health.readiness)
