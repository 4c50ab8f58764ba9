"""How many of a user's nearest neighbors have seen an item, for any pair and not only for items that user_knn recommends."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

from musicrec.dataset import Float32, Int32, TrainSet
from musicrec.features.tables import Float64


@dataclass(frozen=True)
class NeighborsSeen:
    """The `neighbors` most similar users, by cosine of their items weighted by ln(1 + n_users / listeners of the item).

    Neighbors are searched for through the user's items in ascending order of listeners, as long as the sum of these is at most
    search_budget; so no neighbor is found through an item with more listeners than that.
    neighbors_seen: how many of them have seen the item. neighbors_share: their share of the sum of similarities, 0..1. 0 for users without
    neighbors; for cold users neighbors_share is NaN.
    """

    neighbors: int = 50
    search_budget: int = 2000
    key: ClassVar[str] = "user x item"
    names: ClassVar[tuple[str, ...]] = ("neighbors_seen", "neighbors_share")

    def fit(self, train: TrainSet) -> "FittedNeighborsSeen":
        """The listeners of the items with at most search_budget listeners, and a norm per user. O(nnz)."""
        return FittedNeighborsSeen(self, train)


class FittedNeighborsSeen:
    """Finds a user's neighbors when values are computed, and stores none of them."""

    def __init__(self, settings: NeighborsSeen, train: TrainSet) -> None:
        self.names, self.settings, self.train = settings.names, settings, train
        listeners, matrix = train.n_listeners, train.matrix
        self.item_weights: Float64 = np.log1p(len(train.user_ids) / np.maximum(listeners, 1)) ** 2
        self.ends: NDArray[np.int64] = np.cumsum(np.where(listeners <= settings.search_budget, listeners, 0), dtype=np.int64)
        self.users = _listeners(matrix.indptr, matrix.indices, self.ends, listeners <= settings.search_budget)
        self.norms = _norms(matrix.indptr, matrix.indices, self.item_weights)

    def values(self, user_index: Int32, item_index: Int32) -> Float32:
        """Float32 (m, 2). O(search_budget + pairs of the neighbors) once per run of equal users."""
        matrix, chosen = self.train.matrix, self.settings
        out = np.zeros((len(user_index), 2), np.float32)
        _fill(user_index, item_index, matrix.indptr, matrix.indices, self.ends, self.users, self.item_weights, self.norms,
              chosen.search_budget, chosen.neighbors, out)
        return out


@njit(cache=True, nogil=True)
def _listeners(indptr: Int32, indices: Int32, ends: NDArray[np.int64], affordable: NDArray[np.bool_]) -> Int32:
    users = np.empty(ends[-1] if len(ends) else 0, np.int32)
    free = ends.copy()
    for user in range(len(indptr) - 2, -1, -1):
        for play in range(indptr[user], indptr[user + 1]):
            item = indices[play]
            if affordable[item]:
                free[item] -= 1
                users[free[item]] = user
    return users


@njit(cache=True, nogil=True)
def _norms(indptr: Int32, indices: Int32, item_weights: Float64) -> Float64:
    norms = np.ones(len(indptr) - 1)
    for user in range(len(norms)):
        total = 0.0
        for play in range(indptr[user], indptr[user + 1]):
            total += item_weights[indices[play]]
        norms[user] = np.sqrt(total)
    return norms


@njit(cache=True, nogil=True)
def _fill(users: Int32, items: Int32, indptr: Int32, indices: Int32, ends: NDArray[np.int64], listeners: Int32, item_weights: Float64,
          norms: Float64, budget: int, most: int, out: Float32) -> None:
    shared, met = np.zeros(len(norms)), np.empty(budget, np.int32)
    seen, share = np.zeros(len(item_weights), np.int32), np.zeros(len(item_weights))
    neighbors, similar = np.empty(0, np.int32), np.empty(0)
    current, total = -1, 1.0
    for row in range(len(users)):
        user = users[row]
        if user != current:
            _count(neighbors, similar, indptr, indices, seen, share, False)
            neighbors, similar = neighbors[:0], similar[:0]
            if user >= 0:
                neighbors, similar = _nearest(user, indptr, indices, ends, listeners, item_weights, norms, budget, most, shared, met)
            _count(neighbors, similar, indptr, indices, seen, share, True)
            current, total = user, max(similar.sum(), 1e-30)
        out[row, 0] = seen[items[row]]
        out[row, 1] = np.nan if user < 0 else share[items[row]] / total


@njit(cache=True, nogil=True)
def _nearest(user: int, indptr: Int32, indices: Int32, ends: NDArray[np.int64], listeners: Int32, item_weights: Float64, norms: Float64,
             budget: int, most: int, shared: Float64, met: Int32) -> tuple[Int32, Float64]:
    own = indices[indptr[user]:indptr[user + 1]]
    n_met = looked = 0
    for place in np.argsort(-item_weights[own], kind="mergesort"):
        item = own[place]
        start = ends[item - 1] if item > 0 else 0
        looked += ends[item] - start
        if looked > budget or ends[item] == start:
            break
        for other in listeners[start:ends[item]]:
            if other == user:
                continue
            if shared[other] == 0:
                met[n_met] = other
                n_met += 1
            shared[other] += item_weights[item]
    others = np.sort(met[:n_met])
    similar = shared[others] / (norms[others] * norms[user])
    shared[others] = 0
    best = np.argsort(-similar, kind="mergesort")[:most]
    return others[best], similar[best]


@njit(cache=True, nogil=True)
def _count(neighbors: Int32, similar: Float64, indptr: Int32, indices: Int32, seen: Int32, share: Float64, add: bool) -> None:
    for place in range(len(neighbors)):
        for play in range(indptr[neighbors[place]], indptr[neighbors[place] + 1]):
            if add:
                seen[indices[play]] += 1
                share[indices[play]] += similar[place]
            else:
                seen[indices[play]] = 0
                share[indices[play]] = 0
