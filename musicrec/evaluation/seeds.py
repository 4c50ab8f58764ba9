"""The figures as the project's seeds report them, so that ours can be laid beside theirs.

Errors of scores: the third seed compares, for recommended tracks that were played, the generator's score with the number of listeners
of the track over the whole period, both scaled to 0..1. Hits of cold users: the first and fifth seeds count, over users of the future
whom the history does not know, how many found at least one played track in their lists, and how many tracks those found on average.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from musicrec.evaluation.judge import Judge
from musicrec.evaluation.metrics import Float64


def score_errors(judge: Judge, name: str, group: NDArray[np.bool_]) -> dict[str, float]:
    """rmse and mae over the hits of the group's users between the generator's score and the track's listeners; NaN without hits.

    Scores are scaled by the lowest and highest score in all lists of the generator, listeners by those of the catalogue; where the
    lowest is the highest, the scaled value is 0.
    """
    tally = judge.tallies[name]
    rows, items, scores = (np.concatenate(parts) for parts in zip(*tally.hits))
    own = group[rows]
    if not own.any():
        return {"rmse": float("nan"), "mae": float("nan")}
    counts = judge.listeners_in_all
    truth = _scaled(counts[items[own]].astype(np.float64), float(counts.min()), float(counts.max()))
    error = _scaled(scores[own].astype(np.float64), tally.lowest, tally.highest) - truth
    return {"rmse": float(np.sqrt(np.square(error).mean())), "mae": float(np.abs(error).mean())}


def _scaled(values: Float64, lowest: float, highest: float) -> Float64:
    return (values - lowest) / (highest - lowest) if highest > lowest else np.zeros_like(values)


def figures(judge: Judge, k: int = 5) -> pd.DataFrame:
    """One row a generator and group of users ("warm", "cold") that has anybody, with the seeds' columns.

    precision, recall: means over users who got a list, precision over the tracks listed. f1: harmonic mean of those two means.
    hit_share: share of users with at least one hit in the whole list; mean_hits and mean_covered: hits, and share of the user's targets,
    averaged over users with a hit. unheard: the seeds' novelty. coverage: share of the catalogue in the lists down to the largest k.
    rmse, mae: see score_errors.
    Give a Judge with rules=SEEDS and lists that keep heard tracks to follow the seeds' protocol to the letter.
    """
    groups = [users for users in ("warm", "cold") if judge.members(users).any()]
    return pd.DataFrame([_row(judge, name, users, k) for name in judge.names for users in groups])


def _row(judge: Judge, name: str, users: str, k: int) -> dict[str, object]:
    tally, group = judge.tallies[name], judge.members(users)
    served = group & (tally.lengths > 0)
    found = np.add.reduceat(np.append(tally.ranks > 0, False).astype(np.int64), judge.targets.indptr[:-1]) * (judge.targets.counts > 0)
    relevant, j = judge.relevance(name), judge.place_of(k)
    precision = _mean(relevant[f"precision@{k}"][served] * k / np.minimum(tally.lengths[served], k))
    recall = _mean(relevant[f"recall@{k}"][served])
    lucky = group & (found > 0)
    return {"generator": name, "users": users, "judged": int(group.sum()), "served": float((tally.lengths[group] > 0).mean()),
            f"precision@{k}": precision, f"recall@{k}": recall, f"f1@{k}": 2 * precision * recall / max(precision + recall, 1e-300),
            "hit_share": float(lucky.sum() / group.sum()), "mean_hits": _mean(found[lucky].astype(np.float64)),
            "mean_covered": _mean(found[lucky] / judge.targets.counts[lucky]),
            f"unheard@{k}": _mean(tally.measures[served, 0, j].astype(np.float64)),
            "coverage": float((tally.exposure(len(judge.ks) - 1)[int(users == "warm")] > 0).mean()), **score_errors(judge, name, group)}


def _mean(values: Float64) -> float:
    return float(values.mean()) if len(values) else float("nan")
