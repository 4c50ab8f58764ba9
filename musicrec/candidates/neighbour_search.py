"""Finding similar users in a bounded number of steps: candidates from the rarest shared items, similarity from all of them."""

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import sparse

from musicrec.candidates.product import Csr, csr_arrays
from musicrec.candidates.sums import added, cleared, mask_of, place_of, sums
from musicrec.candidates.top_k import in_parts, pushed, sort_heap
from musicrec.lists import empty
from musicrec.matrix import Float32, Int32

Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]


def rarest(rows: sparse.csr_matrix, n_listeners: Int32, budget: int) -> tuple[sparse.csr_matrix, NDArray[np.bool_]]:
    """`rows` with 0 for the items that a search can not afford, and which rows lost some.

    A row keeps its items from the rarest up as long as their listeners add up to at most `budget`, and always the rarest one.
    Equal rarity keeps the lower index first.

    >>> cut, lost = rarest(sparse.csr_matrix(np.ones((1, 3), np.float32)), np.array([5, 2, 4], np.int32), 7)
    >>> cut.toarray().tolist(), lost.tolist()
    ([[0.0, 1.0, 1.0]], [True])
    """
    data, lost = rows.data.copy(), np.zeros(rows.shape[0], np.bool_)
    indptr, items = rows.indptr.astype(np.int64), rows.indices.astype(np.int32)
    in_parts(rows.shape[0], lambda start, stop: _cut(indptr, items, n_listeners, budget, data, lost, start, stop))
    return sparse.csr_matrix((data, rows.indices, rows.indptr), shape=rows.shape), lost


def rescored(rows: sparse.csr_matrix, candidates: Int32, others: sparse.csr_matrix, row_norms: Float64, norms: Float64,
             shrinkage: float, k: int) -> tuple[Int32, Float32]:
    """The k best of each row's candidates (n, m), -1 where fewer exist, by dot / (norm x norm + shrinkage) with the rows of `others`.

    Positive similarities only, descending, ties by ascending index. O(entries of the candidates' rows).
    """
    items, best = empty(len(candidates), k)
    arrays = csr_arrays(rows), csr_arrays(others)
    in_parts(len(candidates), lambda start, stop: _rescore(*arrays, candidates, row_norms, norms, shrinkage, others.shape[1],
                                                           items, best, start, stop))
    return items, best


@njit(cache=True, nogil=True)
def _cut(indptr: Int64, items: Int32, n_listeners: Int32, budget: int, data: Float32, lost: NDArray[np.bool_],
         start: int, stop: int) -> None:
    for row in range(start, stop):
        first, last = indptr[row], indptr[row + 1]
        total = 0
        for place in np.argsort(n_listeners[items[first:last]], kind="mergesort"):
            total += n_listeners[items[first + place]]
            if total > budget and total > n_listeners[items[first + place]]:
                data[first + place], lost[row] = 0, True


@njit(cache=True, nogil=True)
def _rescore(rows: Csr, others: Csr, candidates: Int32, row_norms: Float64, norms: Float64, shrinkage: float, width: int,
             items: Int32, best: Float32, start: int, stop: int) -> None:
    (l_indptr, l_indices, l_data), (o_indptr, o_indices, o_data) = rows, others
    weight = sums(width)
    for row in range(start, stop):
        own = slice(l_indptr[row], l_indptr[row + 1])
        # Twice as large as sums need it: most look-ups find nothing, and find it out faster in a table that is a quarter full.
        mask = mask_of(2 * (own.stop - own.start), width)
        used = added(weight, mask, 0, l_indices[own], 1.0, l_data[own])
        size = 0
        for other in candidates[row]:
            if other < 0:
                break
            dot = 0.0
            for entry in range(o_indptr[other], o_indptr[other + 1]):
                place = place_of(weight.keys, mask, o_indices[entry])
                if weight.keys[place] >= 0:
                    dot += weight.values[place] * o_data[entry]
            score = np.float32(dot / (row_norms[row] * norms[other] + shrinkage))
            if score > 0:
                size = pushed(items[row], best[row], size, other, score)
        sort_heap(items[row], best[row], size)
        cleared(weight, used)
