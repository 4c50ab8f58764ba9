"""Fold-in: a personal list from what a user has played, without training.

The item factors of ALS stay as the run has them, and the factors of the one user solve the least squares problem of a half-iteration of
ALS (Hu, Koren, Volinsky, "Collaborative filtering for implicit feedback datasets", 2008). The best items are found exactly: items are
scanned by descending norm until norm x user norm is below the k-th score.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from musicrec.serving.arrays import Float32, Int32, arrays
from musicrec.serving.blending import RANK_CONSTANT

Float64 = NDArray[np.float64]
Free = Callable[[Int32], NDArray[np.bool_]]
# The weight of a play since the run, relative to one before it; measured by benchmarks/fold_in.py.
SINCE_THE_RUN = 4.0
MOST = 256
# A first block small enough to be nothing beside a request, then larger ones up to what stays in the cache.
_FIRST_BLOCK, _LARGEST_BLOCK = 1024, 8192
# A product of so many rows is computed by the calling thread alone: the threads of BLAS wait for each other where cores are busy, which
# takes many times longer than such a product. For the same reason blocks are multiplied row by row (vecdot).
_ROWS_AT_ONCE = 64
# Exceeds the rounding error of a float32 inner product.
_ROUNDING = 1 + 1e-5


@dataclass(frozen=True)
class FoldIn:
    """The item factors of a run.

    item_ids: int32 (n,), by descending norm of their factors. factors: float32 (n, f). norms: float32 (n,). ids, rows: int32 (n,),
    ascending ids and where each stands in item_ids. system: float64 (f, f), the factors' Gram matrix plus the regularization. alpha: the
    confidence of a played pair is 1 + alpha x its weight.
    """

    item_ids: Int32
    factors: Float32
    norms: Float32
    ids: Int32
    rows: Int32
    system: Float64
    alpha: float

    def recommended(self, items: Int32, weights: Float32, before: Int32, k: int, free: Free) -> tuple[Int32, Float32]:
        """The k items with the highest scores for a user, best first, int32, and the scores, float32.

        items: ids of what the user has played since the run, the latest first. weights: float32, one an item. before: ids of what the user
        had played before, whose weight is 1. Of each at most MOST count, and those that the run does not know are ignored; both results are
        empty where it knows none. free: which of some items may be recommended. O(items x f^2 + f^3 + scanned items x f).
        """
        # Every n-th: which of the earlier ones are the latest is not known.
        before = before[::-(-len(before) // MOST) or 1]
        items, weights = np.concatenate((items[:MOST], before)), np.concatenate((weights[:MOST], np.ones(len(before), np.float32)))
        user = self.user_factors(items, weights)
        return self._best(user, k, free) if user.any() else (items[:0], user[:0])

    def user_factors(self, items: Int32, weights: Float32) -> Float32:
        """The factors of a user who played `items`, float32 (f,); zeros where no item is known."""
        at = np.minimum(np.searchsorted(self.ids, items), len(self.ids) - 1)
        known = self.ids[at] == items
        played = self.factors[self.rows[at[known]]].astype(np.float64)
        surplus = self.alpha * weights[known].astype(np.float64)
        system = self.system.copy()
        for start in range(0, len(played), _ROWS_AT_ONCE):
            part = slice(start, start + _ROWS_AT_ONCE)
            system += (played[part].T * surplus[part]) @ played[part]
        return np.linalg.solve(system, ((1 + surplus)[:, None] * played).sum(0)).astype(np.float32)

    def _best(self, user: Float32, k: int, free: Free) -> tuple[Int32, Float32]:
        norm, least, start, size = float(np.linalg.norm(user)) * _ROUNDING, -np.inf, 0, _FIRST_BLOCK
        items, scores = self.item_ids[:0], user[:0]
        while start < len(self.norms) and self.norms[start] * norm >= least:
            found: Float32 = np.vecdot(self.factors[start:start + size], user)
            better = np.flatnonzero(found >= least)
            better = better[free(self.item_ids[start + better])]
            items, scores = np.concatenate((items, self.item_ids[start + better])), np.concatenate((scores, found[better]))
            order = np.lexsort((items, -scores))[:k]
            items, scores = items[order], scores[order]
            start, size = start + size, min(2 * size, _LARGEST_BLOCK)
            least = float(scores[-1]) if len(scores) == k else least
        return items, scores


def fused(listed: Int32, folded: Int32) -> tuple[Int32, Float32]:
    """Two lists as one by reciprocal rank fusion, in which the second counts twice, and the scores.

    >>> fused(np.array([5, 7], np.int32), np.array([9, 5], np.int32))[0].tolist()
    [5, 9, 7]
    """
    gains = np.concatenate([weight / (RANK_CONSTANT + np.arange(1, len(items) + 1)) for items, weight in ((listed, 1), (folded, 2))])
    items, places = np.unique(np.concatenate((listed, folded)), return_inverse=True)
    scores = np.bincount(places, gains)
    order = np.lexsort((items, -scores))
    return items[order], scores[order].astype(np.float32)


def fold_in(folder: Path | None) -> FoldIn | None:
    """The FoldIn in the cache folder of the part `factors`; None for a run without factors. Raises ArtifactError for a damaged folder."""
    if folder is None:
        return None
    found = arrays(folder)
    if not len(found["item_id"]):
        return None
    return FoldIn(found["item_id"], found["factors"], found["norms"], found["ids"], found["rows"], found["system"],
                  float(found["alpha"][0]))
