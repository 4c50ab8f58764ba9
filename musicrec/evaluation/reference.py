"""Figures as the reference notebooks report them, so that they can be compared.

Errors of scores: one of the notebooks compares, for recommended items that were played, the score of the model with the number of
listeners of the item over the whole period, both scaled to 0..1. Hits of cold users: two of them report how many users of the test set
that are not in the train set played an item of their list, and how many items these users played on average.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from musicrec.evaluation.evaluator import Evaluator
from musicrec.evaluation.metrics import Float64


def score_errors(evaluator: Evaluator, name: str, group: NDArray[np.bool_]) -> dict[str, float]:
    """rmse and mae, over the hits of the group's users, between the score of the model and the listeners of the item; NaN without hits.

    Scores are scaled by the lowest and highest score in all lists of the model, listeners by the fewest and the most of any played item;
    the scaled value is 0 where both are equal.
    """
    accumulator = evaluator.accumulators[name]
    rows, items, scores = (np.concatenate(parts) for parts in zip(*accumulator.hits))
    own = group[rows]
    if not own.any():
        return {"rmse": float("nan"), "mae": float("nan")}
    listeners = evaluator.listeners_in_all
    # Items that nobody played would depend on how many more the catalog names.
    played = listeners[listeners > 0]
    truth = _scaled(listeners[items[own]].astype(np.float64), float(played.min()), float(played.max()))
    error = _scaled(scores[own].astype(np.float64), accumulator.lowest, accumulator.highest) - truth
    return {"rmse": float(np.sqrt(np.square(error).mean())), "mae": float(np.abs(error).mean())}


def _scaled(values: Float64, lowest: float, highest: float) -> Float64:
    return (values - lowest) / (highest - lowest) if highest > lowest else np.zeros_like(values)


def figures(evaluator: Evaluator, k: int = 5) -> pd.DataFrame:
    """One row per model and group of users ("warm", "cold") that is not empty, with the columns of the reference notebooks.

    precision, recall: means over users with a list, precision over the items listed. f1: harmonic mean of those two means.
    hit_share: share of users with at least one hit in the whole list; mean_hits and mean_covered: hits, and share of the user's targets,
    averaged over users with a hit. coverage: share of the items in the lists down to the largest k. rmse, mae: see score_errors.
    An Evaluator with rules=REFERENCE and lists that keep seen items follow the protocol of the notebooks exactly.
    """
    groups = [users for users in ("warm", "cold") if evaluator.members(users).any()]
    rows = [_row(evaluator, name, users, k) for name in evaluator.names for users in groups]
    return pd.DataFrame(rows, columns=None if rows else _columns(k))


def _columns(k: int) -> list[str]:
    return ["model", "users", "evaluated", "served", f"precision@{k}", f"recall@{k}", f"f1@{k}", "hit_share", "mean_hits", "mean_covered",
            f"novelty@{k}", "coverage", "rmse", "mae"]


def _row(evaluator: Evaluator, name: str, users: str, k: int) -> dict[str, object]:
    accumulator, group = evaluator.accumulators[name], evaluator.members(users)
    served = group & (accumulator.lengths > 0)
    hits, counts = np.append(accumulator.ranks > 0, False).astype(np.int64), evaluator.targets.counts
    found = np.add.reduceat(hits, evaluator.targets.indptr[:-1]) * (counts > 0)
    relevant, j = evaluator.relevance(name), evaluator.position_of(k)
    precision = _mean(relevant[f"precision@{k}"][served] * k / np.minimum(accumulator.lengths[served], k))
    recall = _mean(relevant[f"recall@{k}"][served])
    with_hit = group & (found > 0)
    return {"model": name, "users": users, "evaluated": int(group.sum()), "served": float((accumulator.lengths[group] > 0).mean()),
            f"precision@{k}": precision, f"recall@{k}": recall, f"f1@{k}": 2 * precision * recall / max(precision + recall, 1e-300),
            "hit_share": float(with_hit.sum() / group.sum()), "mean_hits": _mean(found[with_hit].astype(np.float64)),
            "mean_covered": _mean(found[with_hit] / counts[with_hit]),
            f"novelty@{k}": _mean(accumulator.measures[served, 0, j].astype(np.float64)),
            "coverage": float((accumulator.exposure(len(evaluator.ks) - 1)[int(users == "warm")] > 0).mean()),
            **score_errors(evaluator, name, group)}


def _mean(values: Float64) -> float:
    return float(values.mean()) if len(values) else float("nan")
