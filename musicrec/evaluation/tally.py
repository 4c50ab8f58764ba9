"""One walk over the lists of one generator: where the targets stand, and what the lists are like apart from being right."""

from dataclasses import dataclass, field

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import sparse

from musicrec.evaluation.targets import Int64, Targets, csr
from musicrec.lists import Lists
from musicrec.matrix import Float32, History, Int32, index_of

MEASURES = ("unheard", "self_information", "artist_diversity", "genre_diversity", "listeners")
_HEARD, _WANTED = np.uint8(1), np.uint8(2)


@dataclass(frozen=True)
class World:
    """What a walk needs of the history, laid out so that a place of a list costs few reads far apart.

    heard: CSR parts. fame: float32 (n_items, 2): -log2 of the share of users who heard the track (a track without listeners counts as
    heard by one), and its listeners. starts: int64 (n_items + 1, 2) into `names`, int32: the artists of item i are
    names[starts[i, 0]:starts[i, 1]], its genres names[starts[i, 1]:starts[i + 1, 0]]; genres are numbered after the artists.
    named: whether any track has an artist, and a genre.
    """

    heard: tuple[Int64, Int32]
    fame: Float32
    starts: Int64
    names: Int32
    named: tuple[bool, bool]
    n_names: int


def world(history: History) -> World:
    """The World of a history. O(plays + catalogue)."""
    catalogue, listeners = history.catalogue, history.n_listeners
    share = np.maximum(listeners, 1) / max(len(history.user_ids), 1)
    fame = np.column_stack([-np.log2(np.minimum(share, 1)), listeners]).astype(np.float32)
    both = sparse.hstack([catalogue.artists, catalogue.genres], format="csr")
    both.sort_indices()
    indptr, names = csr(both)
    starts = np.column_stack([indptr, indptr])
    starts[:-1, 1] += np.diff(catalogue.artists.indptr)
    named = (catalogue.artists.nnz > 0, catalogue.genres.nnz > 0)
    return World(csr(history.matrix), fame, starts, names, named, both.shape[1])


@dataclass
class Tally:
    """What is kept of one generator's lists while batches of users come in. About 20 bytes a user and k, 2 a target, 8 an item and k.

    ranks: uint16 (n_pairs,), rank of each target, 0 where the list lacks it. lengths: int32 (n_users,), -1 before the user's list came.
    measures: float32 (n_users, n_measures, n_ks), NaN where undefined. shown: int32 (2, n_ks, n_items), how often each track stands
    within the j-th k but not the one before, in lists of cold [0] and warm [1] users. hits: (rows, items, scores) of each batch.
    lowest, highest: scores seen.
    """

    ranks: NDArray[np.uint16]
    lengths: Int32
    measures: Float32
    shown: NDArray[np.int32]
    hits: list[tuple[Int32, Int32, Float32]] = field(default_factory=list)
    lowest: float = np.inf
    highest: float = -np.inf

    def exposure(self, j: int) -> NDArray[np.int64]:
        """How often each track stands within the j-th k in lists of cold [0] and warm [1] users, int64 (2, n_items)."""
        total: NDArray[np.int64] = self.shown[:, :j + 1].sum(axis=1, dtype=np.int64)
        return total


def empty_tally(targets: Targets, n_items: int, n_ks: int) -> Tally:
    """A Tally before the first batch: nobody has a list."""
    n = len(targets)
    measures = np.full((n, len(MEASURES), n_ks), np.nan, np.float32)
    return Tally(np.zeros(len(targets.items), np.uint16), np.full(n, -1, np.int32), measures, np.zeros((2, n_ks, n_items), np.int32))


