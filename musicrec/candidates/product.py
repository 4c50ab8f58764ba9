"""The k largest entries of each row of a product of two sparse matrices, without making the product.

Rows are computed one by one into sums by column (Gustavson, "Two fast algorithms for sparse matrices", 1978; see sums.py) and
cut to the k best at once, so memory is k entries a row and one row a thread. Neighbours of items, neighbours of users and
the scores of both methods are such products.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import sparse

from musicrec.candidates.sums import Sums, added, cleared, mask_of, offered, sums
from musicrec.candidates.top_k import in_parts, sort_heap
from musicrec.lists import empty
from musicrec.matrix import Float32, Int32

Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]
Csr = tuple[Int64, Int32, NDArray[np.floating]]


def top_of_product(left: sparse.csr_matrix, right: sparse.csr_matrix, excluded: sparse.csr_matrix, k: int, *,
                   row_norms: Float64 | None = None, shrunk: Float64 | None = None, title: str | None = None) -> tuple[Int32, Float32]:
    """The k largest positive entries of each row of left @ right, without the columns that the same row of `excluded` stores.

    An entry is divided by (row norm + shrunk of its column): cosines when the columns of `right` have length 1, and cosines with
    dot / (norm x norm + shrinkage) when shrunk is shrinkage / column norm besides. Sums are float64. Returns columns int32 (n, k) and
    entries float32 (n, k), descending, ties by ascending column, -1 and -inf where fewer exist. `excluded` must have ascending
    columns. title: of a progress bar. O(multiplications) time, O(n k + threads x columns) memory.

    >>> ones = sparse.csr_matrix(np.array([[1, 0], [1, 1]], np.float32))
    >>> top_of_product(ones, ones, sparse.csr_matrix((2, 2)), 2)[0].tolist()
    [[0, -1], [0, 1]]
    """
    n = left.shape[0]
    items, best = empty(n, k)
    arrays = csr_arrays(left), csr_arrays(right), csr_arrays(excluded)[:2]
    rows = np.ones(n) if row_norms is None else np.asarray(row_norms, np.float64)
    columns = np.empty(0) if shrunk is None else np.asarray(shrunk, np.float64)
    in_parts(n, lambda start, stop: _rows(*arrays, rows, columns, right.shape[1], items, best, start, stop), title)
    return items, best


def top_of_chain(left: sparse.csr_matrix, middle: sparse.csr_matrix, right: sparse.csr_matrix, skipped: Int32,
                 excluded: sparse.csr_matrix, k: int) -> tuple[Int32, Float32]:
    """The same for left @ middle @ right, where row i leaves out column skipped[i] of left @ middle, none for -1.

    Entries of any sign but 0 are used between the products; of the result, positive ones are kept. O(multiplications) time, nothing
    but the k best stored.
    """
    n = left.shape[0]
    items, best = empty(n, k)
    arrays = csr_arrays(left), csr_arrays(middle), csr_arrays(right), csr_arrays(excluded)[:2]
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


def csr_arrays(matrix: sparse.csr_matrix) -> tuple[Int64, Int32, Float32]:
    """indptr, indices and data of a matrix in the types that kernels take; copied only where the type differs."""
    return (np.ascontiguousarray(matrix.indptr, np.int64), np.ascontiguousarray(matrix.indices, np.int32),
            np.ascontiguousarray(matrix.data, np.float32))


@njit(cache=True, nogil=True)
def _sum_row(left: Csr, right: Csr, row: int, skipped: int, into: Sums) -> int:
    """Put row `row` of left @ right, without column `skipped` of left, into `into`; returns the number of places in use."""
    (l_indptr, l_indices, l_data), (r_indptr, r_indices, r_data) = left, right
    additions = 0
    for place in range(l_indptr[row], l_indptr[row + 1]):
        additions += r_indptr[l_indices[place] + 1] - r_indptr[l_indices[place]]
    mask, used = mask_of(additions, len(into.keys)), 0
    for place in range(l_indptr[row], l_indptr[row + 1]):
        other = l_indices[place]
        if l_data[place] != 0 and other != skipped:
            part = slice(r_indptr[other], r_indptr[other + 1])
            used = added(into, mask, used, r_indices[part], l_data[place], r_data[part])
    return used


@njit(cache=True, nogil=True)
def _cut(row_norm: float, shrunk: Float64, into: Sums, used: int, known: Int32, items: Int32, best: Float32) -> None:
    scores = np.empty(used, np.float32)
    for place in range(used):
        at = into.places[place]
        score = np.float32(into.values[at] / (row_norm + (shrunk[into.keys[at]] if len(shrunk) else 0.0)))
        scores[place] = score if 0 < score < np.inf else 0
    size = offered(into, scores, known, items, best)
    cleared(into, used)
    sort_heap(items, best, size)


@njit(cache=True, nogil=True)
def _rows(left: Csr, right: Csr, excluded: tuple[Int64, Int32], row_norms: Float64, shrunk: Float64, width: int,
          items: Int32, best: Float32, start: int, stop: int) -> None:
    into, (x_indptr, x_indices) = sums(width), excluded
    for row in range(start, stop):
        used = _sum_row(left, right, row, -1, into)
        _cut(row_norms[row], shrunk, into, used, x_indices[x_indptr[row]:x_indptr[row + 1]], items[row], best[row])


@njit(cache=True, nogil=True)
def _chained_rows(left: Csr, middle: Csr, right: Csr, excluded: tuple[Int64, Int32], skipped: Int32, width: int,
                  items: Int32, best: Float32, start: int, stop: int) -> None:
    between, into, (x_indptr, x_indices) = sums(len(right[0]) - 1), sums(width), excluded
    nothing, one_row = np.empty(0), np.zeros(2, np.int64)
    for row in range(start, stop):
        n = _sum_row(left, middle, row, -1, between)
        one_row[1] = n
        chain = one_row, between.keys[between.places[:n]], between.values[between.places[:n]]
        used = _sum_row(chain, right, 0, skipped[row], into)
        cleared(between, n)
        _cut(1.0, nothing, into, used, x_indices[x_indptr[row]:x_indptr[row + 1]], items[row], best[row])
