"""Non-negative elastic nets by coordinate descent over co-listening counts (Friedman, Hastie & Tibshirani 2010, covariance updates)."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from musicrec.matrix import Float32, Int32

Float64 = NDArray[np.float64]
SWEEPS = 100
TOLERANCE = 1e-4


@njit(cache=True, nogil=True)
def regressions(together: Int32, counts: Float32, listeners: Float64, l1: float, l2: float,
                items: Int32, weights: Float32, start: int, stop: int) -> None:
    """Fill rows start..stop of items and weights with the items that predict the row's item and their positive weights.

    together and counts (n, m): items heard with each item and by how many, most first, -1 where fewer exist. A row is -1 and
    -inf beyond its last weight; places follow `together`.
    """
    n, m = together.shape
    place_of = np.full(n, -1, np.int32)
    gram, weight, gradient = np.zeros((m, m)), np.zeros(m), np.zeros(m)
    for row in range(start, stop):
        # Counts and weights are never negative, so an item that does not exceed l1 alone never enters.
        size = 0
        while size < m and together[row, size] >= 0 and counts[row, size] > l1:
            size += 1
        _fill(together, counts, listeners, together[row, :size], place_of, gram)
        weight[:size], gradient[:size] = 0, counts[row, :size]
        _descend(gram, weight, gradient, size, l1, l2)
        kept = 0
        for place in range(size):
            if weight[place] > 0:
                items[row, kept], weights[row, kept] = together[row, place], weight[place]
                kept += 1


@njit(cache=True, nogil=True)
def _fill(together: Int32, counts: Float32, listeners: Float64, chosen: Int32, place_of: Int32, gram: Float64) -> None:
    size = len(chosen)
    for place in range(size):
        place_of[chosen[place]] = place
        gram[place, :size] = 0
    for place in range(size):
        gram[place, place] = listeners[chosen[place]]
        for other in range(together.shape[1]):
            item = together[chosen[place], other]
            if item < 0:
                break
            if place_of[item] >= 0:
                gram[place, place_of[item]] = counts[chosen[place], other]
                gram[place_of[item], place] = counts[chosen[place], other]
    for item in chosen:
        place_of[item] = -1


@njit(cache=True, nogil=True)
def _descend(gram: Float64, weight: Float64, gradient: Float64, size: int, l1: float, l2: float) -> None:
    """Gradient is that of the loss, with its sign changed, and is kept up to date with every changed weight."""
    for _ in range(SWEEPS):
        largest = 0.0
        for place in range(size):
            own = gram[place, place]
            new = max(0.0, (gradient[place] + own * weight[place] - l1) / (own + l2))
            change = new - weight[place]
            if change != 0:
                weight[place] = new
                for other in range(size):
                    gradient[other] -= change * gram[place, other]
                largest = max(largest, abs(change))
        if largest < TOLERANCE:
            break
