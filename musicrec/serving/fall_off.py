"""Soft fall-off of artists: the more tracks of its artist came before, the less a track is worth. Pure: arrays in, orders out."""

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from musicrec.serving.arrays import Int32
from musicrec.serving.blending import RANK_CONSTANT

Int64 = NDArray[np.int64]


def fallen(times: Int64, decay: float) -> Int64:
    """The order of a list whose tracks are worth decay ** times / (60 + rank), the best first; equal ones keep their order.

    >>> fallen(np.array([2, 0, 0]), decay=0.5).tolist(), fallen(np.array([2, 0, 0]), decay=1).tolist()
    ([1, 2, 0], [0, 1, 2])
    """
    return np.argsort(-(decay**times.astype(np.float64)) / (RANK_CONSTANT + np.arange(1, len(times) + 1)), kind="stable")


def times_of(n: int, owners: Int64, artists: Int32, of: Int32) -> Int64:
    """For each of n items how often its artist stands in `of`, int64 (n,); owners, artists: which item has which artist, a row each.

    Of several artists of an item the one that stands there most often counts.
    """
    found, counts = np.unique(of, return_counts=True)
    times = np.zeros(n, np.int64)
    if len(found):
        at = np.minimum(found.searchsorted(artists), len(found) - 1)
        np.maximum.at(times, owners, np.where(found[at] == artists, counts[at], 0))
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


def has_any(n: int, owners: Int64, artists: Int32, of: Collection[int]) -> NDArray[np.bool_]:
    """Which of n items have an artist of `of`, bool (n,)."""
    found = np.zeros(n, np.bool_)
    found[owners[np.isin(artists, np.array(sorted(of), np.int32))]] = True
    return found
