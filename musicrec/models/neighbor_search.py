"""Search for similar users at a bounded cost: candidates share a rare item with the user, similarities count all items."""

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import sparse

from musicrec.dataset import Float32, Int32
from musicrec.lists import empty
from musicrec.models.csr import Csr, csr_arrays
from musicrec.models.sparse_accumulator import accumulator, add_scaled, clear, hash_mask, slot_of
from musicrec.models.top_k import heap_push, parallel_for, sort_heap

Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]
# A power of two of bytes, a quarter of a usual first-level cache.
FLAGS = 1 << 13


def rarest_items(rows: sparse.csr_matrix, n_listeners: Int32, budget: int) -> tuple[sparse.csr_matrix, NDArray[np.bool_]]:
    """`rows` with 0 for the items beyond the budget, and for which rows there are any.

    A row keeps its items in ascending order of listeners as long as the sum of these is at most `budget`, and always the first one.
    Ties are in ascending order of index.

    >>> kept, truncated = rarest_items(sparse.csr_matrix(np.ones((1, 3), np.float32)), np.array([5, 2, 4], np.int32), 7)
    >>> kept.toarray().tolist(), truncated.tolist()
    ([[0.0, 1.0, 1.0]], [True])
    """
    data, truncated = rows.data.copy(), np.zeros(rows.shape[0], np.bool_)
    indptr, items = rows.indptr.astype(np.int64), rows.indices.astype(np.int32)
    parallel_for(rows.shape[0], lambda start, stop: _truncate(indptr, items, n_listeners, budget, data, truncated, start, stop))
    return sparse.csr_matrix((data, rows.indices, rows.indptr), shape=rows.shape), truncated


def rescored(rows: sparse.csr_matrix, candidates: Int32, others: sparse.csr_matrix, row_norms: Float64, norms: Float64,
             shrinkage: float, k: int) -> tuple[Int32, Float32]:
    """The k most similar of each row's candidates (n, m), rows of `others` or -1, by dot / (norm x norm + shrinkage).

    Positive similarities only, descending, ties by ascending index, -1 and -inf where fewer exist. O(entries of the candidates' rows).
    """
    items, best = empty(len(candidates), k)
    arrays = csr_arrays(rows), csr_arrays(others)
    parallel_for(len(candidates), lambda start, stop: _rescore(*arrays, candidates, row_norms, norms, shrinkage, others.shape[1],
                                                           items, best, start, stop))
    return items, best


@njit(cache=True, nogil=True)
def _truncate(indptr: Int64, items: Int32, n_listeners: Int32, budget: int, data: Float32, truncated: NDArray[np.bool_],
              start: int, stop: int) -> None:
    for row in range(start, stop):
        first, last = indptr[row], indptr[row + 1]
        total = 0
        for position in np.argsort(n_listeners[items[first:last]], kind="mergesort"):
            total += n_listeners[items[first + position]]
            if total > budget and total > n_listeners[items[first + position]]:
                data[first + position], truncated[row] = 0, True


@njit(cache=True, nogil=True)
def _rescore(rows: Csr, others: Csr, candidates: Int32, row_norms: Float64, norms: Float64, shrinkage: float, width: int,
             items: Int32, best: Float32, start: int, stop: int) -> None:
    (l_indptr, l_indices, l_data), (o_indptr, o_indices, o_data) = rows, others
    sums, may_be_own = accumulator(width), np.zeros(FLAGS, np.bool_)
    for row in range(start, stop):
        own = slice(l_indptr[row], l_indptr[row + 1])
        mask = hash_mask(own.stop - own.start, width)
        used = add_scaled(sums, mask, 0, l_indices[own], 1.0, l_data[own])
        for item in l_indices[own]:
            may_be_own[item & FLAGS - 1] = True
        size = 0
        for other in candidates[row]:
            if other < 0:
                break
            dot = 0.0
            for entry in range(o_indptr[other], o_indptr[other + 1]):
                # Most items of others are not among the row's own, which one flag in the first-level cache tells for most of them.
                if may_be_own[o_indices[entry] & FLAGS - 1]:
                    slot = slot_of(sums.keys, mask, o_indices[entry])
                    if sums.keys[slot] >= 0:
                        dot += sums.values[slot] * o_data[entry]
            score = np.float32(dot / (row_norms[row] * norms[other] + shrinkage))
            if score > 0:
                size = heap_push(items[row], best[row], size, other, score)
        sort_heap(items[row], best[row], size)
        clear(sums, used)
        for item in l_indices[own]:
            may_be_own[item & FLAGS - 1] = False
