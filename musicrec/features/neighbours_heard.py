"""How many of a user's nearest listeners have heard an item: user-based CF's evidence for any pair, not only for what it offers."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

from musicrec.features.tables import Float64
from musicrec.matrix import Float32, History, Int32


@dataclass(frozen=True)
class NeighboursHeard:
    """Neighbours are the `neighbours` users with the largest sum of squared rarities of shared items, by the product of both norms.

    An item's rarity is ln(1 + users / listeners). Shared items are looked for from the user's rarest item up, while their listeners
    add up to at most `search_budget`; so an item with more listeners than that finds nobody.
    neighbours_heard: how many of them have heard the item, over all days. neighbours_share: their part of the summed similarity,
    0..1. Zeros for users without neighbours, also NaN share for users without history.
    """

    neighbours: int = 50
    search_budget: int = 2000
    key: ClassVar[str] = "user x item"
    names: ClassVar[tuple[str, ...]] = ("neighbours_heard", "neighbours_share")

    def fit(self, history: History) -> "Heard":
        """The listeners of each affordable item, and a norm a user. O(plays), 4 bytes a play of an affordable item."""
        return Heard(self, history)


class Heard:
    """Finds a user's neighbours when asked and keeps nothing of them."""

    def __init__(self, settings: NeighboursHeard, history: History) -> None:
        self.names, self.settings, self.history = settings.names, settings, history
        listeners, matrix = history.n_listeners, history.matrix
        self.rarity: Float64 = np.log1p(len(history.user_ids) / np.maximum(listeners, 1)) ** 2
        self.ends: NDArray[np.int64] = np.cumsum(np.where(listeners <= settings.search_budget, listeners, 0), dtype=np.int64)
        self.users = _listeners(matrix.indptr, matrix.indices, self.ends, listeners <= settings.search_budget)
        self.norms = _norms(matrix.indptr, matrix.indices, self.rarity)

    def values(self, user_index: Int32, item_index: Int32) -> Float32:
        """Measures float32 (m, 2). Cost: search_budget and the plays of the neighbours, once per run of equal users."""
        matrix, chosen = self.history.matrix, self.settings
        out = np.zeros((len(user_index), 2), np.float32)
        _fill(user_index, item_index, matrix.indptr, matrix.indices, self.ends, self.users, self.rarity, self.norms,
              chosen.search_budget, chosen.neighbours, out)
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
def _norms(indptr: Int32, indices: Int32, rarity: Float64) -> Float64:
    norms = np.ones(len(indptr) - 1)
    for user in range(len(norms)):
        total = 0.0
        for play in range(indptr[user], indptr[user + 1]):
            total += rarity[indices[play]]
        norms[user] = np.sqrt(total)
    return norms


@njit(cache=True, nogil=True)
def _fill(users: Int32, items: Int32, indptr: Int32, indices: Int32, ends: NDArray[np.int64], listeners: Int32, rarity: Float64,
          norms: Float64, budget: int, most: int, out: Float32) -> None:
    shared, met = np.zeros(len(norms)), np.empty(budget, np.int32)
    heard, share = np.zeros(len(rarity), np.int32), np.zeros(len(rarity))
    near, similar = np.empty(0, np.int32), np.empty(0)
    current, whole = -1, 1.0
    for row in range(len(users)):
        user = users[row]
        if user != current:
            _count(near, similar, indptr, indices, heard, share, False)
            near, similar = near[:0], similar[:0]
            if user >= 0:
                near, similar = _nearest(user, indptr, indices, ends, listeners, rarity, norms, budget, most, shared, met)
            _count(near, similar, indptr, indices, heard, share, True)
            current, whole = user, max(similar.sum(), 1e-30)
        out[row, 0] = heard[items[row]]
        out[row, 1] = np.nan if user < 0 else share[items[row]] / whole


@njit(cache=True, nogil=True)
def _nearest(user: int, indptr: Int32, indices: Int32, ends: NDArray[np.int64], listeners: Int32, rarity: Float64, norms: Float64,
             budget: int, most: int, shared: Float64, met: Int32) -> tuple[Int32, Float64]:
    own = indices[indptr[user]:indptr[user + 1]]
    n_met = looked = 0
    for place in np.argsort(-rarity[own], kind="mergesort"):
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
            shared[other] += rarity[item]
    others = np.sort(met[:n_met])
    similar = shared[others] / (norms[others] * norms[user])
    shared[others] = 0
    best = np.argsort(-similar, kind="mergesort")[:most]
    return others[best], similar[best]


@njit(cache=True, nogil=True)
def _count(near: Int32, similar: Float64, indptr: Int32, indices: Int32, heard: Int32, share: Float64, add: bool) -> None:
    for place in range(len(near)):
        for play in range(indptr[near[place]], indptr[near[place] + 1]):
            if add:
                heard[indices[play]] += 1
                share[indices[play]] += similar[place]
            else:
                heard[indices[play]] = 0
                share[indices[play]] = 0
