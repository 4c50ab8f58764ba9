"""Soft fall-off of artists: the more tracks of its artist came before, the less a track is worth. Pure: arrays in, orders out."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from musicrec.serving.arrays import Int32
from musicrec.serving.blending import RANK_CONSTANT

Int64 = NDArray[np.int64]
# As many times that nothing is left.
LAST = 1 << 20


def fallen(times: Int64, decay: float) -> Int64:
    """The order of a list whose tracks are worth decay ** times / (60 + rank), nothing from LAST times on, the best first; equal ones keep
    their order.

    >>> fallen(np.array([2, 0, 0]), decay=0.5).tolist(), fallen(np.array([2, 0, 0]), decay=1).tolist()
    ([1, 2, 0], [0, 1, 2])
    """
    if not times.any():
        return np.arange(len(times))
    worth = np.where(times < LAST, decay**times.astype(np.float64), 0) / (RANK_CONSTANT + np.arange(1, len(times) + 1))
    return np.argsort(-worth, kind="stable")


def times_of(n: int, owners: Int64, artists: Int32, counts: Mapping[int, int]) -> Int64:
    """For each of n items the count of its artist, int64 (n,), of several artists the highest, 0 for one without a count; owners, artists:
    which item has which artist, a row each.
    """
    found, times = np.array(sorted(counts), np.int32), np.zeros(n, np.int64)
    at = found.searchsorted(artists)
    rows = np.flatnonzero(found.take(at, mode="clip") == artists)
    np.maximum.at(times, owners[rows], np.array([counts[artist] for artist in artists[rows].tolist()], np.int64))
    return times


def times_before(n: int, owners: Int64, artists: Int32) -> Int64:
    """For each of n items how many items before it have the same artist, int64 (n,); of several artists the one with the most counts.

    >>> times_before(3, np.array([0, 1, 1, 2]), np.array([7, 7, 8, 7])).tolist()
    [0, 1, 2]
    """
    order, times = np.lexsort((owners, artists)), np.zeros(n, np.int64)
    ordered = artists[order]
    first = np.searchsorted(ordered, ordered)
    np.maximum.at(times, owners[order], np.arange(len(order)) - first)
    return times
