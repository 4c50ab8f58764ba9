"""An answer as JSON: item ids, and on request the name, artists, source, score and reason of each."""

from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic_core import to_json
from starlette.responses import Response

from musicrec.serving.answers import Answer
from musicrec.serving.blending import Pick
from musicrec.serving.lookup import Lookup
from musicrec.serving.responses import JsonResponse, answer


class Described(BaseModel):
    """One item of a verbose answer. The scale of a score depends on its source."""

    item_id: int
    name: str
    artists: list[str]
    source: str
    score: float | None
    reason: str


class Recommendations(BaseModel):
    """Items, best first. `degraded` says what is missing and is there only when something is; `items` only when verbose."""

    model_config = ConfigDict(json_schema_extra={"example": {"recs": [99262, 590303, 597196]}})
    recs: list[int]
    degraded: list[str] = []
    items: list[Described] = []


class OfUser(BaseModel):
    """The answer for one user of a batch."""

    user_id: int
    recs: list[int]
    strategy: str


class Batch(BaseModel):
    """One answer for each user asked about, in the order of the request."""

    model_config = ConfigDict(json_schema_extra={
        "example": {"answers": [{"user_id": 617032, "recs": [99262, 590303], "strategy": "blended"}]}})
    answers: list[OfUser]
    degraded: list[str] = []


class ItemText(BaseModel):
    """What a person knows a track by; empty where the catalogue lacks it."""

    item_id: int
    name: str
    artists: list[str]
    genres: list[str]


def response(lookup: Lookup, found: Answer, verbose: bool) -> Response:
    """The response for one user, with run id and strategy in its headers."""
    content: dict[str, Any] = {"recs": [pick.item_id for pick in found.picks]}
    if found.degraded:
        content["degraded"] = found.degraded
    if verbose:
        content["items"] = [_described(lookup, pick) for pick in found.picks]
    return answer(content, headers={"X-Run-Id": lookup.run_id, "X-Strategy": found.strategy})


def batch_entry(user_id: int, found: Answer) -> bytes:
    """The answer for one user of a batch as JSON: many times smaller than its picks, which matters for 1,000 users x 1,000 items."""
    return to_json({"user_id": user_id, "recs": [pick.item_id for pick in found.picks], "strategy": found.strategy})


def batch_response(lookup: Lookup, entries: list[bytes], degraded: list[str]) -> Response:
    """The response for many users; `degraded` says once each what is missing."""
    missing = b',"degraded":' + to_json(degraded) if degraded else b""
    body = b'{"answers":[' + b",".join(entries) + b"]" + missing + b"}"
    return JsonResponse(body, 200, {"X-Run-Id": lookup.run_id, "X-Strategy": "batch"})


def item_response(lookup: Lookup, item_id: int) -> Response:
    """The texts of one track."""
    item = lookup.catalogue.item(item_id)
    return answer({"item_id": item.item_id, "name": item.name, "artists": item.artists, "genres": item.genres})


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
