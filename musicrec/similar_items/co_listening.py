"""Tracks that are played by the same users."""

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import sparse

from musicrec.dataset import Float32, Int32, TrainSet
from musicrec.lists import empty
from musicrec.models.csr import diagonal, transposed
from musicrec.models.sparse_top_k import sparse_top_k
from musicrec.models.weights import fans
from musicrec.progress import progress

ROWS_PER_STEP = 1 << 16


def co_listening(train: TrainSet, k: int, shrinkage: float, *,
                 max_listeners: int = 300, max_tracks: int = 200) -> tuple[Int32, Float32]:
    """The k items most similar to each item by shared listeners / (sqrt(listeners x listeners of the other item) + shrinkage), 0..1.

    Pairs of weight 0 do not count. Items with more listeners than max_listeners, and users with more items than max_tracks, are sampled
    down to these numbers. O(min(listeners, max_listeners) x max_tracks) per item.
    """
    matrix = train.matrix
    if train.strength is not None:
        matrix = matrix.copy()
        matrix.eliminate_zeros()
    tracks = _sampled(matrix, max_tracks)
    listeners = _sampled(transposed(matrix), max_listeners)
    whole, part = fans(train), np.diff(listeners.indptr)
    counted = np.bincount(tracks.indices, minlength=tracks.shape[1])
    row_norms, column_norms = part / np.sqrt(np.maximum(whole, 1)), np.sqrt(np.maximum(counted, 1))
    tracks.data /= column_norms[tracks.indices].astype(np.float32)
    own, (items, scores) = diagonal(len(whole)), empty(len(whole), k)
    for start in progress(range(0, len(whole), ROWS_PER_STEP), "co-listening"):
        rows = slice(start, start + ROWS_PER_STEP)
        items[rows], scores[rows] = sparse_top_k(listeners[rows], tracks, own[rows], k, row_norms=row_norms[rows],
                                                   column_shrinkage=shrinkage / column_norms)
    return items, scores


def _sampled(matrix: sparse.csr_matrix, most: int) -> sparse.csr_matrix:
    """1 for every stored entry of `matrix`, and for `most` random entries of rows with more."""
    counts = np.diff(matrix.indptr)
    if counts.max(initial=0) <= most:
        return sparse.csr_matrix((np.ones(matrix.nnz, np.float32), matrix.indices, matrix.indptr), matrix.shape)
    indptr = np.concatenate([[0], np.cumsum(np.minimum(counts, most))]).astype(np.int64)
    indices, data = np.empty(indptr[-1], np.int32), np.ones(indptr[-1], np.float32)
    _sample(np.random.default_rng(0), matrix.indptr.astype(np.int64), matrix.indices, indptr, indices)
    return sparse.csr_matrix((data, indices, indptr), shape=matrix.shape)


@njit(cache=True, nogil=True)
def _sample(rng: np.random.Generator, indptr: NDArray[np.int64], indices: Int32, kept_indptr: NDArray[np.int64], kept: Int32) -> None:
    # Selection sampling (Knuth, volume 2, algorithm S); every n-th entry would be biased, since columns ascend within a row.
    for row in range(len(indptr) - 1):
        place = kept_indptr[row]
        for entry in range(indptr[row], indptr[row + 1]):
            missing, left = kept_indptr[row + 1] - place, indptr[row + 1] - entry
            if missing == left or rng.random() * left < missing:
                kept[place] = indices[entry]
                place += 1
