"""The recommendations service: offline, online, blended and default lists."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from fastapi import FastAPI
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from musicrec.serving.answers import Answer, Answers, Rules
from musicrec.serving.application import add, answer, application
from musicrec.serving.blending import Pick
from musicrec.serving.features import K_ALIASES
from musicrec.serving.lookup import Lookup, lookup
from musicrec.serving.neighbours import Neighbour, Plays, SimilarItems
from musicrec.serving.parameters import MAX_ID, Flag, Number, read
from musicrec.serving.served import Place, Served

PARTS = ("recommendations", "heard", "popular", "items")


class Described(BaseModel):
    """One item of a verbose answer."""

    item_id: int
    name: str
    artists: list[str]
    source: str
    score: float | None
    reason: str


class Recommendations(BaseModel):
    """Items, best first. `degraded` says what is missing and is there only when something is; `items` only when verbose."""

    recs: list[int]
    degraded: list[str] = []
    items: list[Described] = []


class ItemText(BaseModel):
    """What a person knows a track by; empty where the catalogue lacks it."""

    item_id: int
    name: str
    artists: list[str]
    genres: list[str]


@dataclass(frozen=True)
class Neighbours:
    """Where the two other services answer, and the longest wait for them."""

    features_url: str
    events_url: str
    timeout_s: float


def create_app(place: Place, neighbours: Neighbours, rules: Rules, max_k: int) -> FastAPI:
    """The app over the artifacts at `place`; a request may ask for at most `max_k` items. It loads the current run when it starts."""
    served: Served[Lookup] = Served(place, PARTS, lookup)
    parties: list[tuple[Plays, SimilarItems]] = []

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await asyncio.to_thread(served.refresh)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=256)) as session:
            parties.append((Plays(Neighbour(session, "events", neighbours.events_url, neighbours.timeout_s)),
                            SimilarItems(Neighbour(session, "features", neighbours.features_url, neighbours.timeout_s))))
            yield

    def answers() -> Answers:
        return Answers(served.mapped, *parties[0], rules)

    app = application("recommendations", "Offline, online and blended recommendations of tracks.", lifespan,
                      lambda: _state(served), lambda: None if served.run else "no run is loaded yet")
    user_id = Number("user_id", "The listener; an unknown one gets popular items.", MAX_ID, example=617032)
    k = Number("k", "Items to answer with.", max_k, 100, 1, K_ALIASES, 10)
    verbose = Flag("verbose", "Adds name, artists, source, score and reason of each item.")

    def listed(path: str, said: str, found: Callable[[Answers, int, int], Awaitable[Answer]], in_path: tuple[str, ...] = ()) -> None:
        async def recommendations(request: Request) -> Response:
            user, n, wordy = await read(request, user_id, k, verbose)
            now = answers()
            return _response(now.lookup, await found(now, user, n), wordy)
        recommendations.__doc__ = said
        recommendations.__name__ = path.strip("/").split("/")[0] + ("_of_user" if in_path else "")
        add(app, path, recommendations, Recommendations, user_id, k, verbose, in_path=in_path,
            methods=("GET",) if in_path else ("POST", "GET"))

    async def recommendations_default(request: Request) -> Response:
        """The most popular tracks."""
        n, wordy = await read(request, k, verbose)
        now = answers()
        return _response(now.lookup, now.default(n), wordy)

    async def item(request: Request) -> Response:
        """Name, artists and genres of a track."""
        found = served.mapped.catalogue.item((await read(request, item_id))[0])
        return answer({"item_id": found.item_id, "name": found.name, "artists": found.artists, "genres": found.genres})

    async def offline(now: Answers, user: int, n: int) -> Answer:
        return now.offline(user, n)

    item_id = Number("item_id", "The track asked about.", MAX_ID, aliases=("track_id",), example=99262)
    listed("/recommendations", "Offline and online lists blended.", Answers.blended)
    listed("/recommendations_offline", "The personal list made from the listening history; popular tracks for an unknown user.", offline)
    listed("/recommendations_online", "Tracks similar to the latest plays; empty without plays.", Answers.online)
    listed("/recommendations/{user_id}", "Offline and online lists blended.", Answers.blended, ("user_id",))
    add(app, "/recommendations_default", recommendations_default, Recommendations, k, verbose)
    add(app, "/items/{item_id}", item, ItemText, item_id, methods=("GET",), in_path=("item_id",))
    return app


def _state(served: Served[Lookup]) -> dict[str, Any]:
    run = served.run
    return {"run_id": run and run.run_id, "published_at": run and run.created_at, "users": len(served.mapped.personal.keys),
            "items": len(served.mapped.catalogue.item_ids)}


def _response(lookup: Lookup, found: Answer, verbose: bool) -> Response:
    content: dict[str, Any] = {"recs": [pick.item_id for pick in found.picks]}
    if found.degraded:
        content["degraded"] = found.degraded
    if verbose:
        content["items"] = [_described(lookup, pick) for pick in found.picks]
    return answer(content, headers={"X-Run-Id": lookup.run_id, "X-Strategy": found.strategy})


def _described(lookup: Lookup, pick: Pick) -> dict[str, Any]:
    item = lookup.catalogue.item(pick.item_id)
    return {"item_id": item.item_id, "name": item.name, "artists": item.artists, "source": pick.source, "score": pick.score,
            "reason": _reason(lookup, pick, item.genres)}


def _reason(lookup: Lookup, pick: Pick, genres: tuple[str, ...]) -> str:
    if pick.because is not None:
        return f"similar to {lookup.catalogue.item(pick.because).name or pick.because} which you played"
    if pick.source == "personal":
        return "chosen for you from your listening history"
    return f"popular in {genres[0]}" if genres else "popular"
