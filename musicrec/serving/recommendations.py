"""The recommendations service: offline, online, blended and default lists."""

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from pydantic_core import to_json
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from musicrec.errors import ServiceError, SettingsError
from musicrec.serving.access_control import charge
from musicrec.serving.answers import Answer, Answers, UserContext, filtered
from musicrec.serving.app import Json, Operation, application, background
from musicrec.serving.blending import SimilarItems
from musicrec.serving.clients import EventsClient, FeaturesClient, session
from musicrec.serving.contexts import user_contexts
from musicrec.serving.experiments import VARIANT, Assigned, RunningExperiments
from musicrec.serving.exposures import RECOMMENDATION_ID, Exposures, new_recommendation_id
from musicrec.serving.filters import FilteredDefaultRequest, FilteredModeRequest, FilteredUserRequest
from musicrec.serving.keys import KEY_PARTS, Key, User
from musicrec.serving.lookup import Lookup, lookup
from musicrec.serving.metrics import Metrics
from musicrec.serving.model_store import ModelStore, Watch, reload_router
from musicrec.serving.parameters import P, keyed, limited, read
from musicrec.serving.responses import responded
from musicrec.serving.schemas import (
    BatchRecommendations,
    ItemRequest,
    ItemText,
    RecommendationsAnswer,
    UsersRequest,
)
from musicrec.serving.stations import stations
from musicrec.serving.turns import Turns
from musicrec.settings import Settings

PARTS = ("recommendations", "familiar", "seen", "popular", "items", "filters", "factors", *KEY_PARTS)
# Users of a batch whose plays and similar items are asked for together: what comes back is read in a few milliseconds.
_USERS_AT_ONCE = 20
_SIMILAR_PER_PLAY = 100
_NUMBER = re.compile("0|[1-9][0-9]*")
# Where poll_s is 0.
_EXCLUDED_POLL_S = 10.0
Strategy = Callable[[Answers, int, int, UserContext, Any], Answer]


