"""Ranking metrics of each user, from the rank of each target in the list, 0 where the list lacks it.

With n targets of a user, hits among the first k places, and gain 1 per hit (binary relevance):
precision = hits / k; recall = hits / n; capped_recall = hits / min(k, n); f1 = harmonic mean of precision and recall;
ndcg = sum of 1 / log2(rank + 1) over hits, divided by its largest value, that of min(k, n) hits at the top (Järvelin and Kekäläinen 2002);
map = sum over hits of the precision at their rank / min(k, n); mrr = 1 / rank of the first hit; hit_rate = 1 with a hit, else 0.
A list shorter than k has misses in its empty places; a user without targets or without a list scores 0.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from musicrec.evaluation.targets import Targets

RELEVANCE = ("precision", "recall", "capped_recall", "f1", "ndcg", "map", "mrr", "hit_rate")
Float64 = NDArray[np.float64]


def relevance(targets: Targets, ranks: NDArray[np.uint16], ks: tuple[int, ...]) -> dict[str, Float64]:
    """Columns "precision@5", "recall@5", ... for each k of `ks`, float64 (n,) each, in the order of RELEVANCE within each k.

    ranks: uint16, aligned with targets.items, 1 is best, 0 is absent. O(targets + users x metrics x ks).
    """
    hits, gains, precisions, first = _sums(targets.indptr, ranks, np.array(ks, np.int64))
    columns: dict[str, Float64] = {}
    for j, k in enumerate(ks):
        found, n = hits[:, j].astype(np.float64), np.maximum(targets.counts, 1)
        ideal = np.cumsum(1 / np.log2(np.arange(2, k + 2)))
        cap = np.minimum(n, k)
        precision, recall = found / k, found / n
        both = np.maximum(precision + recall, np.finfo(np.float64).tiny)
        values = (precision, recall, found / cap, 2 * precision * recall / both, gains[:, j] / ideal[cap - 1], precisions[:, j] / cap,
                  np.where((first > 0) & (first <= k), 1 / np.maximum(first, 1), 0.0), (found > 0).astype(np.float64))
        columns |= {f"{name}@{k}": value for name, value in zip(RELEVANCE, values)}
    return columns


@njit(cache=True, nogil=True)
def _sums(indptr, ranks, ks):  # type: ignore[no-untyped-def]
    n_users, n_ks = len(indptr) - 1, len(ks)
    hits = np.zeros((n_users, n_ks), np.int32)
    gains = np.zeros((n_users, n_ks))
    precisions = np.zeros((n_users, n_ks))
    first = np.zeros(n_users, np.int32)
    for user in range(n_users):
        own = ranks[indptr[user]:indptr[user + 1]]
        own = np.sort(own[own > 0])
        if len(own):
            first[user] = own[0]
        for place in range(len(own)):
            rank = np.int64(own[place])
            for j in range(n_ks):
                if rank <= ks[j]:
                    hits[user, j] += 1
                    gains[user, j] += 1 / np.log2(rank + 1.0)
                    precisions[user, j] += (place + 1) / rank
    return hits, gains, precisions, first
