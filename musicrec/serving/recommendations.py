"""The recommendations service: offline, online and blended lists of users, of one or of many."""

import re
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from pydantic_core import to_json
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from musicrec.errors import SettingsError
from musicrec.serving.access_control import charge
from musicrec.serving.answers import Answer, Answers, filtered
from musicrec.serving.app import Json, Operation, application, background
from musicrec.serving.experiments import Assigned
from musicrec.serving.exploration import EXPLORED, explored
from musicrec.serving.exposures import NO_ANSWER, RECOMMENDATION_ID, Shown, new_recommendation_id
from musicrec.serving.filters import FilteredModeRequest, FilteredUserRequest
from musicrec.serving.keys import KEY_PARTS, Key, User
from musicrec.serving.lookup import Lookup, lookup
from musicrec.serving.metrics import Metrics
from musicrec.serving.model_store import ModelStore, Watch, reload_router
from musicrec.serving.parameters import P, keyed, limited, read
from musicrec.serving.responses import headers_of, responded
from musicrec.serving.schemas import BatchRecommendations, BatchRequest, ItemRequest, ItemText, RecommendationsAnswer
from musicrec.serving.shards import Shard
from musicrec.serving.stations import stations
from musicrec.serving.turns import Turns
from musicrec.serving.upstream import Upstream
from musicrec.serving.user_context import UserContext
from musicrec.settings import Settings

PARTS = ("recommendations", "familiar", "seen", "popular", "items", "filters", "factors", *KEY_PARTS)
_NUMBER = re.compile("0|[1-9][0-9]*")
Strategy = Callable[[Answers, User, UserContext, Any, int], Answer]


def create_app(settings: Settings, environment: Mapping[str, str]) -> Starlette:
    """The app; it loads the current run when it starts, and looks for later ones. `environment` holds the S3 secrets."""
    metrics, blending = Metrics("recommendations"), settings.blending
    blocked = _keys(blending.blocked_items, "blocked_items") if blending.blocked_items else []
    allowed = _keys(blending.allowed_items, "allowed_items") if blending.allowed_items else None
    shard = Shard(*settings.service.shard) if settings.service.shard else None
    store: ModelStore[Lookup] = ModelStore(settings.artifacts, environment, shard.parts(PARTS) if shard else PARTS,
                                           lambda run_id, folders: lookup(run_id, folders, shard).ruled(blocked, allowed))
    watch, upstream = Watch(store, metrics), Upstream(settings, metrics, store)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        await watch.start()
        async with upstream.connected(), background(watch.look_for_ever(settings.service.poll_s)):
            yield

    def state() -> dict[str, Any]:
        return {"shard": shard and str(shard), "users": len(store.mapped.personal.keys), "items": len(store.mapped.catalog.item_ids),
                "unknown_items": metrics.n_unknown, "experiments": upstream.experiments.state(), **watch.state()}

    operations = _operations(store, upstream, blending.max_k)
    return application(metrics, "Offline, online and blended recommendations of tracks.", settings.service, operations, lifespan, state,
                       watch.readiness, [reload_router(watch, settings.service.reload_key)])


