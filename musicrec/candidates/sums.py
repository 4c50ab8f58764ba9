"""Sums by column of one sparse row, for use inside kernels: a small hash table where few columns can be touched, else one place a column.

A dense row over a million columns misses the cache with every addition; a table as large as the additions stays in it
(Nagasaka, Matsuoka, Azad, Buluc, "High-performance sparse matrix-matrix products", 2018). The order of additions is the same
both ways, so the sums are the same to the last bit.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from musicrec.candidates.top_k import contains, pushed
from musicrec.matrix import Float32, Int32

Float64 = NDArray[np.float64]
# Multiplicative hashing (Knuth, volume 3, 6.4): the middle bits of column x 2^32 / golden ratio.
FACTOR, SHIFT = 2654435769, 12
DIRECT = -1


class Sums(NamedTuple):
    """Scratch of one thread. keys: the column in each place, -1 where none. values: its sum. places: those in use, in order of use."""

    keys: Int32
    values: Float64
    places: Int32


@njit(cache=True, nogil=True)
def sums(width: int) -> Sums:
    """Empty sums for columns 0..width - 1; 16 bytes a column."""
    return Sums(np.full(width, -1, np.int32), np.zeros(width), np.empty(width, np.int32))


@njit(cache=True, nogil=True)
def mask_of(additions: int, width: int) -> int:
    """The mask of a hash table for at most so many columns, half full at most; DIRECT where a table would be a quarter of the width."""
    size = 64
    while size < 2 * additions:
        size *= 2
    return size - 1 if 4 * size <= width else DIRECT


@njit(cache=True, nogil=True)
def place_of(keys: Int32, mask: int, column: int) -> int:
    """Where `column` stands, or where it would be put."""
    if mask == DIRECT:
        return column
    place = int(np.int64(column) * FACTOR >> SHIFT) & mask
    while keys[place] != column and keys[place] >= 0:
        place = (place + 1) & mask
    return place


@njit(cache=True, nogil=True)
def added(into: Sums, mask: int, used: int, columns: Int32, weight: float, data: NDArray[np.floating]) -> int:
    """Add weight x data to the sums of `columns`; returns how many places are in use, `used` of which were before."""
    keys, values, places = into
    for entry in range(len(columns)):
        place = place_of(keys, mask, columns[entry])
        if keys[place] < 0:
            keys[place] = columns[entry]
            places[used] = place
            used += 1
        values[place] += weight * data[entry]
    return used


@njit(cache=True, nogil=True)
def cleared(into: Sums, used: int) -> None:
    """Empty the places in use."""
    for place in into.places[:used]:
        into.keys[place], into.values[place] = -1, 0.0


@njit(cache=True, nogil=True)
def offered(of: Sums, scores: Float32, known: Int32, items: Int32, best: Float32) -> int:
    """Offer the columns in use, with one score each, to an empty heap (see top_k.pushed); returns its size.

    Columns in `known` (ascending) and scores of 0 are left out.
    """
    size, k, least = 0, len(items), _least(scores, len(items) + len(known))
    for place in range(len(scores)):
        score, column = scores[place], of.keys[of.places[place]]
        if score > 0 and score >= least and (size < k or score >= best[0]) and not contains(known, column):
            size = pushed(items, best, size, column, score)
    return size


@njit(cache=True, nogil=True)
def _least(scores: Float32, wanted: int) -> float:
    """A bound that at least `wanted` scores reach, and few more: what is below it need not go through the heap."""
    if len(scores) < 4 * wanted:
        return 0.0
    # The bits of floats above 0 ascend with them; the first 13 are the exponent and 4 bits behind it.
    bits, counts = scores.view(np.int32), np.zeros(1 << 12, np.int64)
    for place in range(len(bits)):
        counts[bits[place] >> 19] += 1
    bucket, reached = len(counts) - 1, counts[-1]
    while bucket > 0 and reached < wanted:
        bucket -= 1
        reached += counts[bucket]
    return float(np.array([bucket << 19], np.int32).view(np.float32)[0])
