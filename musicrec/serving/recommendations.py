"""The recommendations service: offline, online, blended and default lists."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import aiohttp
from fastapi import FastAPI
from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import Response

from musicrec.serving.answers import Answer, Answers, Rules
from musicrec.serving.application import add, application
from musicrec.serving.breaker import Breaker
from musicrec.serving.described import Batch, ItemText, Recommendations, batch_entry, batch_response, item_response, response
from musicrec.serving.gate import Guards
from musicrec.serving.impressions import Impressions
from musicrec.serving.knowledge import Known, Questions, known
from musicrec.serving.lookup import Lookup, lookup
from musicrec.serving.metrics import Metrics
from musicrec.serving.neighbours import Neighbour, Plays, SimilarItems, session
from musicrec.serving.parameters import K_ALIASES, MAX_BATCH, MAX_ID, Flag, Number, Numbers, read
from musicrec.serving.served import Place, Served
from musicrec.serving.watch import Watch, add_reload

PARTS = ("recommendations", "heard", "popular", "items")
_USERS_AT_ONCE = 20


@dataclass(frozen=True)
class Neighbours:
    """Where the two other services answer, the key they ask for, and when they are left alone."""

    features_url: str
    events_url: str
    api_key: SecretStr
    failures: int
    pause_s: float


@dataclass(frozen=True)
class Options:
    """How the service behaves: rules of answers, questions to neighbours, limits, how runs are taken up."""

    rules: Rules
    questions: Questions
    guards: Guards
    max_k: int
    poll_s: float
    reload_key: SecretStr
    impressions: bool


class Asking:
    """The neighbours while the service runs."""

    def __init__(self, neighbours: Neighbours, options: Options, metrics: Metrics) -> None:
        self.neighbours, self.options, self.metrics = neighbours, options, metrics
        self._session: aiohttp.ClientSession | None = None

    @asynccontextmanager
    async def ready(self) -> AsyncIterator[None]:
        """Open the pool of connections; close it when the block ends."""
        async with AsyncExitStack() as stack:
            self._session = await stack.enter_async_context(session())
            self._plays = Plays(self._neighbour("events", self.neighbours.events_url))
            self._similar = SimilarItems(self._neighbour("features", self.neighbours.features_url))
            self._shown = Impressions(self._neighbour("events", self.neighbours.events_url), self.metrics,
                                      self.options.questions.batch_timeout_s)
            await stack.enter_async_context(self._shown.told())
            yield

    async def known(self, user_ids: list[int]) -> list[Known]:
        """What the neighbours know of the users."""
        return await known(user_ids, self._plays, self._similar, self.options.questions)

    def shown(self, user_id: int, found: Answer) -> None:
        """Count an answer, and tell the events service of it where impressions are on."""
        self.metrics.recommended(found.strategy, (pick.source for pick in found.picks))
        if self.options.impressions:
            self._shown.add(user_id, found.picks)

    def _neighbour(self, name: str, url: str) -> Neighbour:
        assert self._session is not None
        failed = self.metrics.failures.labels(name).inc
        breaker = Breaker(self.neighbours.failures, self.neighbours.pause_s, asyncio.get_running_loop().time)
        key = self.neighbours.api_key.get_secret_value()
        headers = {"X-API-Key": key} if key else {}
        return Neighbour(self._session, name, url, breaker, failed, headers)


def create_app(place: Place, neighbours: Neighbours, options: Options) -> FastAPI:
    """The app over the artifacts at `place`. It loads the current run when it starts, and later ones as `options` say."""
    served: Served[Lookup] = Served(place, PARTS, lookup)
    metrics = Metrics("recommendations")
    watch = Watch(served, metrics)
    asking = Asking(neighbours, options, metrics)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with watch.kept(options.poll_s), asking.ready():
            yield

    app = application(metrics, "Offline, online and blended recommendations of tracks.", lifespan, lambda: _state(served) | watch.state(),
                      watch.readiness, options.guards)
    _add_lists(app, served, asking, options)
    _add_batch(app, served, asking, options)
    add_reload(app, watch, options.reload_key)
    return app


def _add_lists(app: FastAPI, served: Served[Lookup], asking: Asking, options: Options) -> None:
    user_id = Number("user_id", "The listener; an unknown one gets popular items.", MAX_ID, example=617032)
    item_id = Number("item_id", "The track asked about.", MAX_ID, example=99262)
    k = Number("k", "Items to answer with.", options.max_k, 100, 1, K_ALIASES, 10)
    verbose = Flag("verbose", "Adds name, artists, source, score and reason of each item.")

    def listed(path: str, said: str, found: Callable[[Answers, int, int], Awaitable[Answer]], in_path: tuple[str, ...] = ()) -> None:
        async def recommendations(request: Request) -> Response:
            user, n, wordy = await read(request, user_id, k, verbose)
            run = served.mapped
            answer = await found(Answers(run, options.rules), user, n)
            asking.shown(user, answer)
            return response(run, answer, wordy)
        recommendations.__doc__ = said
        recommendations.__name__ = path.strip("/").split("/")[0] + ("_of_user" if in_path else "")
        add(app, path, recommendations, Recommendations, user_id, k, verbose, in_path=in_path,
            methods=("GET",) if in_path else ("POST", "GET"))

    async def recommendations_default(request: Request) -> Response:
        """The most popular tracks."""
        n, wordy = await read(request, k, verbose)
        return response(served.mapped, Answers(served.mapped, options.rules).default(n), wordy)

    async def item(request: Request) -> Response:
        """Name, artists and genres of a track."""
        return item_response(served.mapped, (await read(request, item_id))[0])

    async def offline(answers: Answers, user: int, n: int) -> Answer:
        return answers.offline(user, n)

    async def online(answers: Answers, user: int, n: int) -> Answer:
        return answers.online(user, n, (await asking.known([user]))[0])

    async def blended(answers: Answers, user: int, n: int) -> Answer:
        return answers.blended(user, n, (await asking.known([user]))[0])

    listed("/recommendations", "Offline and online lists blended.", blended)
    listed("/recommendations_offline", "The personal list made from the listening history; popular tracks for an unknown user.", offline)
    listed("/recommendations_online", "Tracks similar to the latest plays; empty without plays.", online)
    listed("/recommendations/{user_id}", "Offline and online lists blended.", blended, ("user_id",))
    add(app, "/recommendations_default", recommendations_default, Recommendations, k, verbose)
    add(app, "/items/{item_id}", item, ItemText, item_id, methods=("GET",), in_path=("item_id",))


def _add_batch(app: FastAPI, served: Served[Lookup], asking: Asking, options: Options) -> None:
    user_ids = Numbers("user_ids", "The listeners.", MAX_ID, MAX_BATCH, example=(617032, 1291248))
    k = Number("k", "Items a user.", options.max_k, 10, 1, K_ALIASES, 10)

    async def recommendations_batch(request: Request) -> Response:
        """Blended lists of many users, with one call to each neighbour for all of them."""
        users, n = await read(request, user_ids, k)
        run = served.mapped
        answers, entries, degraded = Answers(run, options.rules), [], dict[str, None]()
        for at, (user, one) in enumerate(zip(users, await asking.known(users))):
            if at % _USERS_AT_ONCE == _USERS_AT_ONCE - 1:
                await asyncio.sleep(0)  # so that a large batch does not hold up everybody else
            found = answers.blended(user, n, one)
            asking.shown(user, found)
            entries.append(batch_entry(user, found))
            degraded |= dict.fromkeys(found.degraded)
        return batch_response(run, entries, list(degraded))

    add(app, "/recommendations/batch", recommendations_batch, Batch, user_ids, k, methods=("POST",))


def _state(served: Served[Lookup]) -> dict[str, object]:
    run = served.run
    return {"run_id": run and run.run_id, "published_at": run and run.created_at,
            "users": len(served.mapped.personal.keys), "items": len(served.mapped.catalogue.item_ids)}
