"""The features service: similar items of an item, or of many at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from musicrec.serving.application import add, answer, application
from musicrec.serving.lookup import Grouped, grouped
from musicrec.serving.parameters import MAX_ID, Number, Numbers, read
from musicrec.serving.served import Place, Served

K_ALIASES = ("n", "limit", "top_k", "n_recs", "n_recommendations")


class Similar(BaseModel):
    """Similar items, most similar first, and their scores; both empty for an unknown item."""

    item_id_2: list[int]
    score: list[float]


class SimilarBatch(BaseModel):
    """One entry for each item asked about, in the order of the request."""

    similar: list[Similar]


def create_app(place: Place, max_k: int) -> FastAPI:
    """The app over the artifacts at `place`; a request may ask for at most `max_k` items. It loads the current run when it starts."""
    served: Served[Grouped] = Served(place, ("similar",), lambda run_id, folders: grouped(folders["similar"], "item_id_2"))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await asyncio.to_thread(served.refresh)
        yield

    item_id = Number("item_id", "The item asked about.", MAX_ID, aliases=("track_id",), example=99262)
    item_ids = Numbers("item_ids", "The items asked about.", MAX_ID, most=100)
    k = Number("k", "Most items to answer with.", max_k, 10, 1, K_ALIASES, 10)

    def similar(item: int, k: int) -> dict[str, Any]:
        items, scores = served.mapped.of(item)
        return {"item_id_2": items[:k].tolist(), "score": scores[:k].tolist()}

    async def similar_items(request: Request) -> Response:
        """Items like this one, most similar first."""
        item, n = await read(request, item_id, k)
        return answer(similar(item, n))

    async def similar_items_batch(request: Request) -> Response:
        """Items like each of these, in one call."""
        items, n = await read(request, item_ids, k)
        return answer({"similar": [similar(item, n) for item in items]})

    app = application("features", "Similar items of a track.", lifespan,
                      lambda: {"run_id": served.run and served.run.run_id, "items": len(served.mapped.keys)},
                      lambda: None if served.run else "no run is loaded yet")
    add(app, "/similar_items", similar_items, Similar, item_id, k)
    add(app, "/similar_items/batch", similar_items_batch, SimilarBatch, item_ids, k, methods=("POST",))
    return app
