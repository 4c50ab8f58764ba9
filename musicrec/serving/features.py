"""The features service: similar items of an item, or of many at once."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, SecretStr
from starlette.requests import Request
from starlette.responses import Response

from musicrec.serving.application import add, application
from musicrec.serving.gate import Guards
from musicrec.serving.lookup import Grouped, grouped
from musicrec.serving.metrics import Metrics
from musicrec.serving.parameters import K_ALIASES, MAX_BATCH, MAX_ID, Number, Numbers, read
from musicrec.serving.responses import answer
from musicrec.serving.served import Place, Served
from musicrec.serving.watch import Watch, add_reload


class Similar(BaseModel):
    """Similar items, most similar first, and their scores; both empty for an unknown item."""

    model_config = ConfigDict(json_schema_extra={"example": {"item_id_2": [590303, 597196], "score": [0.93, 0.88]}})
    item_id_2: list[int]
    score: list[float]


class SimilarBatch(BaseModel):
    """One entry for each item asked about, in the order of the request."""

    similar: list[Similar]


def create_app(place: Place, guards: Guards, max_k: int, poll_s: float, reload_key: SecretStr) -> FastAPI:
    """The app over the artifacts at `place`. It loads the current run when it starts, and looks for later ones every `poll_s` seconds."""
    served: Served[Grouped] = Served(place, ("similar",), lambda run_id, folders: grouped(folders["similar"], "item_id_2"))
    metrics = Metrics("features")
    watch = Watch(served, metrics)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with watch.kept(poll_s):
            yield

    item_id = Number("item_id", "The item asked about.", MAX_ID, aliases=("track_id",), example=99262)
    item_ids = Numbers("item_ids", "The items asked about.", MAX_ID, most=4 * MAX_BATCH)
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

    app = application(metrics, "Similar items of a track.", lifespan, lambda: _state(served) | watch.state(),
                      watch.readiness, guards)
    add(app, "/similar_items", similar_items, Similar, item_id, k)
    add(app, "/similar_items/batch", similar_items_batch, SimilarBatch, item_ids, k, methods=("POST",))
    add_reload(app, watch, reload_key)
    return app


def _state(served: Served[Grouped]) -> dict[str, object]:
    run = served.run
    return {"run_id": run and run.run_id, "published_at": run and run.created_at, "items": len(served.mapped.keys)}
