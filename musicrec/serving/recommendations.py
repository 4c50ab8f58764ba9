"""The recommendations service: offline, online, blended and default lists."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
from fastapi import FastAPI
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from musicrec.errors import SettingsError
from musicrec.serving.access_control import charge
from musicrec.serving.answers import Answer, AnswerOptions, Answers, UserContext
from musicrec.serving.app import Json, Operation, application, background
from musicrec.serving.clients import EventsClient, FeaturesClient, Impressions, session, user_contexts
from musicrec.serving.lookup import Int32, Lookup, lookup
from musicrec.serving.metrics import Metrics
from musicrec.serving.model_store import ModelStore, Watch, add_reload
from musicrec.serving.parameters import limited, read
from musicrec.serving.schemas import (
    BatchRecommendations,
    DefaultRequest,
    ItemRequest,
    ItemText,
    RecommendationsAnswer,
    UserRequest,
    UsersRequest,
)
from musicrec.serving.turns import Turns
from musicrec.settings import Settings

PARTS = ("recommendations", "seen", "popular", "items")
# Users of a batch whose plays and similar items are asked for together: what comes back is read in a few milliseconds.
_USERS_AT_ONCE = 20
_SIMILAR_PER_PLAY = 100
Strategy = Callable[[Answers, int, int], Awaitable[Answer]]


class Upstream:
    """The events and the features service while this one runs."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self.settings, self.metrics = settings, metrics
        self._one_at_a_time = asyncio.Lock()

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[None]:
        """Keep connections until the block ends, then tell the impressions that still wait."""
        service, urls, metrics = self.settings.service, self.settings.urls, self.metrics
        async with session() as http:
            self._events = EventsClient(http, urls.events_store_url, service, metrics)
            self._features = FeaturesClient(http, urls.features_store_url, service, metrics)
            # With a circuit breaker of its own: impressions that fail must not keep plays from being asked for.
            events = EventsClient(http, urls.events_store_url, service, metrics)
            self._impressions = Impressions(events, metrics, service.batch_timeout_ms / 1000)
            async with background(self._impressions.send_for_ever()):
                yield
            await self._impressions.send_waiting()

    async def context(self, user_id: int) -> UserContext:
        """What is known of the user at this moment."""
        return (await self._contexts([user_id], self.settings.service.timeout_ms / 1000))[0]

    async def contexts(self, user_ids: Sequence[int]) -> AsyncIterator[list[tuple[int, UserContext]]]:
        """What is known of each user, for a few users at a time and one batch at a time.

        The waits for the other services take at most [service] batch_timeout_ms together.
        """
        service = self.settings.service
        left, least = service.batch_timeout_ms / 1000, min(service.timeout_ms, service.batch_timeout_ms) / 1000
        for start in range(0, len(user_ids), _USERS_AT_ONCE):
            users = user_ids[start:start + _USERS_AT_ONCE]
            if left < least:
                # Too little to ask with: the failure would be counted as the other service's.
                yield [(user, UserContext(missing=("events and features service took all of batch_timeout_ms",))) for user in users]
                continue
            async with self._one_at_a_time:
                began = time.perf_counter()
                found = await self._contexts(users, left)
                left -= time.perf_counter() - began
            yield list(zip(users, found))

    async def _contexts(self, user_ids: Sequence[int], timeout_s: float) -> list[UserContext]:
        blending = self.settings.blending
        return await user_contexts(user_ids, self._events, self._features, self.settings.events.per_user, blending.recent_items,
                                   min(_SIMILAR_PER_PLAY, blending.max_k), timeout_s)

    def shown(self, user_id: int, answer: Answer) -> None:
        """Count an answer, and tell the events service of it where impressions are on."""
        self.metrics.recommended(answer.strategy, (item.source for item in answer.items))
        if self.settings.service.impressions:
            self._impressions.add(user_id, answer.items)


def create_app(settings: Settings, environment: Mapping[str, str]) -> FastAPI:
    """The app; it loads the current run when it starts, and looks for later ones. `environment` holds the S3 secrets."""
    metrics, options = Metrics("recommendations"), _options(settings)
    store: ModelStore[Lookup] = ModelStore(settings.artifacts, environment, PARTS, lookup)
    watch, upstream = Watch(store, metrics), Upstream(settings, metrics)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await watch.start()
        async with upstream.connected(), background(watch.look_for_ever(settings.service.poll_s)):
            yield

    def state() -> dict[str, Any]:
        return {"users": len(store.mapped.personal.keys), "items": len(store.mapped.catalogue.item_ids), **watch.state()}

    operations = _operations(store, upstream, options, settings.blending.max_k)
    app = application(metrics, "Offline, online and blended recommendations of tracks.", settings.service, operations, lifespan, state,
                      watch.readiness)
    add_reload(app, watch, settings.service.reload_key)
    return app


