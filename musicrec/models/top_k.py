"""Exact selection of the k best unseen items from rows of scores.

All lists are ordered by descending score, then ascending item index. A bounded heap per row keeps the k best in one pass over the
scores: one comparison per score, and O(log k) for the few that enter. Scores that are NaN or infinite are left out. The kernels release
the GIL and run on all cores; the result of a row depends on that row only.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import sparse

from musicrec.dataset import Float32, Int32, positions_of_rows
from musicrec.lists import empty
from musicrec.progress import progress

Int64 = NDArray[np.int64]


def top_k(scores: Float32, seen_indptr: NDArray[np.integer], seen_indices: Int32, k: int) -> tuple[Int32, Float32]:
    """The k best items of each row of `scores` (n, n_items) that its user has not seen.

    The seen items of row i are seen_indices[seen_indptr[i]:seen_indptr[i + 1]], ascending, as in the result of `rows_of`. Returns
    items int32 (n, k), -1 where fewer exist, and scores float32 (n, k), -inf beside -1. O(n x n_items).

    >>> items, best = top_k(np.array([[0.5, 2, 2, 1]], np.float32), np.array([0, 1]), np.array([1], np.int32), 2)
    >>> items.tolist(), best.tolist()
    ([[2, 3]], [[2.0, 1.0]])
    """
    n = len(scores)
    items, best = empty(n, k)
    scores, seen_indices = np.ascontiguousarray(scores, np.float32), np.ascontiguousarray(seen_indices, np.int32)
    indptr = np.ascontiguousarray(seen_indptr, np.int64)
    parallel_for(n, lambda start, stop: _dense(scores, indptr, seen_indices, items, best, start, stop))
    return items, best


def rows_of(matrix: sparse.csr_matrix, user_index: Int32) -> sparse.csr_matrix:
    """The rows `user_index` of a CSR matrix as a new one (float32, int64 indptr); row -1 is empty, where scipy takes the last row.

    >>> rows_of(sparse.csr_matrix(np.array([[0, 5], [6, 0]], np.float32)), np.array([1, -1], np.int32)).toarray().tolist()
    [[6.0, 0.0], [0.0, 0.0]]
    """
    indptr, positions = positions_of_rows(matrix.indptr, user_index)
    values, columns = matrix.data[positions].astype(np.float32), matrix.indices[positions].astype(np.int32)
    return sparse.csr_matrix((values, columns, indptr), shape=(len(user_index), matrix.shape[1]))


_threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def n_threads() -> int:
    """The number of threads of one call of a kernel: that of the cores, or what limit_threads has set."""
    return _threads


def limit_threads(threads: int) -> None:
    """Let each call of a kernel in this process use so many threads from now on, where it shares the cores with other processes."""
    global _threads
    _threads = threads


def parallel_for(n: int, work: Callable[[int, int], Any], title: str | None = None) -> None:
    """Call work(start, stop) on ranges that cover range(n), with n_threads() threads. Only work that releases the GIL gets faster.

    title: the title of a progress bar; no bar where None.
    """
    threads = min(_threads, n)
    if threads < 2 or n < 32:
        work(0, n)
        return
    # More ranges than threads: the cost of rows differs, and a thread that has finished takes the next range.
    n_ranges = (4 if title is None else 32) * threads
    edges = np.linspace(0, n, n_ranges + 1).astype(int).tolist()
    with ThreadPoolExecutor(threads) as pool:
        done = pool.map(work, edges[:-1], edges[1:])
        list(done if title is None else progress(done, title, total=n_ranges))


@njit(cache=True, nogil=True)
def contains(ascending: Int32, item: int) -> bool:
    """Whether `item` is in the ascending array; O(log n). For use inside kernels."""
    low, high = 0, len(ascending)
    while low < high:
        middle = (low + high) // 2
        if ascending[middle] < item:
            low = middle + 1
        else:
            high = middle
    return low < len(ascending) and ascending[low] == item


@njit(cache=True, nogil=True)
def worse(score: float, item: int, other_score: float, other_item: int) -> bool:
    """Whether (score, item) comes after (other_score, other_item) in a list. For use inside kernels."""
    return score < other_score or (score == other_score and item > other_item)


@njit(cache=True, nogil=True)
def heap_push(items: Int32, scores: Float32, size: int, item: int, score: float) -> int:
    """Push (item, score) to the heap in items[:size], scores[:size] and return its new size, at most len(items).

    The worst entry is at 0. In a full heap a better entry replaces the worst one, a worse one is dropped. For use inside kernels.
    """
    if size < len(items):
        position = size
        while position > 0:
            parent = (position - 1) // 2
            if not worse(score, item, scores[parent], items[parent]):
                break
            scores[position], items[position] = scores[parent], items[parent]
            position = parent
        scores[position], items[position] = score, item
        return size + 1
    if size > 0 and worse(scores[0], items[0], score, item):
        _sift_down(items, scores, size, item, score)
    return size


@njit(cache=True, nogil=True)
def _sift_down(items: Int32, scores: Float32, size: int, item: int, score: float) -> None:
    position = 0
    while True:
        child = 2 * position + 1
        if child >= size:
            break
        if child + 1 < size and worse(scores[child + 1], items[child + 1], scores[child], items[child]):
            child += 1
        if not worse(scores[child], items[child], score, item):
            break
        scores[position], items[position] = scores[child], items[child]
        position = child
    scores[position], items[position] = score, item


@njit(cache=True, nogil=True)
def sort_heap(items: Int32, scores: Float32, size: int) -> None:
    """Sort the heap in items[:size], scores[:size] in place, best first. For use inside kernels."""
    for end in range(size - 1, 0, -1):
        item, score = items[end], scores[end]
        items[end], scores[end] = items[0], scores[0]
        _sift_down(items, scores, end, item, score)


@njit(cache=True, nogil=True)
def _dense(scores: Float32, indptr: Int64, seen: Int32, items: Int32, best: Float32, start: int, stop: int) -> None:
    k = items.shape[1]
    for row in range(start, stop):
        own = seen[indptr[row]:indptr[row + 1]]
        size = 0
        for item in range(scores.shape[1]):
            score = scores[row, item]
            if (size < k or score > best[row, 0]) and np.isfinite(score) and not contains(own, item):
                size = heap_push(items[row], best[row], size, item, score)
        sort_heap(items[row], best[row], size)
