"""Answers as HTTP responses."""

from typing import Any

from musicrec.serving.answers import Answer, Answers
from musicrec.serving.app import Json
from musicrec.serving.experiments import VARIANT
from musicrec.serving.exposures import RECOMMENDATION_ID
from musicrec.serving.lookup import Lookup

# By the source of an item; one that was brought by a track names the track, a popular one its genre.
_REASONS = {"personal": "chosen for you from your listening history", "familiar": "played by you before",
            "artist": "by an artist that you asked for", "genre": "of a genre that you asked for"}


def headers_of(answers: Answers, answer: Answer, recommendation_id: str, variant: str = "") -> dict[str, str]:
    """Which run answered, how, the id of the answer, and the variants that the user is in, where there are any."""
    return {"X-Run-Id": answers.lookup.run_id, "X-Strategy": answer.strategy, RECOMMENDATION_ID: recommendation_id,
            **({VARIANT: variant} if variant else {})}


def described(lookup: Lookup, answer: Answer, by_key: bool = False) -> list[dict[str, Any]]:
    """Each item of an answer with its name, artists, source, score and reason; item_id is the key where `by_key`."""
    found = []
    for scored_item in answer.items:
        item = lookup.catalog.item(scored_item.item_id)
        reason = _REASONS.get(scored_item.source) or (f"popular in {item.genres[0]}" if item.genres else "popular")
        if scored_item.because is not None:
            reason = f"similar to {lookup.catalog.item(scored_item.because).name or scored_item.because}"
            reason += " which you played" if scored_item.source == "online" else ""
        found.append({"item_id": lookup.items.shown(item.item_id, by_key), "name": item.name, "artists": item.artists,
                      "source": scored_item.source, "score": scored_item.score, "reason": reason})
    return found


def responded(answers: Answers, answer: Answer, verbose: bool, by_key: bool, headers: dict[str, str], identified: bool = False,
              **more: Any) -> Json:
    """The response with the headers of headers_of: `recs`, what is missing, if anything is, details where `verbose`, and `more`; the id of
    the answer is in a header, and in the body where `identified`.
    """
    content: dict[str, Any] = {"recs": answers.lookup.items.all_shown(answer.item_ids, by_key), **more}
    if identified:
        content["recommendation_id"] = headers[RECOMMENDATION_ID]
    if answer.degraded:
        content["degraded"] = answer.degraded
    if verbose:
        content["items"] = described(answers.lookup, answer, by_key)
    return Json(content, headers=headers)
