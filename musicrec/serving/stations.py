"""The routes that need no user: popular tracks, recommendations for a session, and radio."""

import random
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Literal, TypeVar
from urllib.parse import quote

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from musicrec.errors import ServiceError
from musicrec.serving.answers import Answer, Answers, filtered
from musicrec.serving.app import Operation
from musicrec.serving.blending import SimilarItems
from musicrec.serving.exposures import Shown, new_recommendation_id
from musicrec.serving.filters import FilteredDefaultRequest, Names, listed
from musicrec.serving.keys import Key
from musicrec.serving.lookup import Lookup
from musicrec.serving.model_store import ModelStore
from musicrec.serving.parameters import keyed, limited, read, refusal
from musicrec.serving.playlists import JSPF, M3U, PlaylistTrack, jspf, m3u
from musicrec.serving.radio import WIDENED, Pool, around, in_turns, of_genre
from musicrec.serving.responses import headers_of, responded
from musicrec.serving.schemas import MAX_ID, WHOLE, Id, ItemId, K, RecommendationsAnswer
from musicrec.serving.upstream import Upstream
from musicrec.serving.user_context import NO_CONTEXT, Memory, UserContext
from musicrec.settings import sections

_MAX_ITEMS, _MAX_TRACKS, _MOST_OF_ARTIST = 50, 10, 500
D = TypeVar("D", bound=FilteredDefaultRequest)
SimilarOf = Callable[[Sequence[int]], Awaitable[dict[int, SimilarItems]]]


class SessionItem(BaseModel):
    """One item of a session: what the listener did with it, and the share of it that was played."""

    item_id: ItemId
    type: Literal["play", "skip", "like", "dislike"] = "play"
    played_share: Annotated[float, Field(ge=0, le=1)] | None = None


class SessionRequest(FilteredDefaultRequest):
    """A list for a session, of whoever it is."""

    items: Annotated[list[SessionItem], Field(
        min_length=1, max_length=_MAX_ITEMS, description="What was played in the session, the latest first.",
        examples=[[{"item_id": 99262}, {"item_id": 590303, "type": "skip", "played_share": 0.1}]])]


class RadioRequest(FilteredDefaultRequest):
    """Tracks around tracks, artists and genres."""

    track: Annotated[tuple[Id, ...], Field(max_length=_MAX_TRACKS), BeforeValidator(listed), Field(
        description="Tracks to play something like. May be repeated.", examples=[[99262]])] = ()
    artist: Annotated[Names, Field(description="Artists by name. May be repeated.", examples=[[]])] = ()
    genre: Annotated[Names, Field(description="Genres by name. May be repeated.", examples=[[]])] = ()
    k: K = 50
    mode: Annotated[sections.Mode, Field(description="Tracks that user_id has not played, those played, or both, without what was refused. "
                                         "Without user_id all tracks are new.", examples=["mixed"])] = "mixed"
    difficulty: Annotated[Literal["easy", "medium", "hard"], Field(
        description="easy: well known and most similar; hard: little known and less similar.", examples=["easy"])] = "easy"
    seed: Annotated[int, Field(ge=0, le=MAX_ID), WHOLE, Field(
        default_factory=lambda: random.getrandbits(31), description="The same number gives the same list again.", examples=[7])]
    format: Annotated[Literal["json", "jspf", "m3u"], Field(description="Form of the answer.", examples=["json"])] = "json"


class StationAnswer(RecommendationsAnswer):
    """Items, best first, or in the order in which to play them, and the id of this answer; a radio's `seed` gives the same again."""

    model_config = ConfigDict(json_schema_extra={"example": {"recommendation_id": "5f0c6a1de2b34978", "seed": 7, "recs": [99262, 590303]}})
    recommendation_id: str
    seed: int = 0


def stations(store: ModelStore[Lookup], upstream: Upstream, max_k: int) -> list[Operation]:
    """The operations."""
    default_model = limited(FilteredDefaultRequest, max_k)
    session_model, radio_model = limited(SessionRequest, max_k), limited(RadioRequest, max_k)

    async def answers_of(request: Request, model: type[D]) -> tuple[D, Answers, Shown]:
        """The parameters, what answers them, and what there is to tell of the answer."""
        began, mapped = time.perf_counter(), store.mapped
        asked = await read(request, keyed(model) if mapped.has_keys else model)
        user = _somebody(mapped, asked.user_id)
        assigned = upstream.assigned(user)
        answers = filtered(assigned.lookup or mapped, assigned.options, asked)
        return asked, answers, Shown(user, new_recommendation_id(), assigned.variant, asked.offset, began)

    def told(answers: Answers, answer: Answer, shown: Shown) -> dict[str, str]:
        """The headers of an answer, of which the events service is told."""
        upstream.told(answer, answers.lookup, shown)
        return headers_of(answers, answer, shown.recommendation_id, shown.variant)

    async def recommendations_default(request: Request) -> Response:
        """The most popular tracks."""
        asked, answers, shown = await answers_of(request, default_model)
        answer = answers.default(asked.k + asked.offset).after(asked.offset)
        return responded(answers, answer, asked.verbose, getattr(asked, "keys", False), told(answers, answer, shown))

    async def session_recommendations(request: Request) -> Response:
        """Tracks similar to those of a session, filled up with popular ones."""
        asked, answers, shown = await answers_of(request, session_model)
        context = await session_context(asked.items, answers.lookup, upstream.similar)
        answer = answers.session(asked.k + asked.offset, context).after(asked.offset)
        by_key = getattr(asked, "keys", False) or any(isinstance(item.item_id, str) for item in asked.items)
        return responded(answers, answer, asked.verbose, by_key, told(answers, answer, shown), identified=True)

    async def radio(request: Request) -> Response:
        """Tracks around tracks, artists and genres, as JSON, JSPF or M3U."""
        asked, answers, shown = await answers_of(request, radio_model)
        answers, context = await _to_listener(answers, asked, shown.user, upstream)
        mapped = answers.lookup
        tracks = [item for item in map(mapped.items.id_of, asked.track) if item >= 0]
        pools, missing = await _pools(answers, asked, tracks, upstream.similar)
        items = in_turns(pools, asked.difficulty, asked.seed)
        answer = answers.radio(items, asked.k + asked.offset, tracks, context, missing).after(asked.offset)
        by_key = getattr(asked, "keys", False) or any(isinstance(item, str) for item in asked.track)
        headers = told(answers, answer, shown)
        if asked.format == "json":
            return responded(answers, answer, asked.verbose, by_key, headers, identified=True, seed=asked.seed)
        write, media = (jspf, JSPF) if asked.format == "jspf" else (m3u, M3U)
        names = [*(mapped.catalog.item(track).name for track in tracks), *asked.artist, *asked.genre]
        playlist = write(f"Radio: {', '.join(names)}", playlist_tracks(mapped, answer.item_ids, by_key, str(request.base_url)))
        return Response(playlist, media_type=media, headers=headers)

    return [Operation("/recommendations_default", recommendations_default, default_model, RecommendationsAnswer, hot=True),
            Operation("/session/recommendations", session_recommendations, session_model, StationAnswer, ("POST",), hot=True),
            Operation("/radio", radio, radio_model, StationAnswer, ("GET",), hot=True, media=(JSPF, M3U))]


