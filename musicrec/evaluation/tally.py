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
Names = tuple[Int64, Int32, Float32]


@dataclass(frozen=True)
class World:
    """What a walk needs of the history, in the types that the kernel is compiled for.

    information: float32 (n_items,), -log2 of the share of users who heard the track; a track without listeners counts as heard by one.
    artists, genres: CSR parts whose rows have length 1, so that products of rows are cosines.
    """

    heard: tuple[Int64, Int32]
    listeners: Int32
    information: Float32
    artists: Names
    genres: Names


def world(history: History) -> World:
    """The World of a history. O(plays + catalogue)."""
    share = np.maximum(history.n_listeners, 1) / max(len(history.user_ids), 1)
    information = -np.log2(np.minimum(share, 1)).astype(np.float32)
    both = (_unit_rows(history.catalogue.artists), _unit_rows(history.catalogue.genres))
    return World(csr(history.matrix), history.n_listeners, information, *both)


def _unit_rows(names: sparse.csr_matrix) -> Names:
    indptr, indices = csr(names)
    counts = np.diff(indptr)
    return indptr, indices, np.repeat(1 / np.sqrt(np.maximum(counts, 1)), counts).astype(np.float32)


@dataclass
class Tally:
    """What is kept of one generator's lists while batches of users come in. About 20 bytes a user and k, 2 a target, 8 an item and k.

    ranks: uint16 (n_pairs,), rank of each target, 0 where the list lacks it. lengths: int32 (n_users,), -1 before the user's list came.
    measures: float32 (n_users, n_measures, n_ks), NaN where undefined. shown: int32 (2, n_ks, n_items), how often each track stands in
    the first k of a cold [0] or warm [1] user. hits: (rows, items, scores) of each batch. lowest, highest: scores seen.
    """

    ranks: NDArray[np.uint16]
    lengths: Int32
    measures: Float32
    shown: NDArray[np.int32]
    hits: list[tuple[Int32, Int32, Float32]] = field(default_factory=list)
    lowest: float = np.inf
    highest: float = -np.inf


def empty_tally(targets: Targets, n_items: int, n_ks: int) -> Tally:
    """A Tally before the first batch: nobody has a list."""
    n = len(targets)
    measures = np.full((n, len(MEASURES), n_ks), np.nan, np.float32)
    return Tally(np.zeros(len(targets.items), np.uint16), np.full(n, -1, np.int32), measures, np.zeros((2, n_ks, n_items), np.int32))


def add(tally: Tally, lists: Lists, targets: Targets, world: World, ks: tuple[int, ...]) -> None:
    """Enter the lists of judged users into `tally`; lists of other users are passed over. O(places x log history).

    Raises ValueError when a user comes twice.
    """
    rows = index_of(targets.user_ids, lists.user_ids)
    judged = rows >= 0
    rows, items, scores = rows[judged], lists.items[judged, :np.iinfo(np.uint16).max], lists.scores[judged, :np.iinfo(np.uint16).max]
    if len(np.unique(rows)) < len(rows) or (tally.lengths[rows] >= 0).any():
        raise ValueError("a user has two lists of one generator; add every user once.")
    hit = np.zeros(items.shape, bool)
    group = targets.warm[rows].astype(np.int64)
    _walk(np.ascontiguousarray(items), rows, group, targets.history_rows[rows], targets.indptr, targets.items, world.heard,
          world.listeners, world.information, world.artists, world.genres, np.array(ks, np.int64), tally.ranks, tally.lengths,
          tally.measures, tally.shown, hit)
    place = np.nonzero(hit)
    tally.hits.append((rows[place[0]], items[place], scores[place]))
    there = scores[items >= 0]
    tally.lowest = min(tally.lowest, float(there.min(initial=np.inf)))
    tally.highest = max(tally.highest, float(there.max(initial=-np.inf)))


def profile_means(world: World, rows: Int32) -> NDArray[np.float64]:
    """Mean number of listeners of the tracks that these rows of the history hold, float64 (n,); NaN for row -1."""
    means: NDArray[np.float64] = _profile_means(rows, *world.heard, world.listeners)
    return means


@njit(cache=True, nogil=True)
def _profile_means(rows, indptr, indices, listeners):  # type: ignore[no-untyped-def]
    means = np.full(len(rows), np.nan)
    for i in range(len(rows)):
        if rows[i] >= 0:
            total = 0
            for item in indices[indptr[rows[i]]:indptr[rows[i] + 1]]:
                total += listeners[item]
            means[i] = total / (indptr[rows[i] + 1] - indptr[rows[i]])
    return means


@njit(cache=True, nogil=True)
def _place(ascending, value):  # type: ignore[no-untyped-def]
    at = np.searchsorted(ascending, value)
    return at if at < len(ascending) and ascending[at] == value else -1


@njit(cache=True, nogil=True)
def _likeness(item, names, sums):  # type: ignore[no-untyped-def]
    """Cosines of the item with all items entered before, summed; then enter it."""
    indptr, indices, weights = names
    total = 0.0
    for place in range(indptr[item], indptr[item + 1]):
        total += weights[place] * sums[indices[place]]
        sums[indices[place]] += weights[place]
    return total


@njit(cache=True, nogil=True)
def _forget(items, names, sums):  # type: ignore[no-untyped-def]
    indptr, indices, _ = names
    for item in items:
        for place in range(indptr[item], indptr[item + 1]):
            sums[indices[place]] = 0


@njit(cache=True, nogil=True)
def _enter(measures, j, length, sums, artists, genres):  # type: ignore[no-untyped-def]
    if length == 0:
        return
    for m in (0, 1, 4):
        measures[m, j] = sums[m] / length
    if length > 1:
        pairs = length * (length - 1) / 2
        # Without any name in the catalogue every pair would count as different: no statement at all.
        if len(artists[1]):
            measures[2, j] = 1 - sums[2] / pairs
        if len(genres[1]):
            measures[3, j] = 1 - sums[3] / pairs


@njit(cache=True, nogil=True)
def _walk(items, rows, group, history_rows, indptr, wanted, heard, listeners, information, artists, genres, ks,  # type: ignore[no-untyped-def]
          ranks, lengths, measures, shown, hit):
    of_artist = np.zeros(max(artists[1].max() + 1 if len(artists[1]) else 0, 1))
    of_genre = np.zeros(max(genres[1].max() + 1 if len(genres[1]) else 0, 1))
    nothing = heard[1][:0]
    for i in range(len(rows)):
        row, past = rows[i], history_rows[i]
        own = heard[1][heard[0][past]:heard[0][past + 1]] if past >= 0 else nothing
        start = indptr[row]
        goal = wanted[start:indptr[row + 1]]
        sums, length, j = np.zeros(5), 0, 0
        for p in range(items.shape[1]):
            item = items[i, p]
            if item < 0:
                break
            length += 1
            at = _place(goal, item)
            if at >= 0 and ranks[start + at] == 0:
                ranks[start + at] = p + 1
                hit[i, p] = True
            sums[0] += _place(own, item) < 0
            sums[1] += information[item]
            sums[2] += _likeness(item, artists, of_artist)
            sums[3] += _likeness(item, genres, of_genre)
            sums[4] += listeners[item]
            for later in range(j, len(ks)):
                shown[group[i], later, item] += 1
            if j < len(ks) and length == ks[j]:
                _enter(measures[row], j, length, sums, artists, genres)
                j += 1
        for later in range(j, len(ks)):
            _enter(measures[row], later, length, sums, artists, genres)
        _forget(items[i, :length], artists, of_artist)
        _forget(items[i, :length], genres, of_genre)
        lengths[row] = length
