"""What the recommendations service asks of the others, and tells them, while it runs."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from musicrec.errors import ServiceError
from musicrec.serving.answers import Answer
from musicrec.serving.app import background
from musicrec.serving.blending import SimilarItems
from musicrec.serving.clients import EventsClient, FeaturesClient, session
from musicrec.serving.contexts import user_contexts
from musicrec.serving.experiments import Assigned, RunningExperiments
from musicrec.serving.exposures import Exposures, Shown
from musicrec.serving.keys import Key, User
from musicrec.serving.lookup import Lookup
from musicrec.serving.metrics import Metrics
from musicrec.serving.model_store import ModelStore
from musicrec.serving.user_context import UserContext
from musicrec.settings import Settings

# Users of a batch whose plays and similar items are asked for together: what comes back is read in a few milliseconds.
_USERS_AT_ONCE = 20
_SIMILAR_PER_PLAY = 100
# Where poll_s is 0.
_EXCLUDED_POLL_S = 10.0
_FIRST_LOOK_S = 5.0


class Upstream:
    """The events and the features service, and the experiments that run."""

    def __init__(self, settings: Settings, metrics: Metrics, store: ModelStore[Lookup]) -> None:
        self.settings, self.metrics, self.experiments = settings, metrics, RunningExperiments(settings, store)
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
            with contextlib.suppress(TimeoutError):  # a run that an experiment names may take long, and follow looks again
                async with asyncio.timeout(_FIRST_LOOK_S):
                    await self.experiments.look()
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

    def assigned(self, user: Key | None) -> Assigned:
        """The variants that the user is in; nobody, and one who was deleted, is in none."""
        return self.experiments.plain if user is None or user in self._excluded else self.experiments.of(user)

    def shown(self, answer: Answer, lookup: Lookup, shown: Shown) -> None:
        """Count an answer for a user, and tell of it."""
        self.metrics.recommended(answer.strategy, answer.sources, answer.unknown)
        self.told(answer, lookup, shown)

    def told(self, answer: Answer, lookup: Lookup, shown: Shown) -> None:
        """Tell the events service of an answer where impressions are on and the user was not deleted."""
        if self.settings.service.impressions and shown.user not in self._excluded:
            self._exposures.add(answer, lookup, shown)

    async def _follow_excluded(self, events: EventsClient) -> None:
        while True:
            await asyncio.sleep(self.settings.service.poll_s or _EXCLUDED_POLL_S)
            await self._look_at_excluded(events)

    async def _look_at_excluded(self, events: EventsClient) -> None:
        with contextlib.suppress(ServiceError):  # those known before stay
            self._excluded = await events.excluded(asyncio.get_running_loop().time() + self.settings.service.batch_timeout_ms / 1000)

    async def _contexts(self, users: Sequence[User], lookup: Lookup, timeout_s: float, online: bool = True) -> list[UserContext]:
        options = [self.assigned(user.key).options for user in users]
        found = await user_contexts([user.key for user in users], options, lookup.items, self._events, self._features,
                                    self.settings.events.per_user, min(_SIMILAR_PER_PLAY, self.settings.blending.max_k), timeout_s, online)
        self._excluded.update(user.key for user, context in zip(users, found) if context.blocked)
        return found
