"""The same figures apart: for users with no, short, middling and long histories, and for tracks by popularity."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from musicrec.evaluation.judge import Judge

Masks = dict[str, tuple[str, NDArray[np.bool_]]]


def segments(judge: Judge, k: int = 10) -> pd.DataFrame:
    """One row a generator and segment that has anybody: generator, of ("users" or "tracks"), segment, meaning, count, and metrics at k.

    Users: cold, then thirds of the warm judged users by number of tracks heard: light, medium, heavy (ties go to the lighter third);
    means over users of precision, recall, ndcg and hit_rate. Tracks: head (the most heard that make half of the plays),
    middle (the next 30 %), tail (the rest that was heard) and new (never heard); recall is the share of all targets in the segment that
    were found, shown the share of places in the first k that the segment takes, targets its number of targets.
    Raises ValueError for a k that was not judged.
    """
    place = judge.place_of(k)
    users, tracks = user_segments(judge), track_segments(judge)
    rows = [row for name in judge.names for row in (*_of_users(judge, name, users, k), *_of_tracks(judge, name, tracks, k, place))]
    return pd.DataFrame(rows)


def user_segments(judge: Judge) -> Masks:
    """Segment -> (meaning, mask over judged users)."""
    rows, warm = judge.history_rows, judge.targets.warm
    lengths = np.zeros(len(rows), np.int64)
    lengths[warm] = judge.history.n_items_of_user[rows[warm]]
    masks: Masks = {"cold": ("no track heard", ~warm)}
    if not warm.any():
        return masks
    first, second = np.quantile(lengths[warm], [1 / 3, 2 / 3], method="lower").astype(int)
    bounds = {"light": (1, first), "medium": (first + 1, second), "heavy": (second + 1, int(lengths.max()))}
    for name, (low, high) in bounds.items():
        masks[name] = (f"{low} to {high} tracks heard", (lengths >= low) & (lengths <= high))
    return masks


def track_segments(judge: Judge) -> Masks:
    """Segment -> (meaning, mask over the catalogue)."""
    listeners = judge.history.n_listeners.astype(np.int64)
    order = np.argsort(-listeners, kind="stable")
    before = np.concatenate([[0], np.cumsum(listeners[order])[:-1]]) / max(int(listeners.sum()), 1)
    place = np.empty(len(listeners))
    place[order] = before
    heard = listeners > 0
    return {"head": ("the most heard, half of all plays", heard & (place < 0.5)),
            "middle": ("the next 30 % of plays", heard & (place >= 0.5) & (place < 0.8)),
            "tail": ("the last 20 % of plays", heard & (place >= 0.8)), "new": ("never heard before the cutoff", ~heard)}


def _of_users(judge: Judge, name: str, masks: Masks, k: int) -> list[dict[str, object]]:
    relevant = judge.relevance(name)
    return [{"generator": name, "of": "users", "segment": segment, "meaning": meaning, "count": int(mask.sum()),
             **{f"{metric}@{k}": float(relevant[f"{metric}@{k}"][mask].mean()) for metric in ("precision", "recall", "ndcg", "hit_rate")}}
            for segment, (meaning, mask) in masks.items() if mask.any()]


def _of_tracks(judge: Judge, name: str, masks: Masks, k: int, place: int) -> list[dict[str, object]]:
    tally, items = judge.tallies[name], judge.targets.items
    found = (tally.ranks > 0) & (tally.ranks <= k)
    shown = tally.exposure(place).sum(axis=0)
    return [{"generator": name, "of": "tracks", "segment": segment, "meaning": meaning, "count": int(mask.sum()),
             "targets": int(mask[items].sum()), f"recall@{k}": float(found[mask[items]].mean()) if mask[items].any() else np.nan,
             f"shown@{k}": float(shown[mask].sum() / max(int(shown.sum()), 1))}
            for segment, (meaning, mask) in masks.items() if mask.any()]
