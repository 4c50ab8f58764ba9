"""Training of ALS and exact top-k on a GPU, by the CUDA kernels of `implicit` (Frederickson), where there is one.

The extra `gpu` installs RMM, without which `implicit` finds no GPU. Training takes the same steps as on the processor, in another order
of additions, so factors agree up to rounding. Lists are exact, as MipsIndex makes them: the GPU only says which items may be in them.
"""

import logging
import warnings
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from threading import Lock
from typing import Any

import numpy as np
from numba import njit
from scipy import sparse

from musicrec.dataset import Float32, Int32
from musicrec.errors import ModelError
from musicrec.lists import empty
from musicrec.models.mips import exact_product
from musicrec.models.top_k import contains, heap_push, parallel_for, sort_heap

DEVICES = ("auto", "cpu", "cuda")
# Warps have 32 threads, and a kernel of `implicit` has a thread for each factor.
WARP = 32
USERS_PER_BLOCK = 8192
# Items beyond k that the GPU returns, because its float32 products may order the last ones differently.
SLACK = 32
# What `implicit` and RMM raise when the memory of the GPU is full or a kernel fails.
FAILURES = (MemoryError, RuntimeError)

log = logging.getLogger(__name__)


def uses_gpu(device: str) -> bool:
    """Whether `device` means the GPU here: "cuda" always, "auto" where there is one, "cpu" never.

    Raises ModelError for another value, and for "cuda" where no GPU can be used. "auto" logs a line where the extra `gpu` is installed and
    no GPU can be used.
    """
    if device not in DEVICES:
        raise ModelError(f"als: device is {device!r}; it is one of {', '.join(DEVICES)}.")
    if device == "cuda" and obstacle():
        raise ModelError(f"als: device is cuda, but {obstacle()}; set device = auto or cpu.")
    return device != "cpu" and not obstacle()


@cache
def obstacle() -> str:
    """Why no GPU can be used; empty where one can."""
    if not find_spec("rmm"):
        return 'the packages for a GPU are missing (pip install "musicrec[gpu]")'
    try:
        # `implicit` hides why it cannot load RMM, and warns of everything else.
        import_module("rmm")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            import implicit.gpu
    except (ImportError, RuntimeError) as cause:
        found = str(cause)
    else:
        if implicit.gpu.HAS_CUDA:
            return ""
        found = "; ".join(str(one.message) for one in caught) or "implicit was built without CUDA"
    log.warning("als runs on the processor: no GPU can be used (%s).", found)
    return f"no GPU can be used ({found})"


class GpuAlternation:
    """The factors of users and items on the GPU, and the confidences by either side. See als_kernel.Alternation."""

    def __init__(self, confidence: sparse.csr_matrix, users: Float32, items: Float32, regularization: float) -> None:
        import implicit.gpu as gpu
        self._factors, self._regularization = users.shape[1], regularization
        self._by_user, self._by_item = gpu.CSRMatrix(_int32(confidence)), gpu.CSRMatrix(_int32(confidence.T.tocsr()))
        self._users, self._items = gpu.Matrix(_padded(users)), gpu.Matrix(_padded(items))
        width = _padded(users[:0]).shape[1]
        self._gram, self._solver = gpu.Matrix.zeros(width, width), gpu.LeastSquaresSolver()

    def iterate(self, steps: int) -> Float32:
        """Move the factors of users, then those of items, so many steps; returns those of items (n_items, factors)."""
        for factors, confidence, others in ((self._users, self._by_user, self._items), (self._items, self._by_item, self._users)):
            self._solver.calculate_yty(others, self._gram, self._regularization)
            self._solver.least_squares(confidence, factors, self._gram, others, steps)
        return self._on_host(self._items)

    def factors(self) -> tuple[Float32, Float32]:
        """The factors of users (n_users, factors) and items (n_items, factors)."""
        return self._on_host(self._users), self._on_host(self._items)

    def _on_host(self, factors: Any) -> Float32:
        return np.ascontiguousarray(factors.to_numpy()[:, : self._factors])


class GpuIndex:
    """Item factors (n_items, factors) on the GPU. See mips.MipsIndex, whose answers it gives to the last bit."""

    def __init__(self, item_factors: Float32) -> None:
        import implicit.gpu as gpu
        self._factors = np.ascontiguousarray(item_factors, np.float32)
        self._items, self._search, self._lock = gpu.Matrix(self._factors), gpu.KnnQuery(), Lock()

    def top_k(self, users: Float32, seen: sparse.csr_matrix, k: int) -> tuple[Int32, Float32]:
        """As MipsIndex.top_k; all inner products are computed, O(n x n_items x factors) on the GPU, and the best ones again in float64.

        It would miss an item only if more than SLACK items had scores that float32 cannot tell from the k-th.
        """
        items, scores = empty(len(users), k)
        users = np.ascontiguousarray(users, np.float32)
        for start in range(0, len(users) if k and len(self._factors) else 0, USERS_PER_BLOCK):
            block = slice(start, start + USERS_PER_BLOCK)
            found = self._candidates(users[block], seen[block], k)
            indptr, columns = seen[block].indptr.astype(np.int64), seen[block].indices.astype(np.int32)
            arguments = (users[block], self._factors, found, indptr, columns, items[block], scores[block])
            parallel_for(len(found), lambda first, stop, arguments=arguments: _rescored(*arguments, first, stop))  # type: ignore[misc]
        return items, scores

    def _candidates(self, users: Float32, seen: sparse.csr_matrix, k: int) -> Int32:
        import implicit.gpu as gpu
        own = gpu.COOMatrix(_int32(seen).tocoo()) if seen.nnz else None
        with self._lock:
            found, products = self._search.topk(self._items, gpu.Matrix(users), min(k + SLACK, len(self._factors)), query_filter=own)
        # Left out items have the lowest float there is.
        found[products <= np.finfo(np.float32).min] = -1
        return np.ascontiguousarray(found, np.int32)


@njit(cache=True, nogil=True)
def _rescored(users, factors, found, indptr, seen, items, scores, start, stop):  # type: ignore[no-untyped-def]
    for user in range(start, stop):
        if not users[user].any():
            continue
        size, own = 0, seen[indptr[user]:indptr[user + 1]]
        for item in found[user]:
            if item < 0 or contains(own, item):
                continue
            size = heap_push(items[user], scores[user], size, item, exact_product(users[user], factors[item]))
        sort_heap(items[user], scores[user], size)


def _int32(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    arrays = (matrix.data.astype(np.float32), matrix.indices.astype(np.int32), matrix.indptr.astype(np.int32))
    return sparse.csr_matrix(arrays, matrix.shape)


def _padded(factors: Float32) -> Float32:
    """With columns of zeros up to a multiple of WARP; they stay zeros."""
    return np.pad(factors, ((0, 0), (0, -factors.shape[1] % WARP))).astype(np.float32)
