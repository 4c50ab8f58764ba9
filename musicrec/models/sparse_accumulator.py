"""Sums by column of one row of a sparse product, for use inside kernels: in a hash table where few columns can occur, else in a dense row.

A dense row of a million columns misses the cache with every addition; a hash table as large as the number of additions stays in it
(Nagasaka, Matsuoka, Azad, Buluc, "High-performance sparse matrix-matrix products", 2018). The order of additions is the same in both,
so the sums are identical bit for bit.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from musicrec.dataset import Float32, Int32
from musicrec.models.top_k import contains, heap_push

Float64 = NDArray[np.float64]
# Multiplicative hashing (Knuth, volume 3, 6.4): the middle bits of column x 2^32 / golden ratio.
FACTOR, SHIFT = 2654435769, 12
DENSE = -1


class SparseAccumulator(NamedTuple):
    """Working memory of one thread. keys: the column in each slot, -1 for none. values: its sum. slots: those in use, in order of use."""

    keys: Int32
    values: Float64
    slots: Int32


@njit(cache=True, nogil=True)
def accumulator(width: int) -> SparseAccumulator:
    """An empty accumulator for columns 0..width - 1; 16 bytes per column."""
    return SparseAccumulator(np.full(width, -1, np.int32), np.zeros(width), np.empty(width, np.int32))


@njit(cache=True, nogil=True)
def hash_mask(additions: int, width: int) -> int:
    """The mask of a hash table at most half full with `additions` columns; DENSE where it would be larger than a quarter of the width."""
    size = 64
    while size < 2 * additions:
        size *= 2
    return size - 1 if 4 * size <= width else DENSE


@njit(cache=True, nogil=True)
def slot_of(keys: Int32, mask: int, column: int) -> int:
    """The slot of `column`, or the free slot where it belongs."""
    if mask == DENSE:
        return column
    slot = int(np.int64(column) * FACTOR >> SHIFT) & mask
    while keys[slot] != column and keys[slot] >= 0:
        slot = (slot + 1) & mask
    return slot


@njit(cache=True, nogil=True)
def add_scaled(sums: SparseAccumulator, mask: int, used: int, columns: Int32, weight: float, data: NDArray[np.floating]) -> int:
    """Add weight x data to the sums of `columns`. used: the number of slots in use before; returns that afterwards."""
    keys, values, slots = sums
    for entry in range(len(columns)):
        slot = slot_of(keys, mask, columns[entry])
        if keys[slot] < 0:
            keys[slot] = columns[entry]
            slots[used] = slot
            used += 1
        values[slot] += weight * data[entry]
    return used


@njit(cache=True, nogil=True)
def clear(sums: SparseAccumulator, used: int) -> None:
    """Empty the slots in use."""
    for slot in sums.slots[:used]:
        sums.keys[slot], sums.values[slot] = -1, 0.0


@njit(cache=True, nogil=True)
def push_columns(sums: SparseAccumulator, scores: Float32, excluded: Int32, items: Int32, best: Float32) -> int:
    """Push the columns in use, with one score each, to an empty heap (see top_k.heap_push); returns its size.

    Columns in `excluded` (ascending) and scores of 0 are left out.
    """
    size, k, bound = 0, len(items), _lower_bound(scores, len(items) + len(excluded))
    for position in range(len(scores)):
        score, column = scores[position], sums.keys[sums.slots[position]]
        if score > 0 and score >= bound and (size < k or score >= best[0]) and not contains(excluded, column):
            size = heap_push(items, best, size, column, score)
    return size


@njit(cache=True, nogil=True)
def _lower_bound(scores: Float32, wanted: int) -> float:
    """A bound that at least `wanted` scores reach, and few more: scores below it need not be compared with the heap."""
    if len(scores) < 4 * wanted:
        return 0.0
    # The bits of positive floats ascend with their values; the first 13 are the sign, the exponent and the first 4 bits of the fraction.
    bits, counts = scores.view(np.int32), np.zeros(1 << 12, np.int64)
    for entry in range(len(bits)):
        counts[bits[entry] >> 19] += 1
    bucket, reached = len(counts) - 1, counts[-1]
    while bucket > 0 and reached < wanted:
        bucket -= 1
        reached += counts[bucket]
    return float(np.array([bucket << 19], np.int32).view(np.float32)[0])
