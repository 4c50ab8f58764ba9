"""Metrics by segment: users by their number of seen items, items by popularity."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from musicrec.evaluation.evaluator import Evaluator

Masks = dict[str, tuple[str, NDArray[np.bool_]]]
USER_METRICS = ("precision", "recall", "ndcg", "hit_rate")


def segments(evaluator: Evaluator, k: int = 10) -> pd.DataFrame:
    """One row per model and segment that is not empty: model, of ("users" or "tracks"), segment, meaning, count, and metrics at k.

    Users: cold, then thirds of the warm evaluated users by number of tracks seen: light, medium, heavy (ties go to the lighter third);
    means over users of precision, recall, ndcg and hit_rate. Tracks: head (the most popular ones with half of the plays), middle (the next
    30 %), tail (the other played ones) and new (not played before the cutoff); targets is the number of targets in the segment, recall
    the share of them that were found, exposure the share of the segment in the first k places of all lists.
    Raises ValueError for a k that was not evaluated.
    """
    position = evaluator.position_of(k)
    users, tracks = _user_segments(evaluator), _track_segments(evaluator)
    rows = [row for name in evaluator.names
            for row in (*_of_users(evaluator, name, users, k), *_of_tracks(evaluator, name, tracks, k, position))]
    return pd.DataFrame(rows, columns=_columns(k))


def _user_segments(evaluator: Evaluator) -> Masks:
    """Segment -> (meaning, mask over the evaluated users)."""
    rows, warm = evaluator.train_rows, evaluator.targets.warm
    lengths = np.zeros(len(rows), np.int64)
    lengths[warm] = evaluator.train.n_items_of_user[rows[warm]]
    masks: Masks = {"cold": ("no track seen", ~warm)}
    if not warm.any():
        return masks
    first, second = np.quantile(lengths[warm], [1 / 3, 2 / 3], method="lower").astype(int)
    bounds = {"light": (1, first), "medium": (first + 1, second), "heavy": (second + 1, int(lengths.max()))}
    for name, (low, high) in bounds.items():
        masks[name] = (f"{low} to {high} tracks seen", (lengths >= low) & (lengths <= high))
    return masks


def _track_segments(evaluator: Evaluator) -> Masks:
    """Segment -> (meaning, mask over the items of the train set, then those that came later)."""
    listeners = np.zeros(len(evaluator.listeners_in_all), np.int64)
    listeners[:len(evaluator.train.item_ids)] = evaluator.train.n_listeners
    order = np.argsort(-listeners, kind="stable")
    before = np.concatenate([[0], np.cumsum(listeners[order])[:-1]]) / max(int(listeners.sum()), 1)
    share = np.empty(len(listeners))
    share[order] = before
    played = listeners > 0
    return {"head": ("the most popular, half of all plays", played & (share < 0.5)),
            "middle": ("the next 30 % of plays", played & (share >= 0.5) & (share < 0.8)),
            "tail": ("the last 20 % of plays", played & (share >= 0.8)), "new": ("not played before the cutoff", ~played)}


def _columns(k: int) -> list[str]:
    return ["model", "of", "segment", "meaning", "count", *(f"{metric}@{k}" for metric in USER_METRICS), "targets", f"exposure@{k}"]


def _of_users(evaluator: Evaluator, name: str, masks: Masks, k: int) -> list[dict[str, object]]:
    relevant = evaluator.relevance(name)
    return [{"model": name, "of": "users", "segment": segment, "meaning": meaning, "count": int(mask.sum()),
             **{f"{metric}@{k}": float(relevant[f"{metric}@{k}"][mask].mean()) for metric in USER_METRICS}}
            for segment, (meaning, mask) in masks.items() if mask.any()]


def _of_tracks(evaluator: Evaluator, name: str, masks: Masks, k: int, position: int) -> list[dict[str, object]]:
    accumulator, items = evaluator.accumulators[name], evaluator.targets.items
    found = (accumulator.ranks > 0) & (accumulator.ranks <= k)
    exposure = np.zeros(len(evaluator.listeners_in_all), np.int64)
    exposure[:len(evaluator.train.item_ids)] = accumulator.exposure(position).sum(axis=0)
    return [{"model": name, "of": "tracks", "segment": segment, "meaning": meaning, "count": int(mask.sum()),
             "targets": int(mask[items].sum()), f"recall@{k}": float(found[mask[items]].mean()) if mask[items].any() else np.nan,
             f"exposure@{k}": float(exposure[mask].sum() / max(int(exposure.sum()), 1))}
            for segment, (meaning, mask) in masks.items() if mask.any()]
