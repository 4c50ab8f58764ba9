"""Orders of all items that many users share: the best of them that a user has not heard."""

from functools import partial

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import sparse

from musicrec.candidates.top_k import contains, in_parts
from musicrec.lists import empty
from musicrec.matrix import Float32, History, Int32


def everybody(history: History, scores: Float32, listeners: Int32) -> "Tops":
    """One order for all users."""
    return Tops(history, scores, listeners, np.full(len(history.user_ids), -1, np.int32))


class Tops:
    """One order of the items for everybody, and one for each group of users; recommends the best that a user has not heard.

    scores: float32 (n_items,), the order of everybody. listeners: int32 (n_items,), the users counted for it.
    """

    def __init__(self, history: History, scores: NDArray[np.floating], listeners: Int32, group: Int32,
                 counts: sparse.csr_matrix | None = None, sizes: NDArray[np.integer] | None = None, shrinkage: float = 0.0) -> None:
        self.history, self.scores, self.listeners, self.group = history, scores.astype(np.float32), listeners, group
        self._counts, self._sizes, self._shrinkage = counts, sizes, shrinkage
        self._orders: dict[int, tuple[Int32, Float32]] = {}

    def recommend(self, user_index: Int32, k: int) -> tuple[Int32, Float32]:
        """Items int32 (n, k) and scores float32 (n, k). Row -1 gets the top of everybody. O(k + heard) a user."""
        items, scores = empty(len(user_index), k)
        indptr, heard = self.history.matrix.indptr.astype(np.int64), self.history.matrix.indices
        group = np.where(user_index >= 0, self.group[user_index], -1) if len(self.group) else np.full(len(user_index), -1)
        counts = np.where(user_index >= 0, np.diff(indptr)[user_index], 0) if len(self.group) else np.zeros(len(user_index), np.int64)
        for one in np.unique(group):
            rows = np.flatnonzero(group == one)
            arrays = (*self._order(int(one), k + int(counts[rows].max())), indptr, heard, user_index, rows, items, scores)
            in_parts(len(rows), partial(_unheard, *arrays))
        return items, scores

    def _order(self, group: int, length: int) -> tuple[Int32, Float32]:
        # Only as much of an order as somebody needs is sorted and kept: whole ones would take 8 MB a genre at 1M items.
        known = self._orders.get(group)
        if known is not None and len(known[0]) >= min(length, len(self.scores)):
            return known
        scores = self._scores_of(group)
        order = _best(scores, length)
        self._orders[group] = order, scores[order]
        return self._orders[group]

    def _scores_of(self, group: int) -> Float32:
        if group < 0 or self._counts is None or self._sizes is None:
            return self.scores
        scores = self.scores * np.float32(self._shrinkage)
        part = slice(self._counts.indptr[group], self._counts.indptr[group + 1])
        scores[self._counts.indices[part]] += self._counts.data[part]
        shares: Float32 = (scores / np.float32(self._sizes[group] + self._shrinkage)).astype(np.float32)
        return shares


def _best(scores: Float32, length: int) -> Int32:
    if length >= len(scores):
        return np.argsort(-scores, kind="stable").astype(np.int32)
    # All items that reach the last wanted score are sorted, so that ties at the end are cut by item index.
    least = np.partition(scores, len(scores) - length)[len(scores) - length]
    there = np.flatnonzero(scores >= least)
    best: Int32 = there[np.argsort(-scores[there], kind="stable")[:length]].astype(np.int32)
    return best


@njit(cache=True, nogil=True)
def _unheard(order, values, indptr, heard, user_index, rows, items, scores, start, stop):  # type: ignore[no-untyped-def]
    for place in range(start, stop):
        row = rows[place]
        user = user_index[row]
        known = heard[indptr[user]:indptr[user + 1]] if user >= 0 else heard[:0]
        size = 0
        for rank in range(len(order)):
            if size == items.shape[1]:
                break
            if not contains(known, order[rank]):
                items[row, size], scores[row, size] = order[rank], values[rank]
                size += 1