def _operations(store: ModelStore[Lookup], upstream: Upstream, options: AnswerOptions, max_k: int) -> list[Operation]:
    turns = Turns()
    default_model, user_model, batch_model = limited(DefaultRequest, max_k), limited(UserRequest, max_k), limited(UsersRequest, max_k)

    def operation(path: str, description: str, strategy: Strategy, **more: Any) -> Operation:
        async def endpoint(request: Request) -> Response:
            asked = await read(request, user_model)
            answers = Answers(store.mapped, options)
            answer = await strategy(answers, asked.user_id, asked.k)
            upstream.shown(asked.user_id, answer)
            return _response(answers, answer, asked.verbose)
        endpoint.__name__, endpoint.__doc__ = path.strip("/").replace("/{user_id}", "_of_user"), description
        return Operation(path, endpoint, user_model, RecommendationsAnswer, **more)

    async def offline(answers: Answers, user: int, k: int) -> Answer:
        return answers.offline(user, k)

    async def online(answers: Answers, user: int, k: int) -> Answer:
        return answers.online(user, k, await upstream.context(user))

    async def blended(answers: Answers, user: int, k: int) -> Answer:
        return answers.blended(user, k, await upstream.context(user))

    async def recommendations_default(request: Request) -> Response:
        """The most popular tracks."""
        asked, answers = await read(request, default_model), Answers(store.mapped, options)
        return _response(answers, answers.default(asked.k), asked.verbose)

    async def recommendations_batch(request: Request) -> Response:
        """Blended lists of many users."""
        asked, answers = await read(request, batch_model), Answers(store.mapped, options)
        charge(request, len(asked.user_ids))
        entries, degraded = list[bytes](), dict[str, None]()

        def entry(known: tuple[int, UserContext]) -> bytes:
            user, context = known
            answer = answers.blended(user, asked.k, context)
            upstream.shown(user, answer)
            degraded.update(dict.fromkeys(answer.degraded))
            # As JSON it is many times smaller than the items, which matters for 1,000 users x 1,000 items.
            return to_json({"user_id": user, "recs": [item.item_id for item in answer.items], "strategy": answer.strategy})

        async for known in upstream.contexts(asked.user_ids):
            if await request.is_disconnected():
                return Response(status_code=499)  # nobody waits for the rest
            entries += await turns.each(entry, known)
        missing = b',"degraded":' + to_json(list(degraded)) if degraded else b""
        body = b'{"answers":[' + b",".join(entries) + b"]" + missing + b"}"
        return Json(body, headers={"X-Run-Id": answers.lookup.run_id, "X-Strategy": "batch"})

    async def item(request: Request) -> Response:
        """Name, artists and genres of a track."""
        found = store.mapped.catalogue.item((await read(request, ItemRequest)).item_id)
        return Json({"item_id": found.item_id, "name": found.name, "artists": found.artists, "genres": found.genres})

    return [
        operation("/recommendations", "Offline and online lists blended.", blended, hot=True),
        operation("/recommendations_offline", "The personal list made from the listening history; popular tracks for an unknown user.",
                  offline, hot=True),
        operation("/recommendations_online", "Tracks similar to the latest plays; empty without plays.", online, hot=True),
        Operation("/recommendations_default", recommendations_default, default_model, RecommendationsAnswer, hot=True),
        operation("/recommendations/{user_id}", "Offline and online lists blended.", blended, methods=("GET",), in_path=("user_id",)),
        Operation("/recommendations/batch", recommendations_batch, batch_model, BatchRecommendations, ("POST",)),
        Operation("/items/{item_id}", item, ItemRequest, ItemText, ("GET",), ("item_id",)),
    ]


def _response(answers: Answers, answer: Answer, verbose: bool) -> Response:
    content: dict[str, Any] = {"recs": [item.item_id for item in answer.items]}
    if answer.degraded:
        content["degraded"] = answer.degraded
    if verbose:
        content["items"] = answers.described(answer)
    return Json(content, headers={"X-Run-Id": answers.lookup.run_id, "X-Strategy": answer.strategy})


def _options(settings: Settings) -> AnswerOptions:
    blending = settings.blending
    blocked = _ids(blending.blocked_items, "blocked_items") if blending.blocked_items else np.empty(0, np.int32)
    allowed = _ids(blending.allowed_items, "allowed_items") if blending.allowed_items else None
    return AnswerOptions(blending.method, blending.first == "offline", blending.decay, blending.max_per_artist, blocked, allowed)


def _ids(path: str, key: str) -> Int32:
    try:
        with open(path, encoding="utf-8") as lines:
            return np.unique(np.array([int(line) for line in lines if line.strip()], np.int32))
    except (OSError, ValueError, OverflowError) as cause:
        raise SettingsError(f"[blending] {key}: {path} cannot be read as one item id a line ({cause}).") from None
