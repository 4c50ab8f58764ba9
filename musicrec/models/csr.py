"""Sparse matrices by row, made by all threads of this machine: what scipy makes with one takes most of a fit on large train sets."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import sparse

from musicrec.dataset import Float32, Int32
from musicrec.models.top_k import n_threads, parallel_for

Int64 = NDArray[np.int64]
Csr = tuple[Int64, Int32, NDArray[np.floating]]


def csr_of(columns: Int32, values: Float32, width: int) -> sparse.csr_matrix:
    """Lists (n, k), as sparse_top_k returns them, as a CSR matrix (n, width) with ascending columns.

    >>> csr_of(np.array([[2, 0, -1]], np.int32), np.array([[9, 8, -np.inf]], np.float32), 3).toarray().tolist()
    [[8.0, 0.0, 9.0]]
    """
    n = len(columns)
    indptr = np.concatenate([[0], np.cumsum((columns >= 0).sum(axis=1))]).astype(np.int64)
    indices, data = np.empty(indptr[-1], np.int32), np.empty(indptr[-1], values.dtype)
    parallel_for(n, lambda start, stop: _fill_sorted(columns, values, indptr, indices, data, start, stop))
    return sparse.csr_matrix((data, indices, indptr), shape=(n, width))


def transposed(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    """The transpose of a CSR matrix as another, with ascending columns: what matrix.T.tocsr() gives. O(nnz); 8 bytes a column and thread.

    >>> transposed(sparse.csr_matrix(np.array([[0, 5], [6, 7]], np.float32))).toarray().tolist()
    [[0.0, 6.0], [5.0, 7.0]]
    """
    (indptr, indices, data), (n, width), parts = csr_arrays(matrix), matrix.shape, n_threads()
    # Each part of the rows has about as many entries, and places of its own in every column.
    edges = np.searchsorted(indptr, np.linspace(0, indptr[-1], parts + 1)[1:-1])
    edges = np.concatenate([[0], edges, [n]]).astype(np.int64)
    counts, rows, values = np.zeros((parts, width), np.int64), np.empty(len(indices), np.int32), np.empty(len(indices), np.float32)
    with ThreadPoolExecutor(parts) as pool:
        list(pool.map(lambda part: _count(indices[indptr[edges[part]]:indptr[edges[part + 1]]], counts[part]), range(parts)))
        before = np.cumsum(counts, axis=0)
        starts = np.concatenate([[0], np.cumsum(before[-1])])
        places = before - counts + starts[:-1]
        list(pool.map(lambda part: _scatter(indptr, indices, data, places[part], rows, values, *edges[part:part + 2]), range(parts)))
    return sparse.csr_matrix((values, rows, starts), shape=(width, n))


def diagonal(n: int) -> sparse.csr_matrix:
    """The identity matrix (n, n): as what is excluded it leaves out column i of row i."""
    return sparse.csr_matrix((np.ones(n, np.float32), np.arange(n, dtype=np.int32), np.arange(n + 1, dtype=np.int64)), shape=(n, n))


def csr_arrays(matrix: sparse.csr_matrix) -> tuple[Int64, Int32, Float32]:
    """indptr, indices and data of a matrix in the types that kernels expect; copied only where the type differs."""
    return (np.ascontiguousarray(matrix.indptr, np.int64), np.ascontiguousarray(matrix.indices, np.int32),
            np.ascontiguousarray(matrix.data, np.float32))


@njit(cache=True, nogil=True)
def _fill_sorted(columns: Int32, values: Float32, indptr: Int64, indices: Int32, data: Float32, start: int, stop: int) -> None:
    for row in range(start, stop):
        order, first = np.argsort(columns[row]), indptr[row]
        empty = len(order) - (indptr[row + 1] - first)
        for place in range(indptr[row + 1] - first):
            indices[first + place], data[first + place] = columns[row, order[empty + place]], values[row, order[empty + place]]


@njit(cache=True, nogil=True)
def _count(indices: Int32, counts: Int64) -> None:
    for column in indices:
        counts[column] += 1


@njit(cache=True, nogil=True)
def _scatter(indptr: Int64, indices: Int32, data: Float32, places: Int64, rows: Int32, values: Float32, start: int, stop: int) -> None:
    for row in range(start, stop):
        for entry in range(indptr[row], indptr[row + 1]):
            place = places[indices[entry]]
            rows[place], values[place] = row, data[entry]
            places[indices[entry]] = place + 1
