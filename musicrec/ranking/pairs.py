"""Candidate pairs: the union of several generators' lists, with what each generator said about every pair."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from musicrec.lists import Recommender, empty
from musicrec.matrix import Float32, Int32

SMOOTHING = 60.0
Answers = Mapping[str, tuple[Int32, Float32]]


@dataclass(frozen=True)
class Pairs:
    """The candidates of n users, users in the order asked, items of a user ascending and unique.

    user_index: int32 (n,), row of the history or -1. indptr: int64 (n + 1,), where a user's pairs begin and end.
    item_index: int32 (m,). generators: their names, g of them. ranks: float32 (m, g), 1 is best; scores: float32 (m, g), as the
    generator gave them; places: float32 (m, g), (score - mean) / standard deviation within the user's list of that generator.
    All three are NaN where the generator did not offer the item. fused: float32 (m,), sum over generators of 1 / (60 + rank).
    fused_rank: float32 (m,), rank by fused within the user, 1 is best, ties by ascending item index. A part of the pairs (`where`) keeps
    the ranks of the whole.
    """

    user_index: Int32
    indptr: NDArray[np.int64]
    item_index: Int32
    generators: tuple[str, ...]
    ranks: Float32
    scores: Float32
    places: Float32
    fused: Float32
    fused_rank: Float32

    def __len__(self) -> int:
        return len(self.item_index)

    @property
    def user_of_pair(self) -> Int32:
        """user_index repeated for every pair, int32 (m,)."""
        return np.repeat(self.user_index, np.diff(self.indptr))

    def where(self, keep: NDArray[np.bool_]) -> "Pairs":
        """The pairs for which `keep` (m,) is true; all users stay, some perhaps without pairs."""
        kept = np.concatenate([[0], np.cumsum(keep)])[self.indptr]
        return Pairs(self.user_index, kept, self.item_index[keep], self.generators, self.ranks[keep], self.scores[keep],
                     self.places[keep], self.fused[keep], self.fused_rank[keep])


def answers(recommenders: Mapping[str, Recommender], user_index: Int32, k: int) -> dict[str, tuple[Int32, Float32]]:
    """What each recommender offers these users: items int32 (n, k) and scores float32 (n, k) by name."""
    return {name: recommender.recommend(user_index, k) for name, recommender in recommenders.items()}


def pairs(offered: Answers, user_index: Int32, per_user: int) -> Pairs:
    """The union of the lists, at most `per_user` pairs a user: those with the highest fused value, ties by ascending item index.

    offered: per generator items (n, k) and scores (n, k) for the same n users; k may differ. O(candidates log candidates) a user.

    >>> found = pairs({"a": (np.array([[5, 7]], np.int32), np.array([[2, 1]], np.float32))}, np.array([0], np.int32), 9)
    >>> found.item_index.tolist(), found.ranks[:, 0].tolist(), found.places[:, 0].tolist()
    ([5, 7], [1.0, 2.0], [1.0, -1.0])
    """
    n, width = len(user_index), max((items.shape[1] for items, _ in offered.values()), default=1)
    items, scores = empty(len(offered) * n, width)
    items, scores = items.reshape(len(offered), n, width), scores.reshape(len(offered), n, width)
    for g, (its, values) in enumerate(offered.values()):
        items[g, :, : its.shape[1]], scores[g, :, : its.shape[1]] = its, values
    made = _union(items, scores, max(per_user, 0), SMOOTHING)
    return Pairs(user_index, made[0], made[1], tuple(offered), *made[2:])


@njit(cache=True, nogil=True)
def _union(items, scores, per_user, smoothing):  # type: ignore[no-untyped-def]  # numba takes the types from the call
    g, n, width = items.shape
    room = n * min(per_user, g * width)
    indptr = np.zeros(n + 1, np.int64)
    item_index, fused, fused_rank = np.empty(room, np.int32), np.empty(room, np.float32), np.empty(room, np.float32)
    ranks = np.full((room, g), np.nan, np.float32)
    values, places = ranks.copy(), ranks.copy()
    found, source = np.empty(g * width, np.int32), np.empty(g * width, np.int32)
    for user in range(n):
        size = 0
        for source_place in range(g * width):
            item = items[source_place // width, user, source_place % width]
            if item >= 0:
                found[size], source[size] = item, source_place
                size += 1
        order = np.argsort(found[:size])
        group, total = _groups(found, source, order, width, smoothing)
        rank_of, kept = _best(total, per_user)
        mean, deviation = _moments(scores[:, user], items[:, user])
        begin = indptr[user]
        for place in range(size):
            row = kept[group[place]]
            if row < 0:
                continue
            row += begin
            g_of, rank = source[order[place]] // width, source[order[place]] % width
            item_index[row], fused[row], fused_rank[row] = found[order[place]], total[group[place]], rank_of[group[place]]
            ranks[row, g_of], values[row, g_of] = rank + 1, scores[g_of, user, rank]
            places[row, g_of] = (scores[g_of, user, rank] - mean[g_of]) / deviation[g_of]
        indptr[user + 1] = begin + min(len(total), per_user)
    end = indptr[n]
    return (indptr, item_index[:end].copy(), ranks[:end].copy(), values[:end].copy(), places[:end].copy(), fused[:end].copy(),
            fused_rank[:end].copy())


@njit(cache=True, nogil=True)
def _groups(found, source, order, width, smoothing):  # type: ignore[no-untyped-def]
    group = np.empty(len(order), np.int64)
    total = np.zeros(len(order), np.float64)
    last = -1
    for place in range(len(order)):
        if place == 0 or found[order[place]] != found[order[place - 1]]:
            last += 1
        group[place] = last
        total[last] += 1 / (smoothing + 1 + source[order[place]] % width)
    return group, total[: last + 1]


@njit(cache=True, nogil=True)
def _best(total, per_user):  # type: ignore[no-untyped-def]
    rank_of, kept = np.empty(len(total), np.int64), np.full(len(total), -1, np.int64)
    # Rounding keeps sums of the same terms in another order equal, so that ties stay ties.
    rank_of[np.argsort(-np.round(total, 9), kind="mergesort")] = np.arange(1, len(total) + 1)
    row = 0
    for place in range(len(total)):
        if rank_of[place] <= per_user:
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


def top(found: Pairs, scores: Float32, k: int) -> tuple[Int32, Float32]:
    """The k best pairs of each user by `scores` (m,): items int32 (n, k) and scores float32 (n, k), ties by ascending item index."""
    items, values = empty(len(found.user_index), k)
    _fill_top(found.indptr, found.item_index, scores.astype(np.float32), items, values)
    return items, values


@njit(cache=True, nogil=True)
def _fill_top(indptr, item_index, scores, items, values):  # type: ignore[no-untyped-def]
    k = items.shape[1]
    for user in range(len(items)):
        begin = indptr[user]
        order = np.argsort(-scores[begin:indptr[user + 1]], kind="mergesort")[:k]
        for place in range(len(order)):
            items[user, place] = item_index[begin + order[place]]
            values[user, place] = scores[begin + order[place]]