class Upstream:
    """The events and the features service while this one runs."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self.settings, self.metrics, self.experiments = settings, metrics, RunningExperiments(settings)
        self._one_at_a_time = asyncio.Lock()
        self._excluded: set[int | str] = set()

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[None]:
        """Keep connections until the block ends, then tell the exposures that still wait."""
        service, urls, metrics = self.settings.service, self.settings.urls, self.metrics
        async with session() as http:
            self._events = EventsClient(http, urls.events_store_url, service, metrics)
            self._features = FeaturesClient(http, urls.features_store_url, service, metrics)
            # With a circuit breaker of its own: exposures that fail must not keep plays from being asked for.
            events = EventsClient(http, urls.events_store_url, service, metrics)
            self._exposures = Exposures(events, metrics, service.batch_timeout_ms / 1000)
            await self._look_at_excluded(events)
            self.experiments.look()
            async with (background(self._exposures.send_for_ever()), background(self._follow_excluded(events)),
                        background(self.experiments.follow())):
                yield
            await self._exposures.send_waiting()

    async def context(self, user: User, lookup: Lookup, online: bool = True) -> UserContext:
        """What is known of the user at this moment; with `online` also items similar to the latest plays."""
        return (await self._contexts([user], lookup, self.settings.service.timeout_ms / 1000, online))[0]

    async def contexts(self, asked: Sequence[User], lookup: Lookup) -> AsyncIterator[list[tuple[User, UserContext]]]:
        """What is known of each user, for a few users at a time and one batch at a time.

        The waits for the other services take at most [service] batch_timeout_ms together.
        """
        service = self.settings.service
        left, least = service.batch_timeout_ms / 1000, min(service.timeout_ms, service.batch_timeout_ms) / 1000
        for start in range(0, len(asked), _USERS_AT_ONCE):
            users = asked[start:start + _USERS_AT_ONCE]
            if left < least:
                # Too little to ask with: the failure would be counted as the other service's.
                yield [(user, UserContext(missing=("events and features service took all of batch_timeout_ms",))) for user in users]
                continue
            async with self._one_at_a_time:
                began = time.perf_counter()
                found = await self._contexts(users, lookup, left)
                left -= time.perf_counter() - began
            yield list(zip(users, found))

    async def similar(self, item_ids: Sequence[int]) -> dict[int, SimilarItems]:
        """The items similar to each of these. Raises ServiceError when the features service does not answer in time."""
        deadline = asyncio.get_running_loop().time() + self.settings.service.timeout_ms / 1000
        return await self._features.similar(item_ids, min(_SIMILAR_PER_PLAY, self.settings.blending.max_k), deadline)

    def admitted(self, user: User) -> User:
        """The user; of one who was deleted nothing is known."""
        return user._replace(user_id=-1) if user.key in self._excluded else user

    def assigned(self, user: User) -> Assigned:
        """The variants that the user is in; one who was deleted is in none."""
        return self.experiments.plain if user.key in self._excluded else self.experiments.of(user.key)

    async def _follow_excluded(self, events: EventsClient) -> None:
        while True:
            await asyncio.sleep(self.settings.service.poll_s or _EXCLUDED_POLL_S)
            await self._look_at_excluded(events)

    async def _look_at_excluded(self, events: EventsClient) -> None:
        with contextlib.suppress(ServiceError):  # those known before stay
            self._excluded = await events.excluded(asyncio.get_running_loop().time() + self.settings.service.batch_timeout_ms / 1000)

    async def _contexts(self, users: Sequence[User], lookup: Lookup, timeout_s: float, online: bool = True) -> list[UserContext]:
        blending = self.settings.blending
        found = await user_contexts([user.key for user in users], lookup.items, self._events, self._features, self.settings.events.per_user,
                                    blending.recent_items if online else 0, min(_SIMILAR_PER_PLAY, blending.max_k), timeout_s,
                                    blending.skip_minutes * 60)
        self._excluded.update(user.key for user, context in zip(users, found) if context.blocked)
        return found

    def shown(self, user: User, answer: Answer, lookup: Lookup, recommendation_id: str, variant: str, first: int = 0) -> None:
        """Count an answer, and tell the events service of it where impressions are on."""
        self.metrics.recommended(answer.strategy, answer.sources, answer.unknown)
        if self.settings.service.impressions and user.key not in self._excluded:
            self._exposures.add(user.key, answer, lookup, recommendation_id, variant, first)


def create_app(settings: Settings, environment: Mapping[str, str]) -> Starlette:
    """The app; it loads the current run when it starts, and looks for later ones. `environment` holds the S3 secrets."""
    metrics, blending = Metrics("recommendations"), settings.blending
    blocked = _keys(blending.blocked_items, "blocked_items") if blending.blocked_items else []
    allowed = _keys(blending.allowed_items, "allowed_items") if blending.allowed_items else None
    store: ModelStore[Lookup] = ModelStore(settings.artifacts, environment, PARTS,
                                           lambda run_id, folders: lookup(run_id, folders).ruled(blocked, allowed))
    watch, upstream = Watch(store, metrics), Upstream(settings, metrics)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        await watch.start()
        async with upstream.connected(), background(watch.look_for_ever(settings.service.poll_s)):
            yield

    def state() -> dict[str, Any]:
        return {"users": len(store.mapped.personal.keys), "items": len(store.mapped.catalog.item_ids),
                "unknown_items": metrics.n_unknown, "experiments": upstream.experiments.state(), **watch.state()}

    operations = _operations(store, upstream, blending.max_k)
    return application(metrics, "Offline, online and blended recommendations of tracks.", settings.service, operations, lifespan, state,
                       watch.readiness, [reload_router(watch, settings.service.reload_key)])


def _operations(store: ModelStore[Lookup], upstream: Upstream, max_k: int) -> list[Operation]:
    turns, options = Turns(), upstream.experiments.plain.options
    default_model, batch_model = limited(FilteredDefaultRequest, max_k), limited(UsersRequest, max_k)
    user_model, mode_model = limited(FilteredUserRequest, max_k), limited(FilteredModeRequest, max_k)

    async def asked_of(request: Request, model: type[P]) -> tuple[P, Lookup]:
        """The parameters, and the run that answers: its keys decide what a user and an item may be."""
        mapped = store.mapped
        return await read(request, keyed(model) if mapped.has_keys else model), mapped

    def operation(path: str, description: str, strategy: Strategy, model: type[FilteredUserRequest] = mode_model, needs_online: bool = True,
                  **more: Any) -> Operation:
        async def endpoint(request: Request) -> Response:
            asked, mapped = await asked_of(request, model)
            user = mapped.user(asked.user_id, asked)
            context = await upstream.context(user, mapped, needs_online)
            # Only now: the events service may just have told that the user was deleted.
            assigned, user_id = upstream.assigned(user), upstream.admitted(user).user_id
            answers = filtered(mapped, assigned.options, asked)
            answer = strategy(answers, user_id, asked.k + asked.offset, context, asked).after(asked.offset)
            recommendation_id = new_recommendation_id()
            upstream.shown(user, answer, mapped, recommendation_id, assigned.variant, asked.offset)
            response = responded(answers, answer, asked.verbose, user.by_key, recommendation_id)
            if assigned.variant:
                response.headers[VARIANT] = assigned.variant
            return response
        endpoint.__name__, endpoint.__doc__ = path.strip("/").replace("/{user_id}", "_of_user"), description
        return Operation(path, endpoint, model, RecommendationsAnswer, **more)

    def offline(answers: Answers, user_id: int, k: int, context: UserContext, asked: FilteredModeRequest) -> Answer:
        return answers.offline(user_id, k, context, asked.mode)

    def online(answers: Answers, user_id: int, k: int, context: UserContext, _: FilteredUserRequest) -> Answer:
        return answers.online(user_id, k, context)

    def blended(answers: Answers, user_id: int, k: int, context: UserContext, asked: FilteredModeRequest) -> Answer:
        return answers.blended(user_id, k, context, asked.mode)

    async def recommendations_default(request: Request) -> Response:
        """The most popular tracks."""
        asked, mapped = await asked_of(request, default_model)
        answers = filtered(mapped, options, asked)
        answer = answers.default(asked.k + asked.offset).after(asked.offset)
        return responded(answers, answer, asked.verbose, by_key=getattr(asked, "keys", False))

    async def recommendations_batch(request: Request) -> Response:
        """Blended lists of many users."""
        asked, mapped = await asked_of(request, batch_model)
        users = [mapped.user(user, asked) for user in asked.user_ids]
        charge(request, len(users))
        entries, degraded, recommendation_id = list[bytes](), dict[str, None](), new_recommendation_id()

        def entry(known: tuple[User, UserContext]) -> bytes:
            user, context = known
            assigned = upstream.assigned(user)
            answer = Answers(mapped, assigned.options).blended(upstream.admitted(user).user_id, asked.k, context)
            upstream.shown(user, answer, mapped, recommendation_id, assigned.variant)
            degraded.update(dict.fromkeys(answer.degraded))
            # As JSON it is many times smaller than the items, which matters for 1,000 users x 1,000 items.
            recs = mapped.items.all_shown(answer.item_ids, user.by_key)
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
        Operation("/recommendations_default", recommendations_default, default_model, RecommendationsAnswer, hot=True),
        operation("/recommendations/{user_id}", "Offline and online lists blended.", blended, methods=("GET",), in_path=("user_id",)),
        *stations(store, options, upstream.similar, max_k),
        Operation("/recommendations/batch", recommendations_batch, batch_model, BatchRecommendations, ("POST",)),
        Operation("/items/{item_id:path}", item, ItemRequest, ItemText, ("GET",), ("item_id",)),
    ]


def _keys(path: str, setting: str) -> list[Key]:
    try:
        with open(path, encoding="utf-8") as lines:
            texts = [line.strip() for line in lines if line.strip()]
        # 007 is text, not the number 7.
        return [int(text) if _NUMBER.fullmatch(text) else text for text in texts]
    except (OSError, ValueError) as cause:
        raise SettingsError(f"[blending] {setting}: {path} cannot be read as one key or id of an item a line ({cause}).") from None