def add(tally: Tally, lists: Lists, targets: Targets, world: World, ks: tuple[int, ...]) -> None:
    """Enter the lists of judged users into `tally`; lists of other users are passed over. O(places + tracks heard by these users).

    Raises ValueError when a user comes twice.
    """
    rows = index_of(targets.user_ids, lists.user_ids)
    judged = rows >= 0
    rows, items, scores = rows[judged], lists.items[judged, :np.iinfo(np.uint16).max], lists.scores[judged, :np.iinfo(np.uint16).max]
    if len(np.unique(rows)) < len(rows) or (tally.lengths[rows] >= 0).any():
        raise ValueError("a user has two lists of one generator; add every user once.")
    hit = np.zeros(items.shape, bool)
    group = targets.warm[rows].astype(np.int64)
    _walk(np.ascontiguousarray(items), rows, group, targets.history_rows[rows], targets.indptr, targets.items, *world.heard, world.fame,
          world.starts, world.names, world.named, world.n_names, np.array(ks, np.int64), tally.ranks, tally.lengths,
          tally.measures, tally.shown, hit)
    place = np.nonzero(hit)
    tally.hits.append((rows[place[0]], items[place], scores[place]))
    there = scores[items >= 0]
    tally.lowest = min(tally.lowest, float(there.min(initial=np.inf)))
    tally.highest = max(tally.highest, float(there.max(initial=-np.inf)))


def profile_means(world: World, rows: Int32) -> NDArray[np.float64]:
    """Mean number of listeners of the tracks that these rows of the history hold, float64 (n,); NaN for row -1."""
    means: NDArray[np.float64] = _profile_means(rows, *world.heard, world.fame)
    return means


@njit(cache=True, nogil=True)
def _profile_means(rows, indptr, indices, fame):  # type: ignore[no-untyped-def]
    means = np.full(len(rows), np.nan)
    for i in range(len(rows)):
        if rows[i] >= 0:
            total = 0.0
            for item in indices[indptr[rows[i]]:indptr[rows[i] + 1]]:
                total += fame[item, 1]
            means[i] = total / (indptr[rows[i] + 1] - indptr[rows[i]])
    return means


@njit(cache=True, nogil=True)
def _likeness(names, start, end, sums):  # type: ignore[no-untyped-def]
    """Cosines with all items entered before, summed, of an item with these names; then enter it."""
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
def _enter(measures, j, length, sums, with_artists, with_genres):  # type: ignore[no-untyped-def]
    if length == 0:
        return
    for m in (0, 1, 4):
        measures[m, j] = sums[m] / length
    if length > 1:
        pairs = length * (length - 1) / 2
        # Without any name in the catalogue every pair would count as different: no statement at all.
        if with_artists:
            measures[2, j] = 1 - sums[2] / pairs
        if with_genres:
            measures[3, j] = 1 - sums[3] / pairs


@njit(cache=True, nogil=True)
def _walk(items, rows, group, history_rows, indptr, wanted, heard_indptr, heard, fame, starts, names, named, n_names, ks,  # type: ignore[no-untyped-def]
          ranks, lengths, measures, shown, hit):
    # Flags of one user at a time: a look into one byte instead of a binary search for every place.
    of_name, flags, nothing = np.zeros(n_names, np.float32), np.zeros(len(fame), np.uint8), heard[:0]
    for i in range(len(rows)):
        row, past = rows[i], history_rows[i]
        own = heard[heard_indptr[past]:heard_indptr[past + 1]] if past >= 0 else nothing
        goal = wanted[indptr[row]:indptr[row + 1]]
        _mark(own, _HEARD, flags)
        _mark(goal, _WANTED, flags)
        sums, length, j = np.zeros(5), 0, 0
        for p in range(items.shape[1]):
            item = items[i, p]
            if item < 0:
                break
            length += 1
            if flags[item] & _WANTED:
                at = indptr[row] + np.searchsorted(goal, item)
                if ranks[at] == 0:
                    ranks[at] = p + 1
                    hit[i, p] = True
            sums[0] += 1 - (flags[item] & _HEARD)
            sums[1] += fame[item, 0]
            sums[4] += fame[item, 1]
            sums[2] += _likeness(names, starts[item, 0], starts[item, 1], of_name)
            sums[3] += _likeness(names, starts[item, 1], starts[item + 1, 0], of_name)
            if j < len(ks):
                shown[group[i], j, item] += 1
                if length == ks[j]:
                    _enter(measures[row], j, length, sums, named[0], named[1])
                    j += 1
        for later in range(j, len(ks)):
            _enter(measures[row], later, length, sums, named[0], named[1])
        for p in range(length):
            for place in range(starts[items[i, p], 0], starts[items[i, p] + 1, 0]):
                of_name[names[place]] = 0
        _clear(own, flags)
        _clear(goal, flags)
        lengths[row] = length
