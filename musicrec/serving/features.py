"""The features service: similar items of an item, or of many at once."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from musicrec.serving.access_control import charge
from musicrec.serving.app import Json, Operation, application, background
from musicrec.serving.lookup import Grouped, grouped
from musicrec.serving.metrics import Metrics
from musicrec.serving.model_store import ModelStore, Watch, add_reload
from musicrec.serving.parameters import limited, read
from musicrec.serving.schemas import Similar, SimilarBatch, SimilarBatchRequest, SimilarRequest
from musicrec.serving.turns import Turns
from musicrec.settings import Settings


def create_app(settings: Settings, environment: Mapping[str, str]) -> FastAPI:
    """The app; it loads the current run when it starts, and looks for later ones. `environment` holds the S3 secrets."""
    max_k, metrics = settings.blending.max_k, Metrics("features")
    store: ModelStore[Grouped] = ModelStore(settings.artifacts, environment, ("similar",),
                                            lambda run_id, folders: grouped(folders["similar"], "item_id_2"))
    watch, turns = Watch(store, metrics), Turns()
    item_model, batch_model = limited(SimilarRequest, max_k), limited(SimilarBatchRequest, max_k)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await watch.start()
        async with background(watch.look_for_ever(settings.service.poll_s)):
            yield

    def similar(run: Grouped, item: int, k: int) -> dict[str, Any]:
        items, scores = run.of(item)
        return {"item_id_2": items[:k].tolist(), "score": scores[:k].tolist()}

    async def similar_items(request: Request) -> Response:
        """Items like this one, most similar first."""
        asked = await read(request, item_model)
        return Json(similar(store.mapped, asked.item_id, asked.k))

    async def similar_items_batch(request: Request) -> Response:
        """Items like each of these, in one call."""
        asked = await read(request, batch_model)
        charge(request, len(asked.item_ids))
        run = store.mapped  # one run for all, also when another is taken up between two turns
        parts = await turns.each(lambda item: to_json(similar(run, item, asked.k)), asked.item_ids)
        return Json(b'{"similar":[' + b",".join(parts) + b"]}")

    operations = [Operation("/similar_items", similar_items, item_model, Similar, hot=True),
                  Operation("/similar_items/batch", similar_items_batch, batch_model, SimilarBatch, ("POST",), hot=True)]
    app = application(metrics, "Similar items of a track.", settings.service, operations, lifespan,
                      lambda: {"items": len(store.mapped.keys), **watch.state()}, watch.readiness)
    add_reload(app, watch, settings.service.reload_key)
    return app
