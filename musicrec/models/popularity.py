"""Most popular tracks that a user has not seen: one ranking for all users, or one per group of users with the same favorite genre.

The models differ in what they count: listeners of all time, listeners of the last days, listeners decayed by age, scaled listeners times
scaled plays, or listeners among the users with the same favorite genre.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import sparse

from musicrec.dataset import DAY, Float32, Int32, TrainSet
from musicrec.errors import ModelError
from musicrec.lists import empty
from musicrec.models.protocols import Arrays, Range, SearchSpace
from musicrec.models.top_k import contains, parallel_for
from musicrec.models.weights import checked_weights, decayed_listeners, fans, liked


@dataclass(frozen=True)
class Popular:
    """Items by number of listeners in the whole train set, in logs with feedback by those who liked them, see weights.fans."""

    def fit(self, train: TrainSet) -> "FittedPopularity":
        """Scores are listeners. O(nnz + n_items log n_items)."""
        return _one_ranking(train, fans(train), train.n_listeners)


@dataclass(frozen=True)
class PopularRecent:
    """Items by number of listeners in the last `days` days before the cutoff."""

    days: int = 105

    def fit(self, train: TrainSet) -> "FittedPopularity":
        """Scores are listeners of these days, 0 for items without any. O(nnz + n_items log n_items)."""
        recent = (train.last_played >= train.cutoff - self.days * DAY) & liked(train)
        listeners = np.bincount(train.matrix.indices[recent], minlength=len(train.catalog)).astype(np.int32)
        return _one_ranking(train, listeners, listeners)


@dataclass(frozen=True)
class PopularDecayed:
    """Items by listeners, each weighted by 2 ** (-age in days of their latest play / half_life_days)."""

    search_space: ClassVar[SearchSpace] = {"half_life_days": Range(7.0, 720.0, log=True)}
    half_life_days: float = 90.0

    def fit(self, train: TrainSet) -> "FittedPopularity":
        """Scores are sums of these weights. O(nnz + n_items log n_items). Raises ModelError when half_life_days is not above 0."""
        if not self.half_life_days > 0:
            raise ModelError(f"half_life_days of popular_decayed is {self.half_life_days}; give a number of days above 0.")
        return _one_ranking(train, decayed_listeners(train, self.half_life_days), train.n_listeners)


@dataclass(frozen=True)
class PopularScore:
    """Items by listeners scaled to 0..1 times plays scaled to 0..1, where 0 and 1 are the smallest and largest value of played items."""

    def fit(self, train: TrainSet) -> "FittedPopularity":
        """Scores 0..1; plays are sums of weights. O(nnz + n_items log n_items). Raises ModelError for bad weights."""
        plays = np.bincount(train.matrix.indices, weights=checked_weights(train), minlength=len(train.catalog))
        played = train.n_listeners > 0
        return _one_ranking(train, _scaled(train.n_listeners, played) * _scaled(plays, played), train.n_listeners)


@dataclass(frozen=True)
class PopularByGenre:
    """Items by listeners among the users with the same favorite genre, the genre of most of a user's items.

    shrinkage: a group of users is extended by that many average users, so that the ranking of a small group is close to that of all users.
    """

    shrinkage: float = 20.0

    def fit(self, train: TrainSet) -> "FittedPopularity":
        """Scores are shares 0..1 of the group's users. O(nnz x genres per item), then O(n_items) per group at its first recommendation.

        Cold users, and users whose items have no genre, get the ranking of all users.
        """
        group = favorite_genre(train)
        n_groups = train.catalog.genres.shape[1]
        rows = np.flatnonzero(group >= 0)
        member = sparse.csr_matrix((np.ones(len(rows), np.float32), (group[rows], rows)), shape=(n_groups, len(train.user_ids)))
        matrix = train.matrix
        seen = sparse.csr_matrix((liked(train).astype(np.float32), matrix.indices, matrix.indptr), matrix.shape)
        listeners = sparse.csr_matrix(member @ seen)
        sizes = np.bincount(group[rows], minlength=n_groups)
        shares = (fans(train) / max(len(train.user_ids), 1)).astype(np.float32)
        return FittedPopularity(train, shares, train.n_listeners, group, listeners, sizes, self.shrinkage)


class FittedPopularity:
    """A ranking of the items for all users, and one for each group of users.

    scores: float32 (n_items,), those of the ranking for all users. listeners: int32 (n_items,), the users counted for them.
    group: int32 (n_users,), -1 for users without a group. group_listeners: CSR (n_groups, n_items). group_sizes: (n_groups,).
    """

    def __init__(self, train: TrainSet, scores: Float32, listeners: Int32, group: Int32, group_listeners: sparse.csr_matrix | None = None,
                 group_sizes: NDArray[np.integer] | None = None, shrinkage: float = 0.0) -> None:
        self.train, self.scores, self.listeners, self.group = train, scores, listeners, group
        self._group_listeners, self._group_sizes, self._shrinkage = group_listeners, group_sizes, shrinkage
        self._rankings: dict[int, tuple[Int32, Float32]] = {}

    def arrays(self) -> Arrays:
        """Scores, listeners and groups of users, and the listeners and sizes of the groups where there are any."""
        stored: dict[str, NDArray[Any] | sparse.csr_matrix] = {"scores": self.scores, "listeners": self.listeners, "group": self.group}
        if self._group_listeners is not None and self._group_sizes is not None:
            stored |= {"group_listeners": self._group_listeners, "group_sizes": self._group_sizes}
        return stored

    @classmethod
    def restored(cls, train: TrainSet, settings: Any, arrays: Arrays) -> Self:
        """The model with these arrays."""
        groups = (arrays["group_listeners"], arrays["group_sizes"], settings.shrinkage) if "group_listeners" in arrays else ()
        return cls(train, arrays["scores"], arrays["listeners"], arrays["group"], *groups)

    def recommend(self, user_index: Int32, k: int) -> tuple[Int32, Float32]:
        """Items int32 (n, k) and scores float32 (n, k); row -1 gets the ranking for all users. O(k + seen items) per user."""
        items, scores = empty(len(user_index), k)
        indptr, seen = self.train.matrix.indptr.astype(np.int64), self.train.matrix.indices
        groups = self._groups_of(user_index)
        n_seen = np.where(user_index >= 0, np.diff(indptr)[user_index], 0) if len(self.group) else np.zeros(len(user_index), np.int64)
        for group in np.unique(groups):
            rows = np.flatnonzero(groups == group)
            ranking = self._ranking(int(group), k + int(n_seen[rows].max()))
            parallel_for(len(rows), partial(_fill_unseen, *ranking, indptr, seen, user_index, rows, items, scores))
        return items, scores

    def recommend_with_seen(self, user_index: Int32, k: int) -> tuple[Int32, Float32]:
        """As recommend, with seen items in the lists."""
        items, scores = empty(len(user_index), k)
        groups = self._groups_of(user_index)
        for group in np.unique(groups):
            order, values = (array[:k] for array in self._ranking(int(group), k))
            items[groups == group, : len(order)], scores[groups == group, : len(order)] = order, values
        return items, scores

    def _groups_of(self, user_index: Int32) -> Int32:
        if not len(self.group):
            return np.full(len(user_index), -1, np.int32)
        return np.where(user_index >= 0, self.group[user_index], np.int32(-1))

    def _ranking(self, group: int, length: int) -> tuple[Int32, Float32]:
        # A ranking is sorted and kept only as far as it was needed: with 1M items whole ones would take 8 MB per genre.
        known = self._rankings.get(group)
        if known is not None and len(known[0]) >= min(length, len(self.scores)):
            return known
        scores = self._scores_of(group)
        order = _best(scores, length)
        self._rankings[group] = order, scores[order]
        return self._rankings[group]

    def _scores_of(self, group: int) -> Float32:
        if group < 0 or self._group_listeners is None or self._group_sizes is None:
            return self.scores
        scores = self.scores * np.float32(self._shrinkage)
        entries = slice(*self._group_listeners.indptr[group:group + 2])
        scores[self._group_listeners.indices[entries]] += self._group_listeners.data[entries]
        shares: Float32 = (scores / np.float32(self._group_sizes[group] + self._shrinkage)).astype(np.float32)
        return shares


def favorite_genre(train: TrainSet) -> Int32:
    """The column of catalog.genres that most of each user's items have, ties to the lower column; int32 (n_users,), -1 without genres."""
    genres, matrix = train.catalog.genres, train.matrix
    favorite = np.full(len(train.user_ids), -1, np.int32)
    columns, indptr = genres.indices.astype(np.int32), genres.indptr.astype(np.int64)
    starts = matrix.indptr.astype(np.int64)
    parallel_for(len(favorite), lambda a, b: _fill_favorite(starts, matrix.indices, indptr, columns, genres.shape[1], favorite, a, b))
    return favorite


