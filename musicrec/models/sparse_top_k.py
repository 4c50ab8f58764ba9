"""The k largest entries of each row of a product of sparse matrices, without storing the product.

Rows are computed one by one in a sparse accumulator (Gustavson, "Two fast algorithms for sparse matrices", 1978) and cut to the k best
at once, so memory is k entries per row and one row per thread. The nearest neighbors of items and users, and the scores computed from
them, are such products.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import sparse

from musicrec.dataset import Float32, Int32
from musicrec.lists import empty
from musicrec.models.blocks import filled
from musicrec.models.csr import Csr, csr_arrays
from musicrec.models.sparse_accumulator import SparseAccumulator, accumulator, add_scaled, clear, hash_mask, push_columns
from musicrec.models.top_k import parallel_for, sort_heap

Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]


def sparse_top_k(left: sparse.csr_matrix, right: sparse.csr_matrix, excluded: sparse.csr_matrix, k: int, *,
                 row_norms: Float64 | None = None, column_shrinkage: Float64 | None = None,
                 title: str | None = None) -> tuple[Int32, Float32]:
    """The k largest positive entries of each row of left @ right, without the columns that the same row of `excluded` stores.

    An entry is divided by (row norm + column shrinkage). Where the columns of `right` have length 1 this gives cosines, and with
    column_shrinkage = shrinkage / column norm it gives dot / (norm x norm + shrinkage). Sums are float64. Returns columns int32 (n, k)
    and entries float32 (n, k), descending, ties by ascending column, -1 and -inf where fewer exist. `excluded` must have ascending
    columns. title: of a progress bar, for a product that is part of a fit, see blocks.filled. O(multiplications) time, O(n x k + threads x
    columns) memory.

    >>> ones = sparse.csr_matrix(np.array([[1, 0], [1, 1]], np.float32))
    >>> sparse_top_k(ones, ones, sparse.csr_matrix((2, 2)), 2)[0].tolist()
    [[0, -1], [0, 1]]
    """
    n = left.shape[0]
    rows = np.ones(n) if row_norms is None else np.asarray(row_norms, np.float64)
    columns = np.empty(0) if column_shrinkage is None else np.asarray(column_shrinkage, np.float64)
    inputs = csr_arrays(left), csr_arrays(right), csr_arrays(excluded)[:2], rows, columns, right.shape[1]
    if title is not None:
        return filled(fill_rows, inputs, n, k, title)
    items, best = empty(n, k)
    parallel_for(n, lambda start, stop: fill_rows(*inputs, items, best, start, stop))
    return items, best


def chained_top_k(left: sparse.csr_matrix, middle: sparse.csr_matrix, right: sparse.csr_matrix, skipped: Int32,
                  excluded: sparse.csr_matrix, k: int) -> tuple[Int32, Float32]:
    """As sparse_top_k for left @ middle @ right, where row i ignores column skipped[i] of left @ middle (none for -1).

    Negative entries of left @ middle count; of the result, only positive entries are kept. O(multiplications) time.
    """
    n = left.shape[0]
    items, best = empty(n, k)
    arrays = csr_arrays(left), csr_arrays(middle), csr_arrays(right), csr_arrays(excluded)[:2]
    parallel_for(n, lambda start, stop: _chained_rows(*arrays, skipped, right.shape[1], items, best, start, stop))
    return items, best


@njit(cache=True, nogil=True)
def _sum_row(left: Csr, right: Csr, row: int, skipped: int, sums: SparseAccumulator) -> int:
    """Compute row `row` of left @ right, without column `skipped` of left, in `sums`; returns the number of slots in use."""
    (l_indptr, l_indices, l_data), (r_indptr, r_indices, r_data) = left, right
    additions = 0
    for position in range(l_indptr[row], l_indptr[row + 1]):
        additions += r_indptr[l_indices[position] + 1] - r_indptr[l_indices[position]]
    mask, used = hash_mask(additions, len(sums.keys)), 0
    for position in range(l_indptr[row], l_indptr[row + 1]):
        other = l_indices[position]
        if l_data[position] != 0 and other != skipped:
            row_of_right = slice(r_indptr[other], r_indptr[other + 1])
            used = add_scaled(sums, mask, used, r_indices[row_of_right], l_data[position], r_data[row_of_right])
    return used


@njit(cache=True, nogil=True)
def _keep_best(row_norm: float, column_shrinkage: Float64, sums: SparseAccumulator, used: int, excluded: Int32, items: Int32,
               best: Float32) -> None:
    scores = np.empty(used, np.float32)
    for position in range(used):
        slot = sums.slots[position]
        score = np.float32(sums.values[slot] / (row_norm + (column_shrinkage[sums.keys[slot]] if len(column_shrinkage) else 0.0)))
        scores[position] = score if 0 < score < np.inf else 0
    size = push_columns(sums, scores, excluded, items, best)
    clear(sums, used)
    sort_heap(items, best, size)


@njit(cache=True, nogil=True)
def fill_rows(left: Csr, right: Csr, excluded: tuple[Int64, Int32], row_norms: Float64, column_shrinkage: Float64, width: int,
              items: Int32, best: Float32, start: int, stop: int) -> None:
    """The rows from start to stop of sparse_top_k. For use by threads and executors."""
    sums, (x_indptr, x_indices) = accumulator(width), excluded
    for row in range(start, stop):
        used = _sum_row(left, right, row, -1, sums)
        _keep_best(row_norms[row], column_shrinkage, sums, used, x_indices[x_indptr[row]:x_indptr[row + 1]], items[row], best[row])


@njit(cache=True, nogil=True)
def _chained_rows(left: Csr, middle: Csr, right: Csr, excluded: tuple[Int64, Int32], skipped: Int32, width: int,
                  items: Int32, best: Float32, start: int, stop: int) -> None:
    between, sums, (x_indptr, x_indices) = accumulator(len(right[0]) - 1), accumulator(width), excluded
    nothing, one_row = np.empty(0), np.zeros(2, np.int64)
    for row in range(start, stop):
        n = _sum_row(left, middle, row, -1, between)
        one_row[1] = n
        chain = one_row, between.keys[between.slots[:n]], between.values[between.slots[:n]]
        used = _sum_row(chain, right, 0, skipped[row], sums)
        clear(between, n)
        _keep_best(1.0, nothing, sums, used, x_indices[x_indptr[row]:x_indptr[row + 1]], items[row], best[row])
