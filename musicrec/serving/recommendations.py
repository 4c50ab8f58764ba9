"""The recommendations service: offline, online, blended and default lists."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
from fastapi import FastAPI
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from musicrec.errors import SettingsError
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
from musicrec.settings import Settings

PARTS = ("recommendations", "seen", "popular", "items")
_USERS_AT_ONCE = 20
_SIMILAR_PER_PLAY = 100
Strategy = Callable[[Answers, int, int], Awaitable[Answer]]


class Upstream:
    """The events and the features service while this one runs."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self.settings, self.metrics = settings, metrics

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

    async def contexts(self, user_ids: Sequence[int]) -> list[UserContext]:
        """What is known of the users at this moment."""
        service, blending = self.settings.service, self.settings.blending
        timeout_ms = service.timeout_ms if len(user_ids) == 1 else service.batch_timeout_ms
        return await user_contexts(user_ids, self._events, self._features, self.settings.events.per_user, blending.recent_items,
                                   min(_SIMILAR_PER_PLAY, blending.max_k), timeout_ms / 1000)

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
        return answers.online(user, k, (await upstream.contexts([user]))[0])

    async def blended(answers: Answers, user: int, k: int) -> Answer:
        return answers.blended(user, k, (await upstream.contexts([user]))[0])

    async def recommendations_default(request: Request) -> Response:
        """The most popular tracks."""
        asked, answers = await read(request, default_model), Answers(store.mapped, options)
        return _response(answers, answers.default(asked.k), asked.verbose)

    async def recommendations_batch(request: Request) -> Response:
        """Blended lists of many users, with one call to each of the two other services for all of them."""
        asked, answers = await read(request, batch_model), Answers(store.mapped, options)
        entries, degraded = [], dict[str, None]()
        for at, (user, context) in enumerate(zip(asked.user_ids, await upstream.contexts(asked.user_ids))):
            if at % _USERS_AT_ONCE == _USERS_AT_ONCE - 1:
                await asyncio.sleep(0)  # so that a large batch does not hold up everybody else
            answer = answers.blended(user, asked.k, context)
            upstream.shown(user, answer)
            # As JSON it is many times smaller than the items, which matters for 1,000 users x 1,000 items.
            entries.append(to_json({"user_id": user, "recs": [item.item_id for item in answer.items], "strategy": answer.strategy}))
            degraded |= dict.fromkeys(answer.degraded)
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
