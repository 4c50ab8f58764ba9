"""The union of the lists of several models, with the rank and the score that each model gives a candidate."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from musicrec.dataset import Float32, Int32
from musicrec.lists import FittedModel, empty

# Cormack, Clarke, Buettcher, "Reciprocal rank fusion outperforms Condorcet and individual rank learning methods", SIGIR 2009.
RRF_CONSTANT = 60.0
ModelLists = Mapping[str, tuple[Int32, Float32]]


@dataclass(frozen=True)
class Candidates:
    """The candidates of n users, in the order of these users; the items of a user are ascending and unique.

    user_index: int32 (n,), rows of the train set or -1. indptr: int64 (n + 1,), where the candidates of each user begin and end.
    item_index: int32 (m,). models: the names of the g models. ranks: float32 (m, g), 1 is best; scores: float32 (m, g), those of
    the model; zscores: float32 (m, g), (score - mean) / standard deviation within the user's list of that model.
    All three are NaN where the model did not recommend the item. rrf: float32 (m,), sum over models of 1 / (60 + rank).
    rrf_rank: float32 (m,), rank by rrf within the user, 1 is best, ties by ascending item index. A part of the candidates (see where)
    keeps its ranks.
    """

    user_index: Int32
    indptr: NDArray[np.int64]
    item_index: Int32
    models: tuple[str, ...]
    ranks: Float32
    scores: Float32
    zscores: Float32
    rrf: Float32
    rrf_rank: Float32

    def __len__(self) -> int:
        return len(self.item_index)

    @property
    def user_of_candidate(self) -> Int32:
        """user_index repeated for every candidate, int32 (m,)."""
        return np.repeat(self.user_index, np.diff(self.indptr))

    def where(self, keep: NDArray[np.bool_]) -> "Candidates":
        """The candidates for which `keep` (m,) is true, these themselves where it always is; all users stay, also those without candidates.
        """
        if keep.all():
            return self
        kept = np.concatenate([[0], np.cumsum(keep)])[self.indptr]
        return Candidates(self.user_index, kept, self.item_index[keep], self.models, self.ranks[keep], self.scores[keep],
                          self.zscores[keep], self.rrf[keep], self.rrf_rank[keep])

    def of_users(self, start: int, stop: int) -> "Candidates":
        """The candidates of the users from position `start` up to `stop`; nothing is copied."""
        rows = slice(self.indptr[start], self.indptr[stop])
        return Candidates(self.user_index[start:stop], self.indptr[start:stop + 1] - self.indptr[start], self.item_index[rows],
                          self.models, self.ranks[rows], self.scores[rows], self.zscores[rows], self.rrf[rows], self.rrf_rank[rows])


def lists_of_models(models: Mapping[str, FittedModel], user_index: Int32, k: int) -> dict[str, tuple[Int32, Float32]]:
    """The lists of each model for these users: items int32 (n, k) and scores float32 (n, k) by name."""
    return {name: model.recommend(user_index, k) for name, model in models.items()}


def first_k(lists: ModelLists, k: int) -> dict[str, tuple[Int32, Float32]]:
    """The first k items of every list."""
    return {name: (items[:, :k], scores[:, :k]) for name, (items, scores) in lists.items()}


def candidates(lists: ModelLists, user_index: Int32, max_candidates: int) -> Candidates:
    """The union of the lists, at most `max_candidates` a user: those with the highest rrf, ties by ascending item index.

    lists: by model, items (n, k) and scores (n, k) for the same n users; k may differ. O(candidates log candidates) per user.

    >>> found = candidates({"a": (np.array([[5, 7]], np.int32), np.array([[2, 1]], np.float32))}, np.array([0], np.int32), 9)
    >>> found.item_index.tolist(), found.ranks[:, 0].tolist(), found.zscores[:, 0].tolist()
    ([5, 7], [1.0, 2.0], [1.0, -1.0])
    """
    n, width = len(user_index), max((items.shape[1] for items, _ in lists.values()), default=1)
    items, scores = empty(len(lists) * n, width)
    items, scores = items.reshape(len(lists), n, width), scores.reshape(len(lists), n, width)
    for g, (its, values) in enumerate(lists.values()):
        items[g, :, :its.shape[1]], scores[g, :, :its.shape[1]] = its, values
    indptr, item_index, *per_candidate = _union(items, scores, max(max_candidates, 0), RRF_CONSTANT)
    return Candidates(user_index, indptr, item_index, tuple(lists), *per_candidate)


def best_candidates(found: Candidates, scores: Float32, k: int) -> tuple[Int32, Float32]:
    """The k best candidates of each user by `scores` (m,): items int32 (n, k) and scores float32 (n, k), ties by ascending item index."""
    items, values = empty(len(found.user_index), k)
    _fill_top(found.indptr, found.item_index, scores.astype(np.float32), items, values)
    return items, values


@njit(cache=True, nogil=True)
def _union(items, scores, max_candidates, smoothing):  # type: ignore[no-untyped-def]  # numba takes the types from the call
    g, n, width = items.shape
    room = n * min(max_candidates, g * width)
    indptr = np.zeros(n + 1, np.int64)
    item_index, rrf, rrf_rank = np.empty(room, np.int32), np.empty(room, np.float32), np.empty(room, np.float32)
    ranks = np.full((room, g), np.nan, np.float32)
    values, zscores = ranks.copy(), ranks.copy()
    keys, found, source = np.empty(g * width, np.int64), np.empty(g * width, np.int32), np.empty(g * width, np.int32)
    for user in range(n):
        size = 0
        for position in range(g * width):
            item = items[position // width, user, position % width]
            if item >= 0:
                keys[size] = np.int64(item) << 32 | position
                size += 1
        # Numbers that hold both are sorted faster than the order of the items alone.
        for place, key in enumerate(np.sort(keys[:size])):
            found[place], source[place] = key >> 32, key & 0xFFFFFFFF
        group, total = _groups(found[:size], source, width, smoothing)
        rank_of, kept = _best(total, max_candidates)
        mean, deviation = _moments(scores[:, user], items[:, user])
        begin = indptr[user]
        for place in range(size):
            row = kept[group[place]]
            if row < 0:
                continue
            row += begin
            g_of, rank = source[place] // width, source[place] % width
            item_index[row], rrf[row], rrf_rank[row] = found[place], total[group[place]], rank_of[group[place]]
            ranks[row, g_of], values[row, g_of] = rank + 1, scores[g_of, user, rank]
            zscores[row, g_of] = (scores[g_of, user, rank] - mean[g_of]) / deviation[g_of]
        indptr[user + 1] = begin + min(len(total), max_candidates)
    end = indptr[n]
    return (indptr, item_index[:end].copy(), ranks[:end].copy(), values[:end].copy(), zscores[:end].copy(), rrf[:end].copy(),
            rrf_rank[:end].copy())


@njit(cache=True, nogil=True)
def _groups(found, source, width, smoothing):  # type: ignore[no-untyped-def]
    group = np.empty(len(found), np.int64)
    total = np.zeros(len(found), np.float64)
    last = -1
    for place in range(len(found)):
        if place == 0 or found[place] != found[place - 1]:
            last += 1
        group[place] = last
        total[last] += 1 / (smoothing + 1 + source[place] % width)
    return group, total[: last + 1]


@njit(cache=True, nogil=True)
def _best(total, max_candidates):  # type: ignore[no-untyped-def]
    rank_of, kept = np.empty(len(total), np.int64), np.full(len(total), -1, np.int64)
    # Rounding keeps sums of the same terms in another order equal, so that ties stay ties; the lower half of a key is the place.
    keys = np.sort((-np.rint(total * 1e9).astype(np.int64) << 32) | np.arange(len(total)))
    rank_of[keys & 0xFFFFFFFF] = np.arange(1, len(total) + 1)
    row = 0
    for place in range(len(total)):
        if rank_of[place] <= max_candidates:
            kept[place] = row
            row += 1
    return rank_of, kept


@njit(cache=True, nogil=True)
def _moments(scores, items):  # type: ignore[no-untyped-def]
    mean, deviation = np.zeros(len(scores)), np.ones(len(scores))
    for g in range(len(scores)):
        there = scores[g][items[g] >= 0].astype(np.float64)
        if len(there):
            mean[g] = there.mean()
            spread = there.std()
            deviation[g] = spread if spread > 1e-9 * max(abs(mean[g]), 1e-30) else 1.0
    return mean, deviation


@njit(cache=True, nogil=True)
def _fill_top(indptr, item_index, scores, items, values):  # type: ignore[no-untyped-def]
    k = items.shape[1]
    for user in range(len(items)):
        begin = indptr[user]
        order = np.argsort(-scores[begin:indptr[user + 1]], kind="mergesort")[:k]
        for place in range(len(order)):
            items[user, place] = item_index[begin + order[place]]
            values[user, place] = scores[begin + order[place]]
