"""The events service: stores feedback, answers with the latest plays, and is ready when the store does its work."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import chain
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from musicrec.errors import EventStoreError, MusicRecError, StorageError
from musicrec.events import EventStore, Exposure, Remembered, configured_store
from musicrec.events.protocol import NOBODY, PLAY, SESSION_GAP_S
from musicrec.serving.access_control import charge, not_administrator
from musicrec.serving.app import Json, Operation, Readiness, application, background
from musicrec.serving.event_schemas import FeedbackRequest, LatestPlays, LatestPlaysBatch, LatestPlaysBatchRequest, LatestPlaysRequest
from musicrec.serving.exposures import ExposuresRequest
from musicrec.serving.keys import KEY_PARTS, TEXT, Key, RunKeyIndexes, run_key_indexes
from musicrec.serving.metrics import Metrics
from musicrec.serving.model_store import ModelStore, Watch
from musicrec.serving.parameters import P, keyed, limited, read, refusal
from musicrec.serving.schemas import Deleted, ExcludedUsers, ImpressionsRequest, OneUserRequest, Parameters, Stored
from musicrec.settings import Settings
from musicrec.settings.sections import keys_in

T = TypeVar("T")
Told = dict[str, Any]
_NEVER = float("-inf")
_USERS_AT_ONCE = 20
# Longer than a folder or a healthy S3 takes, and short enough for a start.
_FIRST_LOOK_S = 5.0
_STORED = Json({"result": "ok"})
_RECENT_S, _CHECK_EVERY_S, _CHECK_TAKES_S = 2.0, 1.0, 2.0


class StoreHealth:
    """Whether an event store does its work, by kind (put, get): what it did in the last seconds tells, else a cheap real check.

    `check` tries the store for real. It runs once a second at most, however often the question comes, and one at a time.
    """

    def __init__(self, check: Callable[[], Awaitable[None]], clock: Callable[[], float] = time.monotonic) -> None:
        self.check, self.clock = check, clock
        self._succeeded: dict[str, float] = {}
        self._failed: dict[str, tuple[float, str]] = {}
        self._checked: tuple[float, asyncio.Task[str | None]] | None = None

    async def watch(self, kind: str, work: Awaitable[T]) -> T:
        """What `work` gives; raises what it raises."""
        try:
            found = await work
        except EventStoreError as cause:
            self._failed[kind] = self.clock(), str(cause)
            raise
        self._succeeded[kind] = self.clock()
        return found

    async def readiness(self) -> Readiness:
        """Not ready while all work of one kind fails, or without recent puts the check does."""
        since = self.clock() - _RECENT_S
        for kind, (at, sentence) in self._failed.items():
            if at > since and self._succeeded.get(kind, _NEVER) <= since:
                return Readiness(sentence)
        if self._succeeded.get("put", _NEVER) > since:
            return Readiness()
        return Readiness(await self._problem())

    async def _problem(self) -> str | None:
        now = self.clock()
        if self._checked is None or (self._checked[1].done() and now - self._checked[0] > _CHECK_EVERY_S):
            self._checked = now, asyncio.create_task(self._outcome())
        try:
            async with asyncio.timeout(_CHECK_TAKES_S):
                return await asyncio.shield(self._checked[1])
        except TimeoutError:
            return f"the event store has not answered a check within {_CHECK_TAKES_S:g} seconds; see whether its disk or server hangs"

    async def _outcome(self) -> str | None:
        try:
            await self.check()
        except EventStoreError as cause:
            return str(cause)
        return None


class KeysOfRun:
    """What users and tracks are called in the current run, so that a play by id and one by key are the same user's.

    Plays are stored whatever happens here: while nothing is published, users and tracks are whole numbers; while the run cannot be read
    they may be either.
    """

    def __init__(self, settings: Settings, environment: Mapping[str, str], metrics: Metrics) -> None:
        self.poll_s, self._may_be_text = settings.service.poll_s, True
        self._store: ModelStore[RunKeyIndexes] = ModelStore(settings.artifacts, environment, KEY_PARTS,
                                                            lambda run_id, folders: run_key_indexes(folders))
        self._watch = Watch(self._store, metrics)

    async def follow(self, known: asyncio.Event) -> None:
        """Look for the current run for ever; `known` is set after the first look."""
        try:
            await self._watch.start()
        except StorageError:
            pass
        except MusicRecError:
            self._may_be_text = False
        finally:
            known.set()
        await self._watch.look_for_ever(self.poll_s)

    @property
    def indexes(self) -> RunKeyIndexes:
        """Those of the current run; without one, keys are ids."""
        return self._store.mapped if self._store.run else RunKeyIndexes()

    @property
    def are_keys(self) -> bool:
        """Whether a user or a track may be something else than an id."""
        return bool(self.indexes.users.kind or self.indexes.items.kind or (self._may_be_text and not self._store.run))


def told(rows: Sequence[Remembered]) -> Told:
    """The items as RememberedItems: what was only played is named once."""
    now = time.time()
    moments = chain((now * 1e6,), (row.at for row in rows))
    session = next((at for at, (later, row) in enumerate(zip(moments, rows)) if later - row.at > SESSION_GAP_S * 1e6), len(rows))
    return {"items": [row.item_id for row in rows], "session": session,
            "feedback": [(row.item_id, row.type, max(0.0, round(now - row.at / 1e6, 1))) for row in rows if row.type != PLAY]}


def create_app(settings: Settings, environment: Mapping[str, str]) -> Starlette:
    """The app; it opens the event store that the settings name when it starts. `environment` holds the S3 secrets."""
    metrics = Metrics("events")
    stores: list[EventStore] = []
    max_k = settings.blending.max_k
    plays_model, batch_model = limited(LatestPlaysRequest, max_k), limited(LatestPlaysBatchRequest, max_k)
    keys = KeysOfRun(settings, environment, metrics)
    service = settings.service
    # Without a key for administration, who has the key of the service may delete; that one has been checked before.
    needs_key = bool(keys_in(service.reload_key) or not keys_in(service.api_key))

    async def asked_of(request: Request, model: type[P]) -> P:
        return await read(request, keyed(model) if keys.are_keys else model)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        stores.append(configured_store(settings.events))
        try:
            known = asyncio.Event()
            async with background(keys.follow(known)):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_FIRST_LOOK_S):
                        await known.wait()
                yield
        finally:
            await stores.pop().close()

    def store() -> EventStore:
        if not stores:
            raise EventStoreError("the event store is not open; wait until the service is ready.")
        return stores[0]

    health = StoreHealth(lambda: store().check())

    async def put(request: Request) -> Response:
        """Store a play or other feedback; answers when it is on disk."""
        said, (users, items) = await asked_of(request, FeedbackRequest), keys.indexes
        await health.watch("put", store().put(users.canonical(said.user_id), items.canonical(said.item_id), said.type, said.played_share,
                                              said.context, said.recommendation_id))
        return _STORED

    async def feedback(request: Request) -> Response:
        """The same as /put."""
        return await put(request)

    async def of_users(named: Sequence[Key], asked: LatestPlaysRequest | LatestPlaysBatchRequest) -> list[tuple[list[Key], Told] | None]:
        """The latest plays of each user, and what is remembered where it is asked for; None for a user who was deleted."""
        users, items = keys.indexes
        own = list(map(users.canonical, named))
        found = await health.watch("get", store().of_users(own, asked.k, asked.remembered))
        if items.kind != TEXT or getattr(asked, "keys", False):
            return [one and (one.plays, told(one.remembered)) for one in found]

        def shown(item: Key) -> Key:
            return item if (known := items.id_of(item)) < 0 else known

        return [one and ((one.plays, told(one.remembered)) if isinstance(user, str) else
                         (list(map(shown, one.plays)), told([row._replace(item_id=shown(row.item_id)) for row in one.remembered])))
                for user, one in zip(named, found)]

    async def get(request: Request) -> Response:
        """The latest plays of a user, newest first; an empty list for an unknown user."""
        asked = await asked_of(request, plays_model)
        found, = await of_users([asked.user_id], asked)
        if found is None:
            return Json({"events": [], "blocked": True})
        return Json({"events": found[0], **({"remembered": found[1]} if asked.remembered else {})})

    async def get_batch(request: Request) -> Response:
        """The latest plays of many users, in one call."""
        asked = await asked_of(request, batch_model)
        charge(request, len(asked.user_ids))
        found = []
        for start in range(0, len(asked.user_ids), _USERS_AT_ONCE):
            if start:
                await asyncio.sleep(0)  # so that a large batch does not hold up everybody else
            found += await of_users(asked.user_ids[start:start + _USERS_AT_ONCE], asked)
        blocked = [at for at, one in enumerate(found) if one is None]
        remembered = {"remembered": [one[1] if one else told([]) for one in found]} if asked.remembered else {}
        return Json({"events": [one[0] if one else [] for one in found], **({"blocked": blocked} if blocked else {}), **remembered})

    async def delete(request: Request) -> Response:
        """Delete a user and refuse what comes later; answers when it is on disk. Needs the key for administration."""
        if needs_key and (refusal := not_administrator(request.headers, service.reload_key)):
            return Json({"detail": refusal}, 403)
        asked = await asked_of(request, OneUserRequest)
        return Json({"result": "ok", "deleted": await store().delete(keys.indexes.users.canonical(asked.user_id))})

    async def excluded(request: Request) -> Response:
        """The users that were deleted."""
        return Json({"excluded": list(await store().excluded())})

    async def impressions(request: Request) -> Response:
        """Store what was shown to whom; answers when it is on disk."""
        now = int(time.time() * 1e6)
        shown = (await asked_of(request, ImpressionsRequest)).impressions
        charge(request, len(shown))
        users, items = keys.indexes
        rows = [Exposure(users.canonical(one.user_id), (items.canonical(one.item_id),), (one.source,), now, one.position, one.run,
                         one.recommendation_id, one.variant, () if one.propensity is None else (one.propensity,)) for one in shown]
        await health.watch("impressions", store().put_exposures(rows))
        return _STORED

    async def exposures(request: Request) -> Response:
        """Store lists that were shown; answers when they are on disk."""
        now = int(time.time() * 1e6)
        shown = (await asked_of(request, ExposuresRequest)).exposures
        charge(request, len(shown))
        users, items = keys.indexes
        if not all(one.is_even for one in shown):
            raise refusal("exposures", "exposures must have as many sources, or one, and as many propensities, or none, as item_ids", None)
        rows = [Exposure(NOBODY if one.user_id is None else users.canonical(one.user_id), items.all_canonical(one.item_ids),
                         tuple(one.sources), now, one.first, one.run, one.recommendation_id, one.variant, one.propensities, one.ms,
                         one.outcome) for one in shown]
        await health.watch("impressions", store().put_exposures(rows))
        return _STORED

    operations = [Operation("/put", put, FeedbackRequest, Stored, ("POST",), hot=True, writes=True),
                  Operation("/feedback", feedback, FeedbackRequest, Stored, ("POST",), hot=True, writes=True),
                  Operation("/get", get, plays_model, LatestPlays, hot=True),
                  Operation("/get/batch", get_batch, batch_model, LatestPlaysBatch, ("POST",), hot=True),
                  Operation("/impressions", impressions, ImpressionsRequest, Stored, ("POST",), writes=True),
                  Operation("/exposures", exposures, ExposuresRequest, Stored, ("POST",), hot=True, writes=True),
                  Operation("/users/excluded", excluded, Parameters, ExcludedUsers),
                  Operation("/users/{user_id:path}", delete, OneUserRequest, Deleted, ("DELETE",), ("user_id",), writes=True)]
    return application(metrics, "Stores plays and other feedback.", settings.service, operations, lifespan,
                       lambda: {"store": type(store()).__name__}, health.readiness)
