"""The k largest entries of each row of a product of two sparse matrices, without making the product.

Rows are computed one by one into a dense row of sums (Gustavson, "Two fast algorithms for sparse matrices", 1978) and cut
to the k best at once, so memory is k entries a row and one row a thread. Neighbours of items, neighbours of users and
the scores of both methods are such products.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import sparse

from musicrec.candidates.top_k import contains, in_parts, pushed, sort_heap
from musicrec.lists import empty
from musicrec.matrix import Float32, Int32

Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]


def top_of_product(left: sparse.csr_matrix, right: sparse.csr_matrix, excluded: sparse.csr_matrix, k: int, *,
                   row_norms: Float64 | None = None, column_norms: Float64 | None = None,
                   shrinkage: float = 0) -> tuple[Int32, Float32]:
    """The k largest positive entries of each row of left @ right, without the columns that the same row of `excluded` stores.

    With norms, an entry is divided by (row norm x column norm + shrinkage); shrinkage alone needs both norms. Sums are
    float64. Returns columns int32 (n, k) and entries float32 (n, k), descending, ties by ascending column, -1 and -inf where
    fewer exist. `excluded` must have ascending columns. O(multiplications) time, O(n k + threads x columns) memory.

    >>> ones = sparse.csr_matrix(np.array([[1, 0], [1, 1]], np.float32))
    >>> top_of_product(ones, ones, sparse.csr_matrix((2, 2)), 2)[0].tolist()
    [[0, -1], [0, 1]]
    """
    n, width = left.shape[0], right.shape[1]
    items, best = empty(n, k)
    arrays = (*_arrays(left), *_arrays(right), *_arrays(excluded)[:2])
    rows = np.ones(n) if row_norms is None else np.asarray(row_norms, np.float64)
    columns = np.ones(width) if column_norms is None else np.asarray(column_norms, np.float64)
    in_parts(n, lambda start, stop: _rows(*arrays, rows, columns, float(shrinkage), items, best, start, stop))
    return items, best


def top_of_chain(left: sparse.csr_matrix, middle: sparse.csr_matrix, right: sparse.csr_matrix, skipped: Int32,
                 excluded: sparse.csr_matrix, k: int) -> tuple[Int32, Float32]:
    """The same for left @ middle @ right, where row i leaves out column skipped[i] of left @ middle. Entries of any sign but 0 are used
    between the products; of the result, positive ones are kept. O(multiplications) time, nothing but the k best stored.
    """
    n = left.shape[0]
    items, best = empty(n, k)
    arrays = (*_arrays(left), *_arrays(middle), *_arrays(right), *_arrays(excluded)[:2])
    in_parts(n, lambda start, stop: _chained_rows(*arrays, skipped, right.shape[1], items, best, start, stop))
    return items, best


def csr_of(columns: Int32, values: Float32, width: int) -> sparse.csr_matrix:
    """The CSR matrix (n, width) of lists (n, k) as top_of_product returns them; columns ascending within a row."""
    there = columns >= 0
    indptr = np.concatenate([[0], np.cumsum(there.sum(axis=1))]).astype(np.int64)
    matrix = sparse.csr_matrix((values[there], columns[there], indptr), shape=(len(columns), width))
    matrix.sort_indices()
    return matrix


def diagonal(n: int) -> sparse.csr_matrix:
    """The pattern that excludes from row i column i, (n, n)."""
    return sparse.csr_matrix((np.ones(n, np.float32), np.arange(n, dtype=np.int32), np.arange(n + 1, dtype=np.int64)), shape=(n, n))


def _arrays(matrix: sparse.csr_matrix) -> tuple[Int64, Int32, Float32]:
    return (np.ascontiguousarray(matrix.indptr, np.int64), np.ascontiguousarray(matrix.indices, np.int32),
            np.ascontiguousarray(matrix.data, np.float32))


@njit(cache=True, nogil=True)
def _add(weight: float, indptr: Int64, indices: Int32, data: Float32, row: int, sums: Float64, seen: NDArray[np.bool_],
         touched: Int32, n: int) -> int:
    for place in range(indptr[row], indptr[row + 1]):
        column = indices[place]
        if not seen[column]:
            seen[column] = True
            touched[n] = column
            n += 1
        sums[column] += weight * data[place]
    return n


@njit(cache=True, nogil=True)
def _cut(row_norm: float, norms: Float64, shrinkage: float, sums: Float64, seen: NDArray[np.bool_], touched: Int32, n: int,
         known: Int32, items: Int32, best: Float32) -> None:
    size, k = 0, len(items)
    for place in range(n):
        column = touched[place]
        score = np.float32(sums[column] / (row_norm * norms[column] + shrinkage)) if sums[column] > 0 else np.float32(0)
        sums[column], seen[column] = 0, False
        if score > 0 and (size < k or score >= best[0]) and np.isfinite(score) and not contains(known, column):
            size = pushed(items, best, size, column, score)
    sort_heap(items, best, size)


@njit(cache=True, nogil=True)
def _rows(l_indptr: Int64, l_indices: Int32, l_data: Float32, r_indptr: Int64, r_indices: Int32, r_data: Float32,
          x_indptr: Int64, x_indices: Int32, row_norms: Float64, norms: Float64, shrinkage: float,
          items: Int32, best: Float32, start: int, stop: int) -> None:
    sums, seen, touched = np.zeros(len(norms)), np.zeros(len(norms), np.bool_), np.empty(len(norms), np.int32)
    for row in range(start, stop):
        n = 0
        for place in range(l_indptr[row], l_indptr[row + 1]):
            if l_data[place] != 0:
                n = _add(l_data[place], r_indptr, r_indices, r_data, l_indices[place], sums, seen, touched, n)
        known = x_indices[x_indptr[row]:x_indptr[row + 1]]
        _cut(row_norms[row], norms, shrinkage, sums, seen, touched, n, known, items[row], best[row])


@njit(cache=True, nogil=True)
def _chained_rows(l_indptr: Int64, l_indices: Int32, l_data: Float32, m_indptr: Int64, m_indices: Int32, m_data: Float32,
                  r_indptr: Int64, r_indices: Int32, r_data: Float32, x_indptr: Int64, x_indices: Int32, skipped: Int32,
                  width: int, items: Int32, best: Float32, start: int, stop: int) -> None:
    between = len(r_indptr) - 1
    inner, inner_seen, inner_touched = np.zeros(between), np.zeros(between, np.bool_), np.empty(between, np.int32)
    sums, seen, touched, ones = np.zeros(width), np.zeros(width, np.bool_), np.empty(width, np.int32), np.ones(width)
    for row in range(start, stop):
        n, n_inner = 0, 0
        for place in range(l_indptr[row], l_indptr[row + 1]):
            n_inner = _add(l_data[place], m_indptr, m_indices, m_data, l_indices[place], inner, inner_seen, inner_touched, n_inner)
        for other in inner_touched[:n_inner]:
            if other != skipped[row]:
                n = _add(inner[other], r_indptr, r_indices, r_data, other, sums, seen, touched, n)
            inner[other], inner_seen[other] = 0, False
        _cut(1.0, ones, 0.0, sums, seen, touched, n, x_indices[x_indptr[row]:x_indptr[row + 1]], items[row], best[row])
