"""Exact top-k by inner product of factors for many users, without scoring most items.

Norms of learned item factors follow popularity. Items are scanned in order of norm; by Cauchy-Schwarz no later item can beat
norm x user norm, so a user is done when that bound is below his k-th score (Teflioudi et al., LEMP, 2015, with one bucket rule).
Blocks are multiplied by BLAS for all users that are still looking. A product that may enter a list is computed again in
float64, so the answer depends on the two vectors only, not on blocks, batches or threads.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import sparse
from threadpoolctl import threadpool_limits

from musicrec.candidates.top_k import contains, in_parts, pushed, sort_heap
from musicrec.lists import empty
from musicrec.matrix import Float32, Int32

USERS_A_BLOCK, ITEMS_A_BLOCK = 512, 512


class NormOrder:
    """Item factors (n_items, factors) in descending order of norm, ready to be searched."""

    def __init__(self, item_factors: Float32) -> None:
        norms = np.sqrt(np.einsum("if,if->i", item_factors, item_factors, dtype=np.float64))
        self.items: Int32 = np.argsort(-norms, kind="stable").astype(np.int32)
        self.norms: NDArray[np.float64] = norms[self.items]
        self.factors: Float32 = np.ascontiguousarray(item_factors[self.items], np.float32)

    def top_k(self, users: Float32, heard: sparse.csr_matrix, k: int) -> tuple[Int32, Float32]:
        """The k unheard items with the largest inner products with each row of `users` (n, factors).

        heard: rows of the same users, ascending columns. Returns items int32 (n, k) and scores float32 (n, k), descending, ties by
        ascending item index, -1 and -inf where fewer exist; a user whose factors are all zero gets nothing.
        O(n x scanned items x factors), at worst all items. Runs one thread a core, BLAS with one thread each.
        """
        items, scores = empty(len(users), k)
        if k == 0:
            return items, scores
        users = np.ascontiguousarray(users, np.float32)
        indptr, indices = heard.indptr.astype(np.int64), heard.indices.astype(np.int32)
        with threadpool_limits(1, user_api="blas"):
            in_parts(len(users), lambda start, stop: self._search(users, indptr, indices, items, scores, start, stop))
        return items, scores

    def _search(self, users: Float32, indptr: NDArray[np.int64], heard: Int32, items: Int32, scores: Float32,
                start: int, stop: int) -> None:
        for first in range(start, stop, USERS_A_BLOCK):
            rows = np.arange(first, min(first + USERS_A_BLOCK, stop))
            sizes = np.zeros(len(rows), np.int64)
            self._search_block(users[rows], rows, indptr, heard, items, scores, sizes)
            for row, size in zip(rows, sizes):
                sort_heap(items[row], scores[row], size)

    def _search_block(self, users: Float32, rows: NDArray[np.int64], indptr: NDArray[np.int64], heard: Int32,
                      items: Int32, scores: Float32, sizes: NDArray[np.int64]) -> None:
        norms = np.sqrt(np.einsum("uf,uf->u", users, users, dtype=np.float64))
        looking = np.flatnonzero(norms > 0)
        for start in range(0, len(self.items), ITEMS_A_BLOCK):
            worst = np.where(sizes[looking] < items.shape[1], -np.inf, scores[rows[looking], 0])
            # The bound is widened by more than float32 rounding of a stored score.
            looking = looking[norms[looking] * self.norms[start] * (1 + 1e-6) >= worst]
            if not len(looking):
                return
            block = self.factors[start:start + ITEMS_A_BLOCK]
            near = users[looking] @ block.T
            # Rounding error of a float32 sum of products, generously: factors x 2^-23 x norms.
            slack = block.shape[1] * 2.0**-23 * norms[looking] * self.norms[start]
            _offer(near, slack, users, block, self.items[start:start + ITEMS_A_BLOCK], looking, rows, indptr, heard, items, scores, sizes)


@njit(cache=True, nogil=True)
def _offer(near, slack, users, block, block_items, looking, rows, indptr, heard, items, scores, sizes):  # type: ignore[no-untyped-def]
    k = items.shape[1]
    for place in range(len(looking)):
        user = looking[place]
        row = rows[user]
        known = heard[indptr[row]:indptr[row + 1]]
        for column in range(len(block_items)):
            if sizes[user] == k and near[place, column] + slack[place] < scores[row, 0]:
                continue
            item = block_items[column]
            if contains(known, item):
                continue
            exact = 0.0
            for factor in range(block.shape[1]):
                exact += np.float64(users[user, factor]) * np.float64(block[column, factor])
            sizes[user] = pushed(items[row], scores[row], sizes[user], item, np.float32(exact))
