"""Non-negative elastic nets by coordinate descent on co-occurrence counts (Friedman, Hastie, Tibshirani, 2010, covariance updates)."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from musicrec.dataset import Float32, Int32

Float64 = NDArray[np.float64]
SWEEPS = 100
TOLERANCE = 1e-4


@njit(cache=True, nogil=True)
def fill_regressions(together: Int32, counts: Float32, listeners: Float64, l1: float, l2: float,
                     items: Int32, weights: Float32, start: int, stop: int) -> None:
    """Fill rows start to stop of `items` and `weights` with the items that predict the row's item and their positive weights.

    together and counts (n, m): the items seen together with each item and by how many users, in descending order, -1 where fewer exist.
    Items are in the order of `together`, -1 and -inf where fewer exist.
    """
    n, m = together.shape
    place_of = np.full(n, -1, np.int32)
    gram, weight, gradient = np.zeros((m, m)), np.zeros(m), np.zeros(m)
    for row in range(start, stop):
        # Counts and weights are not negative, so an item whose count does not exceed l1 always has weight 0.
        size = 0
        while size < m and together[row, size] >= 0 and counts[row, size] > l1:
            size += 1
        _fill_gram(together, counts, listeners, together[row, :size], place_of, gram)
        weight[:size], gradient[:size] = 0, counts[row, :size]
        _descend(gram, weight, gradient, size, l1, l2)
        kept = 0
        for position in range(size):
            if weight[position] > 0:
                items[row, kept], weights[row, kept] = together[row, position], weight[position]
                kept += 1


@njit(cache=True, nogil=True)
def _fill_gram(together: Int32, counts: Float32, listeners: Float64, chosen: Int32, place_of: Int32, gram: Float64) -> None:
    size = len(chosen)
    for position in range(size):
        place_of[chosen[position]] = position
        gram[position, :size] = 0
    for position in range(size):
        gram[position, position] = listeners[chosen[position]]
        for other in range(together.shape[1]):
            item = together[chosen[position], other]
            if item < 0:
                break
            if place_of[item] >= 0:
                gram[position, place_of[item]] = counts[chosen[position], other]
                gram[place_of[item], position] = counts[chosen[position], other]
    for item in chosen:
        place_of[item] = -1


@njit(cache=True, nogil=True)
def _descend(gram: Float64, weight: Float64, gradient: Float64, size: int, l1: float, l2: float) -> None:
    """Coordinate descent in place; `gradient` is the negative gradient of the loss and is updated with every weight."""
    for _ in range(SWEEPS):
        largest = 0.0
        for position in range(size):
            own = gram[position, position]
            new = max(0.0, (gradient[position] + own * weight[position] - l1) / (own + l2))
            change = new - weight[position]
            if change != 0:
                weight[position] = new
                for other in range(size):
                    gradient[other] -= change * gram[position, other]
                largest = max(largest, abs(change))
        if largest < TOLERANCE:
            break
