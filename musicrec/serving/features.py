"""The features service: similar items of an item, or of many at once."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from pydantic_core import to_json
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from musicrec.serving.access_control import charge
from musicrec.serving.app import Json, Operation, application, background
from musicrec.serving.keys import Key, KeyIndex, key_index
from musicrec.serving.lookup import Grouped, grouped
from musicrec.serving.metrics import Metrics
from musicrec.serving.model_store import ModelStore, Watch, reload_router
from musicrec.serving.parameters import P, keyed, limited, read
from musicrec.serving.schemas import Similar, SimilarBatch, SimilarBatchRequest, SimilarRequest
from musicrec.serving.turns import Turns
from musicrec.settings import Settings


class Features(NamedTuple):
    """What the service knows of one run."""

    similar: Grouped
    items: KeyIndex


def _features(run_id: str, folders: dict[str, Path]) -> Features:
    return Features(grouped(folders["similar"], "item_id_2"), key_index(folders.get("item_keys")))


def create_app(settings: Settings, environment: Mapping[str, str]) -> Starlette:
    """The app; it loads the current run when it starts, and looks for later ones. `environment` holds the S3 secrets."""
    max_k, metrics = settings.blending.max_k, Metrics("features")
    store: ModelStore[Features] = ModelStore(settings.artifacts, environment, ("similar", "item_keys"), _features)
    watch, turns = Watch(store, metrics), Turns()
    item_model, batch_model = limited(SimilarRequest, max_k), limited(SimilarBatchRequest, max_k)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        await watch.start()
        async with background(watch.look_for_ever(settings.service.poll_s)):
            yield

    by_key: dict[Any, Any] = {model: keyed(model) for model in (item_model, batch_model)}

    async def asked_of(request: Request, model: type[P]) -> tuple[P, Features]:
        """The parameters, and the run that answers: its keys decide what an item may be."""
        mapped = store.mapped
        return await read(request, by_key[model] if mapped.items.kind else model), mapped

    def similar(mapped: Features, item: Key, k: int, keys: bool, ids: bool = False) -> dict[str, Any]:
        items, scores = mapped.similar.of(item if ids and isinstance(item, int) else mapped.items.id_of(item))
        found = items[:k].tolist()
        return {"item_id_2": found if ids else mapped.items.all_shown(found, keys or isinstance(item, str)), "score": scores[:k].tolist()}

    async def similar_items(request: Request) -> Response:
        """Items like this one, most similar first."""
        asked, mapped = await asked_of(request, item_model)
        return Json(similar(mapped, asked.item_id, asked.k, bool(mapped.items.kind) and getattr(asked, "keys", False)))

    async def similar_items_batch(request: Request) -> Response:
        """Items like each of these, in one call."""
        asked, mapped = await asked_of(request, batch_model)
        charge(request, len(asked.item_ids))
        keys = getattr(asked, "keys", False)
        parts = await turns.each(lambda item: to_json(similar(mapped, item, asked.k, keys, asked.ids)), asked.item_ids)
        return Json(b'{"similar":[' + b",".join(parts) + b"]}")

    operations = [Operation("/similar_items", similar_items, item_model, Similar, hot=True),
                  Operation("/similar_items/batch", similar_items_batch, batch_model, SimilarBatch, ("POST",), hot=True)]
    return application(metrics, "Similar items of a track.", settings.service, operations, lifespan,
                       lambda: {"items": len(store.mapped.similar.keys), **watch.state()}, watch.readiness,
                       [reload_router(watch, settings.service.reload_key)])
