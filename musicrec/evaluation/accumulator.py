"""The statistics of one model's lists, accumulated batch by batch: ranks of the targets, and measures beyond relevance."""

from dataclasses import dataclass, field

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import sparse

from musicrec.dataset import Float32, Int32, TrainSet, index_of
from musicrec.evaluation.targets import Int64, Targets, csr
from musicrec.lists import Lists

MEASURES = ("novelty", "self_information", "artist_diversity", "genre_diversity", "listeners")
_SEEN, _TARGET = np.uint8(1), np.uint8(2)


@dataclass(frozen=True)
class TrainStatistics:
    """What the measures need of the train set, laid out so that a place of a list costs few distant reads.

    seen: CSR parts. popularity: float32 (n_items, 2): -log2 of the share of users who have seen the item (at least one user is assumed),
    and its listeners. starts: int64 (n_items + 1, 2) into `names`, int32: the artists of item i are
    names[starts[i, 0]:starts[i, 1]], its genres names[starts[i, 1]:starts[i + 1, 0]]; genres are numbered after the artists.
    named: whether any item has an artist, and a genre.
    """

    seen: tuple[Int64, Int32]
    popularity: Float32
    starts: Int64
    names: Int32
    named: tuple[bool, bool]
    n_names: int


def statistics(train: TrainSet) -> TrainStatistics:
    """The TrainStatistics of a train set. O(nnz + catalog)."""
    catalog, listeners = train.catalog, train.n_listeners
    share = np.maximum(listeners, 1) / max(len(train.user_ids), 1)
    popularity = np.column_stack([-np.log2(np.minimum(share, 1)), listeners]).astype(np.float32)
    both = sparse.hstack([catalog.artists, catalog.genres], format="csr")
    both.sort_indices()
    indptr, names = csr(both)
    starts = np.column_stack([indptr, indptr])
    starts[:-1, 1] += np.diff(catalog.artists.indptr)
    named = (catalog.artists.nnz > 0, catalog.genres.nnz > 0)
    return TrainStatistics(csr(train.matrix), popularity, starts, names, named, both.shape[1])


@dataclass
class Accumulator:
    """What is kept of one model's lists. About 20 bytes per user and k, 2 per target, 8 per item and k.

    ranks: uint16 (n_pairs,), rank of each target, 0 where the list lacks it. lengths: int32 (n_users,), -1 for users without a list.
    measures: float32 (n_users, n_measures, n_ks), NaN where undefined. exposures: int32 (2, n_ks, n_items), how often each item is
    within the j-th k but not the one before, in lists of cold [0] and warm [1] users. hits: (rows, items, scores) of each batch.
    lowest, highest: of all scores.
    """

    ranks: NDArray[np.uint16]
    lengths: Int32
    measures: Float32
    exposures: NDArray[np.int32]
    hits: list[tuple[Int32, Int32, Float32]] = field(default_factory=list)
    lowest: float = np.inf
    highest: float = -np.inf

    def exposure(self, j: int) -> NDArray[np.int64]:
        """How often each item is within the j-th k in lists of cold [0] and warm [1] users, int64 (2, n_items)."""
        total: NDArray[np.int64] = self.exposures[:, :j + 1].sum(axis=1, dtype=np.int64)
        return total


def empty_accumulator(targets: Targets, n_items: int, n_ks: int) -> Accumulator:
    """The Accumulator before the first batch."""
    n = len(targets)
    measures = np.full((n, len(MEASURES), n_ks), np.nan, np.float32)
    return Accumulator(np.zeros(len(targets.items), np.uint16), np.full(n, -1, np.int32), measures, np.zeros((2, n_ks, n_items), np.int32))


def add(accumulator: Accumulator, lists: Lists, targets: Targets, statistics: TrainStatistics, ks: tuple[int, ...]) -> None:
    """Add the lists of evaluated users to `accumulator`; those of other users are left out. O(places + items seen by these users).

    Raises ValueError when a user comes twice.
    """
    rows = index_of(targets.user_ids, lists.user_ids)
    evaluated = rows >= 0
    most = np.iinfo(np.uint16).max
    rows, items, scores = rows[evaluated], lists.items[evaluated, :most], lists.scores[evaluated, :most]
    if len(np.unique(rows)) < len(rows) or (accumulator.lengths[rows] >= 0).any():
        raise ValueError("a user has two lists of one model; add every user once.")
    hit = np.zeros(items.shape, bool)
    group = targets.warm[rows].astype(np.int64)
    n_flags = max(len(statistics.popularity), int(targets.items.max(initial=-1)) + 1)
    _accumulate(np.ascontiguousarray(items), rows, group, targets.train_rows[rows], targets.indptr, targets.items, *statistics.seen,
                statistics.popularity, statistics.starts, statistics.names, statistics.named, statistics.n_names, n_flags,
                np.array(ks, np.int64), accumulator.ranks, accumulator.lengths, accumulator.measures, accumulator.exposures, hit)
    position = np.nonzero(hit)
    accumulator.hits.append((rows[position[0]], items[position], scores[position]))
    values = scores[items >= 0]
    accumulator.lowest = min(accumulator.lowest, float(values.min(initial=np.inf)))
    accumulator.highest = max(accumulator.highest, float(values.max(initial=-np.inf)))