async def session_context(items: Sequence[SessionItem], mapped: Lookup, similar: SimilarOf) -> UserContext:
    """What is similar to the items of a session, the latest first: against those that were skipped or disliked, twice for a like."""
    ids = [mapped.items.id_of(item.item_id) for item in items]
    known = [(item_id, weight(item)) for item_id, item in zip(ids, items) if item_id >= 0]
    memory = Memory(session=[item_id for item_id, _ in known])
    try:
        found = await similar(list(dict.fromkeys(item_id for item_id, _ in known)))
    except ServiceError as cause:
        return UserContext(memory.session, missing=(str(cause),), memory=memory)
    weighted = [found[item_id]._replace(scores=[score * times for score in found[item_id].scores]) for item_id, times in known]
    return UserContext(memory.session, weighted, unknown=len(ids) - len(known), memory=memory)


def _somebody(mapped: Lookup, user: Key | None) -> Key | None:
    """The key of the user; None where keys are ids and that is none."""
    return None if user is None or not (mapped.has_keys or (isinstance(user, int) and user <= MAX_ID)) else mapped.users.canonical(user)


def weight(item: SessionItem) -> float:
    """How much what is similar to an item of a session is wanted.

    >>> [weight(SessionItem(item_id=1, type=kind, played_share=0.25)) for kind in ("play", "like", "skip", "dislike")]
    [0.25, 2.0, -0.75, -1.0]
    """
    share = item.played_share
    return {"play": 1.0 if share is None else share, "like": 2.0, "skip": (share or 0.0) - 1.0, "dislike": -1.0}[item.type]


async def _to_listener(answers: Answers, asked: RadioRequest, listener: Key | None, upstream: Upstream) -> tuple[Answers, UserContext]:
    """The answers of `mode`, where it is named, and what is known of the listener."""
    if "mode" not in asked.model_fields_set or listener is None:
        if asked.mode == "familiar":
            raise refusal("mode", "mode=familiar needs the user_id of the listener", asked.mode)
        return answers, NO_CONTEXT
    user = answers.lookup.user(listener, asked)
    context = await upstream.context(user, answers.lookup, online=False)
    return answers.of_mode(asked.mode, upstream.admitted(user).user_id, context), context


async def _pools(answers: Answers, asked: RadioRequest, tracks: Sequence[int], similar: SimilarOf) -> tuple[list[Pool], tuple[str, ...]]:
    """A pool for each track, artist and genre, and what is missing; popular tracks where no similar ones can be had."""
    if not (asked.track or asked.artist or asked.genre):
        raise refusal("track", "track, artist or genre is missing; name at least one", None)
    columns, popular, missing = answers.lookup.columns, answers.lookup.popular, tuple[str, ...]()
    of_artists = [popular[columns.artists.of("artist", name)[:_MOST_OF_ARTIST]].tolist() for name in asked.artist]
    genres = [columns.genres.of("genre", name) for name in asked.genre]
    first, further = [SimilarItems(-1, items, [1.0] * len(items)) for items in of_artists], dict[int, SimilarItems]()
    try:
        near = await similar(tracks)
        first = [*(near[track] for track in tracks), *first]
        further = await similar(list({item for one in first for item in one.items[:WIDENED]}))
    except ServiceError as cause:
        missing = (str(cause),)
    pools = [around("artist" if one.played < 0 else "track", one, further, columns) for one in first]
    pools += [of_genre(places, popular, answers.mask) for places in genres]
    if missing and not pools:
        pools = [of_genre(np.arange(len(popular), dtype=np.int32), popular, answers.mask)]
    return pools, missing


def playlist_tracks(mapped: Lookup, item_ids: Sequence[int], by_key: bool, base: str) -> list[PlaylistTrack]:
    """The items as tracks of a playlist; base: the address of the recommendations service, with a slash at its end."""
    shown = mapped.items.all_shown(item_ids, by_key)
    return [PlaylistTrack(item.name or str(key), item.artists, f"{base}items/{quote(str(key), safe='')}")
            for key, item in zip(shown, map(mapped.catalog.item, item_ids))]
