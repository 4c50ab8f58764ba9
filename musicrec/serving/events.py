"""The events service: stores plays, answers with the latest."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict
from starlette.requests import Request
from starlette.responses import Response

from musicrec.errors import EventStoreError
from musicrec.events import EventStore, Impression
from musicrec.serving.application import add, application
from musicrec.serving.gate import Guards
from musicrec.serving.metrics import Metrics
from musicrec.serving.parameters import K_ALIASES, MAX_BATCH, MAX_ID, Number, Numbers, Shown, read
from musicrec.serving.readiness import StoreWork
from musicrec.serving.responses import answer


class Stored(BaseModel):
    """It is on disk."""

    model_config = ConfigDict(json_schema_extra={"example": {"result": "ok"}})
    result: str


class LatestPlays(BaseModel):
    """Items, the latest first, none twice."""

    model_config = ConfigDict(json_schema_extra={"example": {"events": [597196, 590303, 99262]}})
    events: list[int]


class LatestPlaysBatch(BaseModel):
    """One list for each user asked about, in the order of the request."""

    events: list[list[int]]


def create_app(opened: Callable[[], EventStore], guards: Guards, max_k: int) -> FastAPI:
    """The app over the store that `opened` opens at the start; a request may ask for at most `max_k` plays."""
    stores: list[EventStore] = []

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        stores.append(opened())
        try:
            yield
        finally:
            await stores.pop().close()

    user_id = Number("user_id", "The listener.", MAX_ID, example=617032)
    item_id = Number("item_id", "The track that was played.", MAX_ID, aliases=("track_id",), example=99262)
    user_ids = Numbers("user_ids", "The listeners.", MAX_ID, MAX_BATCH, example=(617032, 1291248))
    shown = Shown()
    k = Number("k", "Most plays to answer with.", max_k, 10, 1, K_ALIASES, 10)

    def store() -> EventStore:
        if not stores:
            raise EventStoreError("the event store is not open; wait until the service is ready.")
        return stores[0]

    work = StoreWork(lambda: store().check())

    async def put(request: Request) -> Response:
        """Store a play; answers when it is on disk."""
        user, item = await read(request, user_id, item_id)
        await work.done("put", store().put(user, item))
        return answer({"result": "ok"})

    async def get(request: Request) -> Response:
        """The latest plays of a user, newest first; an empty list for an unknown user."""
        user, n = await read(request, user_id, k)
        return answer({"events": await work.done("get", store().latest(user, n))})

    async def get_batch(request: Request) -> Response:
        """The latest plays of many users, in one call."""
        users, n = await read(request, user_ids, k)
        return answer({"events": [await work.done("get", store().latest(user, n)) for user in users]})

    async def impressions(request: Request) -> Response:
        """Store what was shown to whom; answers when it is on disk."""
        rows, = await read(request, shown)
        now = int(time.time() * 1e6)
        shown_now = [Impression(user, item, source, position, now) for user, item, source, position in rows]
        await work.done("impressions", store().put_impressions(shown_now))
        return answer({"result": "ok"})

    app = application(Metrics("events"), "Stores plays and answers with the latest.", lifespan, lambda: {"store": type(stores[0]).__name__},
                      work.readiness, guards)
    add(app, "/put", put, Stored, user_id, item_id, methods=("POST",))
    add(app, "/get", get, LatestPlays, user_id, k)
    add(app, "/get/batch", get_batch, LatestPlaysBatch, user_ids, k, methods=("POST",))
    add(app, "/impressions", impressions, Stored, shown, methods=("POST",))
    return app
