"""Half an iteration of ALS: the factors of one side, given those of the other, by a few steps of conjugate gradients per row
(Takacs, Pilaszy, Tikk, "Applications of the conjugate gradient method for implicit feedback collaborative filtering", 2011).

The factors of a row's pairs are gathered once into a block that stays in the cache, where every step reads them again; rows with more
pairs than fit are reduced to their normal matrix by BLAS, block by block.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import sparse

from musicrec.dataset import Float32, Int32
from musicrec.models.csr import transposed
from musicrec.models.top_k import parallel_for

# Rows of a block: 1024 x 64 factors x 4 bytes are half of a usual second-level cache.
BLOCK = 1024
# A residual of this squared length is rounding.
SOLVED = 1e-20


class Alternation:
    """The factors of users (n_users, f) and items (n_items, f), improved in turns and in place, and the confidences by either side."""

    def __init__(self, confidence: sparse.csr_matrix, users: Float32, items: Float32, regularization: float) -> None:
        self._users, self._items, self._regularization = users, items, regularization
        self._by_user, self._by_item = confidence, transposed(confidence)

    def iterate(self, steps: int) -> Float32:
        """Move the factors of users, then those of items, so many steps; returns those of items. Call it with one BLAS thread."""
        improve(self._users, self._by_user, self._items, self._regularization, steps)
        improve(self._items, self._by_item, self._users, self._regularization, steps)
        return self._items

    def factors(self) -> tuple[Float32, Float32]:
        """The factors of users and items."""
        return self._users, self._items


def improve(factors: Float32, confidence: sparse.csr_matrix, others: Float32, regularization: float, steps: int) -> None:
    """Move each row of `factors` (n, f) in place towards the minimum of its loss, in so many steps from where it is.

    confidence: CSR float32 (n, m), at least 1 for a pair with preference 1; all other pairs have preference 0 and confidence 1. The loss
    of row x is the sum over all pairs of confidence x (preference - x y)^2, plus regularization x |x|^2. With f steps the minimum is
    reached up to rounding. A row without pairs becomes 0. O(steps x (nnz x f + n x f^2)) on all cores; call it with one BLAS thread.

    >>> x = np.zeros((1, 1), np.float32)
    >>> improve(x, sparse.csr_matrix(np.array([[3, 0]], np.float32)), np.array([[2], [1]], np.float32), 1.0, 1)
    >>> round(float(x[0, 0]), 6) == round(3 * 2 / (3 * 4 + 1 + 1), 6)
    True
    """
    gram = others.T @ others
    gram[np.diag_indices_from(gram)] += np.float32(regularization)
    indptr, indices = np.ascontiguousarray(confidence.indptr, np.int64), np.ascontiguousarray(confidence.indices, np.int32)
    others = np.ascontiguousarray(others)
    parallel_for(len(factors), lambda start, stop: _improve(indptr, indices, confidence.data, others, gram, factors, steps, start, stop))


@njit(cache=True, nogil=True, fastmath=True)
def _dot(one: Float32, other: Float32) -> np.float32:
    total = np.float32(0)
    for factor in range(len(one)):
        total += one[factor] * other[factor]
    return total


@njit(cache=True, nogil=True, fastmath=True)
def _add(target: Float32, weight: float, values: Float32) -> None:
    for factor in range(len(target)):
        target[factor] += weight * values[factor]


@njit(cache=True, nogil=True, fastmath=True)
def _gather(indices: Int32, confidence: Float32, others: Float32, block: Float32, weights: Float32, right: Float32) -> None:
    """Fill the block with the rows of `others`, weights with confidence - 1, and add the sum of confidence x y to `right`."""
    for entry in range(len(indices)):
        item, weights[entry] = indices[entry], confidence[entry] - np.float32(1)
        for factor in range(block.shape[1]):
            block[entry, factor] = others[item, factor]
            right[factor] += confidence[entry] * others[item, factor]


@njit(cache=True, nogil=True, fastmath=True)
def _normal_equations(indices: Int32, confidence: Float32, others: Float32, block: Float32, weights: Float32, left: Float32,
                      right: Float32) -> None:
    """Add the sum of (confidence - 1) y y' to `left` and that of confidence x y to `right`."""
    for first in range(0, len(indices), BLOCK):
        part = indices[first:first + BLOCK]
        _gather(part, confidence[first:first + BLOCK], others, block, weights, right)
        for entry in range(len(part)):
            root = np.sqrt(weights[entry])
            for factor in range(block.shape[1]):
                block[entry, factor] *= root
        left += np.dot(block[:len(part)].T, block[:len(part)])


@njit(cache=True, nogil=True, fastmath=True)
def _product(left: Float32, weights: Float32, block: Float32, size: int, x: Float32, product: Float32) -> None:
    """product = (left + sum of weight x y y') x, with y the first rows of the block."""
    n_factors = len(x)
    for row in range(n_factors):
        total = np.float32(0)
        for factor in range(n_factors):
            total += left[row, factor] * x[factor]
        product[row] = total
    for entry in range(size):
        total = np.float32(0)
        for factor in range(n_factors):
            total += block[entry, factor] * x[factor]
        total *= weights[entry]
        for factor in range(n_factors):
            product[factor] += total * block[entry, factor]


@njit(cache=True, nogil=True, error_model="numpy")
def _improve(indptr: NDArray[np.int64], indices: Int32, confidence: Float32, others: Float32, gram: Float32, factors: Float32, steps: int,
             start: int, stop: int) -> None:
    n_factors = others.shape[1]
    block, weights = np.empty((BLOCK, n_factors), np.float32), np.empty(BLOCK, np.float32)
    residual, product, direction = np.empty(n_factors, np.float32), np.empty(n_factors, np.float32), np.empty(n_factors, np.float32)
    for row in range(start, stop):
        pairs, x = slice(indptr[row], indptr[row + 1]), factors[row]
        size, left = pairs.stop - pairs.start, gram
        if size == 0:
            x[:] = 0
            continue
        residual[:] = 0
        if size > BLOCK:
            size, left = 0, gram.copy()
            _normal_equations(indices[pairs], confidence[pairs], others, block, weights, left, residual)
        else:
            _gather(indices[pairs], confidence[pairs], others, block, weights, residual)
        _product(left, weights, block, size, x, product)
        _add(residual, np.float32(-1), product)
        direction[:] = residual
        length = _dot(residual, residual)
        for _ in range(steps):
            if length < SOLVED:
                break
            _product(left, weights, block, size, direction, product)
            step = length / _dot(direction, product)
            _add(x, step, direction)
            _add(residual, -step, product)
            before, length = length, _dot(residual, residual)
            for factor in range(n_factors):
                direction[factor] = residual[factor] + length / before * direction[factor]
