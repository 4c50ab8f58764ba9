"""Who played what and when: the interactions of a period, and the train set from which models and features learn."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import sparse

from musicrec.dataset.arrays import Float32, Int32, chunks, index_of
from musicrec.dataset.catalog import Catalog
from musicrec.dataset.feedback import RELEVANT


@dataclass(frozen=True)
class Repeats:
    """The plays of repeated (user, item) pairs, except the latest play of each.

    pairs: int32 (r,), ascending positions in matrix.data. starts: int32 (r + 1,). times: int32, ascending within a pair: the earlier
    plays of pairs[i] were at times[starts[i]:starts[i + 1]].
    """

    pairs: Int32 = field(default_factory=lambda: np.empty(0, np.int32))
    starts: Int32 = field(default_factory=lambda: np.zeros(1, np.int32))
    times: Int32 = field(default_factory=lambda: np.empty(0, np.int32))


@dataclass(frozen=True)
class Interactions:
    """Who played what: one row per user, one column per item, one entry per (user, item) pair.

    user_ids: ascending int32 (n_users,). matrix: CSR float32 (n_users, n_items), item indices ascending within a row; a value is the
    weight of the pair: its number of plays, in a train set with feedback see feedback.learned_weights. last_played: int32 (nnz,), aligned
    with matrix.data, seconds since 2000-01-01 UTC of the latest play of the pair. repeats: its earlier plays. strength: float32 (nnz,),
    the mean feedback strength of its plays, NaN where the pair is unjudged; None where all plays count alike. At most 12 bytes per play, 16
    with feedback, besides 8 per user.
    """

    user_ids: Int32
    matrix: sparse.csr_matrix
    last_played: Int32
    repeats: Repeats = field(default_factory=Repeats)
    strength: Float32 | None = None

    def user_index(self, user_ids: NDArray[np.integer]) -> Int32:
        """Rows of these users; -1 for cold users."""
        return index_of(self.user_ids, user_ids)

    @cached_property
    def n_listeners(self) -> Int32:
        """Number of users per item, int32 (n_items,)."""
        indices, counts = self.matrix.indices, np.zeros(self.matrix.shape[1], np.int64)
        # bincount makes an int64 copy of its input.
        for chunk in chunks(len(indices)):
            counts += np.bincount(indices[chunk], minlength=len(counts))
        return counts.astype(np.int32)

    @cached_property
    def n_items_of_user(self) -> Int32:
        """Number of items per user, int32 (n_users,)."""
        counts: Int32 = np.diff(self.matrix.indptr).astype(np.int32)
        return counts

    @property
    def first_played(self) -> Int32:
        """Seconds since 2000-01-01 UTC of the first play of each pair, int32 (nnz,); last_played itself where no pair has a repeat."""
        if not len(self.repeats.pairs):
            return self.last_played
        first = self.last_played.copy()
        first[self.repeats.pairs] = self.repeats.times[self.repeats.starts[:-1]]
        return first

    @property
    def n_plays(self) -> Int32:
        """Number of plays of each pair, int32 (nnz,)."""
        counts = np.ones(len(self.last_played), np.int32)
        counts[self.repeats.pairs] += np.diff(self.repeats.starts)
        return counts

    @property
    def relevant(self) -> NDArray[np.bool_]:
        """Whether each pair is relevant, bool (nnz,): its strength is at least feedback.RELEVANT. All are where plays count alike."""
        return np.ones(len(self.last_played), bool) if self.strength is None else self.strength >= RELEVANT

    @property
    def unjudged(self) -> NDArray[np.bool_]:
        """Whether a list has brought each pair of a test set, bool (nnz,): it is neither looked for nor counts against a list."""
        return np.zeros(len(self.last_played), bool) if self.strength is None else np.isnan(self.strength)

    def sequences(self, rows: Int32) -> tuple[NDArray[np.int64], Int32, Int32]:
        """All plays of these users in order of time: indptr int64 (n + 1,), item indices and times int32 (plays,).

        Plays at the same time are ordered by item index. Row -1 has no plays. O(plays log plays) per user.

        User 7 played item 0 at second 3, item 1 at second 5, and item 0 again at second 9:

        >>> pairs, starts, times = (np.array(values, np.int32) for values in ([0], [0, 1], [3]))
        >>> matrix = sparse.csr_matrix(np.array([[2, 1]], np.float32))
        >>> plays = Interactions(np.array([7], np.int32), matrix, np.array([9, 5], np.int32), Repeats(pairs, starts, times))
        >>> indptr, items, times = plays.sequences(np.array([0, -1], np.int32))
        >>> indptr.tolist(), items.tolist(), times.tolist()
        ([0, 3, 3], [0, 1, 0], [3, 5, 9])
        """
        plays = np.zeros(len(rows), np.int64)
        _count_plays(rows, self.matrix.indptr, *self._repeats, plays)
        indptr = np.concatenate([[0], np.cumsum(plays)]).astype(np.int64)
        items, times = np.empty(indptr[-1], np.int32), np.empty(indptr[-1], np.int32)
        _fill_sequences(rows, self.matrix.indptr, self.matrix.indices, self.last_played, *self._repeats, indptr, items, times)
        return indptr, items, times

    @property
    def _repeats(self) -> tuple[Int32, Int32, Int32]:
        return self.repeats.pairs, self.repeats.starts, self.repeats.times


@dataclass(frozen=True, kw_only=True)
class TrainSet(Interactions):
    """All interactions before `cutoff` (seconds since 2000-01-01 UTC, exclusive) and the items that existed then.

    Models and features learn from nothing else. The columns of the matrix are the items of `catalog`, and only they can be recommended.
    """

    catalog: Catalog
    cutoff: int

    @property
    def item_ids(self) -> Int32:
        """Ascending ids of the columns, int32 (n_items,)."""
        return self.catalog.item_ids


@njit(cache=True, nogil=True)
def _count_plays(rows, indptr, pairs, starts, times, plays):  # type: ignore[no-untyped-def]
    for query in range(len(rows)):
        if rows[query] >= 0:
            begin, end = indptr[rows[query]], indptr[rows[query] + 1]
            low, high = np.searchsorted(pairs, begin), np.searchsorted(pairs, end)
            plays[query] = end - begin + starts[high] - starts[low]


@njit(cache=True, nogil=True)
def _fill_sequences(rows, indptr, indices, last, pairs, starts, times, out, items, moments):  # type: ignore[no-untyped-def]
    for query in range(len(rows)):
        if rows[query] < 0:
            continue
        begin, end, filled = indptr[rows[query]], indptr[rows[query] + 1], out[query]
        repeat = np.searchsorted(pairs, begin)
        for pair in range(begin, end):
            if repeat < len(pairs) and pairs[repeat] == pair:
                for earlier in range(starts[repeat], starts[repeat + 1]):
                    items[filled], moments[filled] = indices[pair], times[earlier]
                    filled += 1
                repeat += 1
            items[filled], moments[filled] = indices[pair], last[pair]
            filled += 1
        order = np.argsort(moments[out[query]:filled], kind="mergesort")
        items[out[query]:filled] = items[out[query]:filled][order]
        moments[out[query]:filled] = moments[out[query]:filled][order]