def _one_ranking(train: TrainSet, scores: NDArray[Any], listeners: Int32) -> FittedPopularity:
    return FittedPopularity(train, scores.astype(np.float32), listeners, np.full(len(train.user_ids), -1, np.int32))


def _scaled(values: NDArray[Any], played: NDArray[np.bool_]) -> NDArray[np.float64]:
    if not played.any():
        return np.zeros(len(values))
    low, high = values[played].min(), values[played].max()
    scaled: NDArray[np.float64] = np.where(played, (values - low) / (high - low if high > low else 1.0), 0.0)
    return scaled


def _best(scores: Float32, length: int) -> Int32:
    if length >= len(scores):
        return np.argsort(-scores, kind="stable").astype(np.int32)
    # All items with at least the last score are sorted, so that ties at the end are cut by item index.
    lowest = np.partition(scores, len(scores) - length)[len(scores) - length]
    candidates = np.flatnonzero(scores >= lowest)
    best: Int32 = candidates[np.argsort(-scores[candidates], kind="stable")[:length]].astype(np.int32)
    return best


@njit(cache=True, nogil=True)
def _fill_unseen(order, values, indptr, seen, user_index, rows, items, scores, start, stop):  # type: ignore[no-untyped-def]
    for position in range(start, stop):
        row = rows[position]
        user = user_index[row]
        own = seen[indptr[user]:indptr[user + 1]] if user >= 0 else seen[:0]
        size = 0
        for rank in range(len(order)):
            if size == items.shape[1]:
                break
            if not contains(own, order[rank]):
                items[row, size], scores[row, size] = order[rank], values[rank]
                size += 1


@njit(cache=True, nogil=True)
def _fill_favorite(indptr, items, genre_indptr, genres, n_genres, favorite, start, stop):  # type: ignore[no-untyped-def]
    counts = np.zeros(n_genres, np.int64)
    for user in range(start, stop):
        counts[:] = 0
        for position in range(indptr[user], indptr[user + 1]):
            item = items[position]
            for link in range(genre_indptr[item], genre_indptr[item + 1]):
                counts[genres[link]] += 1
        best = np.argmax(counts) if n_genres else 0
        if n_genres and counts[best] > 0:
            favorite[user] = best
