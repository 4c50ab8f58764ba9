"""Answers as HTTP responses."""

from typing import Any

from musicrec.serving.answers import Answer, Answers
from musicrec.serving.app import Json
from musicrec.serving.exposures import RECOMMENDATION_ID, new_recommendation_id


def headers_of(answers: Answers, answer: Answer, recommendation_id: str = "") -> dict[str, str]:
    """Which run answered, how, and the id of the answer, a new one where none is given."""
    return {"X-Run-Id": answers.lookup.run_id, "X-Strategy": answer.strategy,
            RECOMMENDATION_ID: recommendation_id or new_recommendation_id()}


def responded(answers: Answers, answer: Answer, verbose: bool, by_key: bool, recommendation_id: str = "", identified: bool = False,
              **more: Any) -> Json:
    """The response: `recs`, what is missing, if anything is, details where `verbose`, and `more`; the id of the answer is in a header,
    and in the body where `identified`.
    """
    headers = headers_of(answers, answer, recommendation_id)
    content: dict[str, Any] = {"recs": answers.lookup.items.all_shown(answer.item_ids, by_key), **more}
    if identified:
        content["recommendation_id"] = headers[RECOMMENDATION_ID]
    if answer.degraded:
        content["degraded"] = answer.degraded
    if verbose:
        content["items"] = answers.described(answer, by_key)
    return Json(content, headers=headers)
