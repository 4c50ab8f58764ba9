"""Hits of the union of models, which no ranking exceeds, hits of one model alone, and where the other targets are lost."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from musicrec.evaluation.evaluator import Evaluator
from musicrec.evaluation.targets import Targets


def marginal_hits(evaluator: Evaluator, names: Sequence[str] = (), k: int | None = None) -> pd.DataFrame:
    """One row per model of `names` (default: all), then a row "union".

    hits: targets in the first k of its lists (whole lists when None). only_here: those that no other of `names` finds.
    recall: mean over users of the share of targets found; union: the same for the models together; union_without: without this one.
    """
    names = tuple(names) or evaluator.names
    ranks = [evaluator.accumulators[name].ranks for name in names]
    found = np.array([_within(one, k) for one in ranks], bool).reshape(len(names), len(evaluator.targets.items))
    n_models = found.sum(axis=0)
    union, hits = _recall(evaluator.targets, n_models > 0), int((n_models > 0).sum())
    rows = [{"model": name, "hits": int(own.sum()), "only_here": int((own & (n_models == 1)).sum()),
             "recall": _recall(evaluator.targets, own), "union": union, "union_without": _recall(evaluator.targets, n_models > own)}
            for name, own in zip(names, found)]
    return pd.DataFrame([*rows, {"model": "union", "hits": hits, "only_here": hits, "recall": union, "union": union, "union_without": 0.0}])


def losses(evaluator: Evaluator, published: str, models: Sequence[str], k: int = 10) -> pd.DataFrame:
    """What becomes of the targets of all users: outcome, targets, share; each target is counted in the first row that fits.

    published: the list that is looked at. models: those that recommend its candidates.
    """
    ranks, items = evaluator.accumulators[published].ranks, evaluator.targets.items
    played = np.append(evaluator.train.n_listeners > 0, False)[np.minimum(items, len(evaluator.train.item_ids))]
    warm = np.repeat(evaluator.targets.warm, evaluator.targets.counts)
    found = np.logical_or.reduce([ranks > 0, *(evaluator.accumulators[name].ranks > 0 for name in models)])
    outcomes = {f"in the first {k} of the list": _within(ranks, k), "further down the list": ranks > 0,
                "found by a model, ranked too low for the list": found, "the user is new": ~warm,
                "the item is new": ~played, "no model found it": np.ones(len(items), bool)}
    first = np.argmax(np.array(list(outcomes.values())), axis=0)
    counts = np.bincount(first, minlength=len(outcomes))
    return pd.DataFrame({"outcome": list(outcomes), "targets": counts, "share": counts / max(len(items), 1)})


def _within(ranks: NDArray[np.uint16], k: int | None) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = (ranks > 0) & (ranks <= (k or np.iinfo(np.uint16).max))
    return found


def _recall(targets: Targets, found: NDArray[np.bool_]) -> float:
    """Mean over users of the share of their targets for which `found` (bool, aligned with targets.items) is true; NaN without users."""
    if not len(targets):
        return float("nan")
    before = np.concatenate([[0], np.cumsum(found)])
    return float((np.diff(before[targets.indptr]) / np.maximum(targets.counts, 1)).mean())