def _operations(store: ModelStore[Lookup], upstream: Upstream, max_k: int) -> list[Operation]:
    turns, batch_model = Turns(), limited(BatchRequest, max_k)
    user_model, mode_model = limited(FilteredUserRequest, max_k), limited(FilteredModeRequest, max_k)

    async def asked_of(request: Request, model: type[P]) -> tuple[P, Lookup]:
        """The parameters, and the run that answers: its keys decide what a user and an item may be."""
        mapped = store.mapped
        return await read(request, keyed(model) if mapped.has_keys else model), mapped

    def operation(path: str, description: str, strategy: Strategy, model: type[FilteredUserRequest] = mode_model, needs_online: bool = True,
                  **more: Any) -> Operation:
        async def endpoint(request: Request) -> Response:
            began = time.perf_counter()
            asked, mapped = await asked_of(request, model)
            user = mapped.user(asked.user_id, asked)
            context = await upstream.context(user, mapped, needs_online)
            # Only now: the events service may just have told that the user was deleted.
            assigned, own = upstream.assigned(user.key), upstream.admitted(user)
            mapped, own = _in_run(assigned, mapped, own)
            answers = filtered(mapped, assigned.options, asked)
            shown = Shown(user.key, new_recommendation_id(), assigned.variant, asked.offset, began)
            try:
                answer = strategy(answers, own, context, asked, asked.offset)
            except Exception:
                upstream.told(NO_ANSWER, mapped, shown)
                raise
            upstream.shown(answer, mapped, shown)
            headers = headers_of(answers, answer, shown.recommendation_id, assigned.variant)
            return responded(answers, answer, asked.verbose, user.by_key, headers)
        endpoint.__name__, endpoint.__doc__ = path.strip("/").replace("/{user_id}", "_of_user"), description
        return Operation(path, endpoint, model, RecommendationsAnswer, **more)

    def offline(answers: Answers, user: User, context: UserContext, asked: FilteredModeRequest, first: int) -> Answer:
        return answers.offline(user.user_id, asked.k + first, context, _mode(answers, asked)).after(first)

    def online(answers: Answers, user: User, context: UserContext, asked: FilteredUserRequest, first: int) -> Answer:
        return answers.online(user.user_id, asked.k + first, context).after(first)

    def blended(answers: Answers, user: User, context: UserContext, asked: FilteredModeRequest | BatchRequest, first: int = 0) -> Answer:
        mode, options, needed = _mode(answers, asked), answers.options, asked.k + first
        if not options.exploration or mode == "familiar":
            return answers.blended(user.user_id, needed, context, mode).after(first)
        found = answers.blended(user.user_id, max(needed, EXPLORED), context, mode)
        # The same for all pages of a list, and another one with the next feedback or hour.
        seed = f"{user.key}\0{answers.lookup.run_id}\0{context.memory.items[:1]}\0{int(time.time() // 3600)}"
        alone = answers.lookup.catalog.artist_ids if options.max_per_artist else None
        return explored(found, options.exploration, first, asked.k, seed, alone)

    async def recommendations_batch(request: Request) -> Response:
        """Blended lists of many users."""
        asked, mapped = await asked_of(request, batch_model)
        users = [mapped.user(user, asked) for user in asked.user_ids]
        charge(request, len(users))
        entries, degraded, recommendation_id = list[bytes](), dict[str, None](), new_recommendation_id()

        def entry(known: tuple[User, UserContext]) -> bytes:
            user, context = known
            assigned = upstream.assigned(user.key)
            lookup, own = _in_run(assigned, mapped, upstream.admitted(user))
            answer = blended(Answers(lookup, assigned.options), own, context, asked)
            upstream.shown(answer, lookup, Shown(user.key, recommendation_id, assigned.variant))
            degraded.update(dict.fromkeys(answer.degraded))
            # As JSON it is many times smaller than the items, which matters for 1,000 users x 1,000 items.
            recs = lookup.items.all_shown(answer.item_ids, user.by_key)
            return to_json({"user_id": user.asked, "recs": recs, "strategy": answer.strategy})

        async for known in upstream.contexts(users, mapped):
            if await request.is_disconnected():
                return Response(status_code=499)  # nobody waits for the rest
            entries += await turns.each(entry, known)
        missing = b',"degraded":' + to_json(list(degraded)) if degraded else b""
        body = b'{"answers":[' + b",".join(entries) + b"]" + missing + b"}"
        return Json(body, headers={"X-Run-Id": mapped.run_id, "X-Strategy": "batch", RECOMMENDATION_ID: recommendation_id})

    async def item(request: Request) -> Response:
        """Name, artists and genres of a track."""
        asked, mapped = await asked_of(request, ItemRequest)
        found = mapped.catalog.item(mapped.items.id_of(asked.item_id))
        return Json({"item_id": asked.item_id, "name": found.name, "artists": found.artists, "genres": found.genres})

    return [
        operation("/recommendations", "Offline and online lists blended.", blended, hot=True),
        operation("/recommendations_offline", "The personal list made from the listening history; popular tracks for an unknown user.",
                  offline, needs_online=False, hot=True),
        operation("/recommendations_online", "Tracks similar to the latest plays; empty without plays.", online, user_model, hot=True),
        operation("/recommendations/{user_id}", "Offline and online lists blended.", blended, methods=("GET",), in_path=("user_id",)),
        *stations(store, upstream, max_k),
        Operation("/recommendations/batch", recommendations_batch, batch_model, BatchRecommendations, ("POST",)),
        Operation("/items/{item_id:path}", item, ItemRequest, ItemText, ("GET",), ("item_id",)),
    ]


def _in_run(assigned: Assigned, mapped: Lookup, user: User) -> tuple[Lookup, User]:
    """The run that answers the user, and the user as that run knows him; ids mean the same in all runs."""
    lookup = assigned.lookup or mapped
    return lookup, user if lookup is mapped or user.user_id < 0 else user._replace(user_id=lookup.users.id_of(user.key))


def _mode(answers: Answers, asked: FilteredModeRequest | BatchRequest) -> str:
    return asked.mode if "mode" in asked.model_fields_set else answers.options.mode


def _keys(path: str, setting: str) -> list[Key]:
    try:
        with open(path, encoding="utf-8") as lines:
            texts = [line.strip() for line in lines if line.strip()]
        # 007 is text, not the number 7.
        return [int(text) if _NUMBER.fullmatch(text) else text for text in texts]
    except (OSError, ValueError) as cause:
        raise SettingsError(f"[blending] {setting}: {path} cannot be read as one key or id of an item a line ({cause}).") from None
