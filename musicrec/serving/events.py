"""The events service: stores plays, answers with the latest."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from musicrec.errors import EventStoreError
from musicrec.event_stores import EventStore
from musicrec.serving.application import add, answer, application
from musicrec.serving.features import K_ALIASES
from musicrec.serving.parameters import MAX_ID, Number, read


class Stored(BaseModel):
    """The play is on disk."""

    result: str


class LatestPlays(BaseModel):
    """Items, the latest first, none twice."""

    events: list[int]


def create_app(opened: Callable[[], EventStore], max_k: int) -> FastAPI:
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
    k = Number("k", "Most plays to answer with.", max_k, 10, 1, K_ALIASES, 10)

    def store() -> EventStore:
        if not stores:
            raise EventStoreError("the event store is not open; wait until the service is ready.")
        return stores[0]

    async def put(request: Request) -> Response:
        """Store a play; answers when it is on disk."""
        user, item = await read(request, user_id, item_id)
        await store().put(user, item)
        return answer({"result": "ok"})

    async def get(request: Request) -> Response:
        """The latest plays of a user, newest first; an empty list for an unknown user."""
        user, n = await read(request, user_id, k)
        return answer({"events": await store().latest(user, n)})

    app = application("events", "Stores plays and answers with the latest.", lifespan, lambda: {"store": type(stores[0]).__name__},
                      lambda: None if stores else "the event store is not open")
    add(app, "/put", put, Stored, user_id, item_id, methods=("POST",))
    add(app, "/get", get, LatestPlays, user_id, k)
    return app
