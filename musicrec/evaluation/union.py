"""What generators find together, and what only one of them finds: ranking cannot exceed the union."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from musicrec.evaluation.judge import Judge
from musicrec.evaluation.targets import Targets


def marginal_hits(judge: Judge, names: Sequence[str] = (), k: int | None = None) -> pd.DataFrame:
    """One row a generator of `names` (default: all), then a row "union".

    hits: targets in the first k of its lists (whole lists when None). only_here: those that no other of `names` finds.
    recall: mean over users of the share of targets found; union: the same for the generators together; union_without: without this one.
    """
    names = tuple(names) or judge.names
    found = np.stack([_within(judge.tallies[name].ranks, k) for name in names])
    times = found.sum(axis=0)
    union = recall(judge.targets, times > 0)
    rows = [{"generator": name, "hits": int(own.sum()), "only_here": int((own & (times == 1)).sum()), "recall": recall(judge.targets, own),
             "union": union, "union_without": recall(judge.targets, times > own)} for name, own in zip(names, found)]
    hits = int((times > 0).sum())
    together = {"generator": "union", "hits": hits, "only_here": hits, "recall": union, "union": union, "union_without": 0.0}
    return pd.DataFrame([*rows, together])


def _within(ranks: NDArray[np.uint16], k: int | None) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = (ranks > 0) & (ranks <= (k or np.iinfo(np.uint16).max))
    return found


def recall(targets: Targets, found: NDArray[np.bool_]) -> float:
    """Mean over users of the share of their targets for which `found` (bool, aligned with targets.items) is true."""
    before = np.concatenate([[0], np.cumsum(found)])
    return float((np.diff(before[targets.indptr]) / np.maximum(targets.counts, 1)).mean())
