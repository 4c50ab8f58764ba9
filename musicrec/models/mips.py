"""Exact maximum inner product search (MIPS) for many users, without scoring most items.

The norms of learned item factors follow popularity. Items are scanned by descending norm: by Cauchy-Schwarz no later item can score above
item norm x user norm, so the scan for a user ends when this bound is below their k-th score (the pruning of LEMP, Teflioudi et al., 2015).
Blocks of items are multiplied by BLAS for all users whose scan goes on. A product that may enter a list is computed again in float64, so
a score depends on the two vectors only, not on blocks, batches or threads.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import sparse
from threadpoolctl import threadpool_limits

from musicrec.dataset import Float32, Int32
from musicrec.lists import empty
from musicrec.models.top_k import contains, heap_push, parallel_for, sort_heap

USERS_PER_BLOCK, ITEMS_PER_BLOCK = 512, 512


class MipsIndex:
    """Item factors (n_items, factors) sorted by descending norm."""

    def __init__(self, item_factors: Float32) -> None:
        norms = np.sqrt(np.einsum("if,if->i", item_factors, item_factors, dtype=np.float64))
        self.items: Int32 = np.argsort(-norms, kind="stable").astype(np.int32)
        self.norms: NDArray[np.float64] = norms[self.items]
        self.factors: Float32 = np.ascontiguousarray(item_factors[self.items], np.float32)

    def top_k(self, users: Float32, seen: sparse.csr_matrix, k: int) -> tuple[Int32, Float32]:
        """The k unseen items with the largest inner products with each row of `users` (n, factors).

        seen: rows of the same users, with ascending columns. Returns items int32 (n, k) and scores float32 (n, k), descending, ties by
        ascending item index, -1 and -inf where fewer exist; nothing for a user whose factors are all zero.
        O(n x scanned items x factors), in the worst case all items. Runs one thread per core, BLAS with one thread in each.
        """
        items, scores = empty(len(users), k)
        if k == 0:
            return items, scores
        users = np.ascontiguousarray(users, np.float32)
        indptr, indices = seen.indptr.astype(np.int64), seen.indices.astype(np.int32)
        with threadpool_limits(1, user_api="blas"):
            parallel_for(len(users), lambda start, stop: self._search(users, indptr, indices, items, scores, start, stop))
        return items, scores

    def _search(self, users: Float32, indptr: NDArray[np.int64], seen: Int32, items: Int32, scores: Float32,
                start: int, stop: int) -> None:
        for first in range(start, stop, USERS_PER_BLOCK):
            rows = np.arange(first, min(first + USERS_PER_BLOCK, stop))
            sizes = np.zeros(len(rows), np.int64)
            self._search_block(users[rows], rows, indptr, seen, items, scores, sizes)
            for row, size in zip(rows, sizes):
                sort_heap(items[row], scores[row], size)

    def _search_block(self, users: Float32, rows: NDArray[np.int64], indptr: NDArray[np.int64], seen: Int32,
                      items: Int32, scores: Float32, sizes: NDArray[np.int64]) -> None:
        norms = np.sqrt(np.einsum("uf,uf->u", users, users, dtype=np.float64))
        active = np.flatnonzero(norms > 0)
        for start in range(0, len(self.items), ITEMS_PER_BLOCK):
            worst = np.where(sizes[active] < items.shape[1], -np.inf, scores[rows[active], 0])
            # The factor exceeds the float32 rounding error of a stored score.
            active = active[norms[active] * self.norms[start] * (1 + 1e-6) >= worst]
            if not len(active):
                return
            block = self.factors[start:start + ITEMS_PER_BLOCK]
            products = users[active] @ block.T
            # An upper bound of the rounding error of a float32 inner product: factors x 2^-23 x norms.
            error = block.shape[1] * 2.0**-23 * norms[active] * self.norms[start]
            _push_block(products, error, users, block, self.items[start:start + ITEMS_PER_BLOCK], active, rows, indptr, seen, items, scores,
                        sizes)


@njit(cache=True, nogil=True)
def exact_product(one: Float32, other: Float32) -> np.float32:
    """The inner product, added up in float64 in the order of the factors and then rounded: the score of a list, however it was found."""
    exact = 0.0
    for factor in range(len(one)):
        exact += np.float64(one[factor]) * np.float64(other[factor])
    return np.float32(exact)


@njit(cache=True, nogil=True)
def _push_block(products, error, users, block, block_items, active, rows, indptr, seen, items, scores, sizes):  # type: ignore[no-untyped-def]
    k = items.shape[1]
    for position in range(len(active)):
        user = active[position]
        row = rows[user]
        own = seen[indptr[row]:indptr[row + 1]]
        for column in range(len(block_items)):
            if sizes[user] == k and products[position, column] + error[position] < scores[row, 0]:
                continue
            item = block_items[column]
            if contains(own, item):
                continue
            sizes[user] = heap_push(items[row], scores[row], sizes[user], item, exact_product(users[user], block[column]))