def profile_means(statistics: TrainStatistics, rows: Int32) -> NDArray[np.float64]:
    """Mean number of listeners of the items of these rows of the train set, float64 (n,); NaN for row -1."""
    means: NDArray[np.float64] = _profile_means(rows, *statistics.seen, statistics.popularity)
    return means


@njit(cache=True, nogil=True)
def _profile_means(rows, indptr, indices, popularity):  # type: ignore[no-untyped-def]
    means = np.full(len(rows), np.nan)
    for i in range(len(rows)):
        if rows[i] >= 0:
            total = 0.0
            for item in indices[indptr[rows[i]]:indptr[rows[i] + 1]]:
                total += popularity[item, 1]
            means[i] = total / (indptr[rows[i] + 1] - indptr[rows[i]])
    return means


@njit(cache=True, nogil=True)
def _add_similarity(names, start, end, sums):  # type: ignore[no-untyped-def]
    """The sum of the cosines of an item with these names and all items added before; then the item is added."""
    if start == end:
        return 0.0
    total, weight = 0.0, np.float32(1 / np.sqrt(end - start))
    for place in range(start, end):
        total += sums[names[place]]
        sums[names[place]] += weight
    return weight * total


@njit(cache=True, nogil=True)
def _mark(items, flag, flags):  # type: ignore[no-untyped-def]
    for place in range(len(items)):
        flags[items[place]] |= flag


@njit(cache=True, nogil=True)
def _clear(items, flags):  # type: ignore[no-untyped-def]
    for place in range(len(items)):
        flags[items[place]] = 0


@njit(cache=True, nogil=True)
def _fill_measures(measures, j, length, sums, with_artists, with_genres):  # type: ignore[no-untyped-def]
    if length == 0:
        return
    for m in (0, 1, 4):
        measures[m, j] = sums[m] / length
    if length > 1:
        pairs = length * (length - 1) / 2
        # Without any name in the catalog every pair would count as different.
        if with_artists:
            measures[2, j] = 1 - sums[2] / pairs
        if with_genres:
            measures[3, j] = 1 - sums[3] / pairs


@njit(cache=True, nogil=True)
def _accumulate(items, rows, group, train_rows, indptr, targets, seen_indptr, seen, popularity, starts, names, named, n_names, n_flags, ks,  # type: ignore[no-untyped-def]
                ranks, lengths, measures, exposures, hit):
    # Flags of one user at a time replace a binary search per place by the read of one byte.
    of_name, flags, nothing = np.zeros(n_names, np.float32), np.zeros(n_flags, np.uint8), seen[:0]
    for i in range(len(rows)):
        row, train_row = rows[i], train_rows[i]
        own = seen[seen_indptr[train_row]:seen_indptr[train_row + 1]] if train_row >= 0 else nothing
        own_targets = targets[indptr[row]:indptr[row + 1]]
        _mark(own, _SEEN, flags)
        _mark(own_targets, _TARGET, flags)
        sums, length, j = np.zeros(5), 0, 0
        for p in range(items.shape[1]):
            item = items[i, p]
            if item < 0:
                break
            length += 1
            if flags[item] & _TARGET:
                at = indptr[row] + np.searchsorted(own_targets, item)
                if ranks[at] == 0:
                    ranks[at] = p + 1
                    hit[i, p] = True
            sums[0] += 1 - (flags[item] & _SEEN)
            sums[1] += popularity[item, 0]
            sums[4] += popularity[item, 1]
            sums[2] += _add_similarity(names, starts[item, 0], starts[item, 1], of_name)
            sums[3] += _add_similarity(names, starts[item, 1], starts[item + 1, 0], of_name)
            if j < len(ks):
                exposures[group[i], j, item] += 1
                if length == ks[j]:
                    _fill_measures(measures[row], j, length, sums, named[0], named[1])
                    j += 1
        for later in range(j, len(ks)):
            _fill_measures(measures[row], later, length, sums, named[0], named[1])
        for p in range(length):
            for place in range(starts[items[i, p], 0], starts[items[i, p] + 1, 0]):
                of_name[names[place]] = 0
        _clear(own, flags)
        _clear(own_targets, flags)
        lengths[row] = length
