"""Tracks that are played by the same people."""

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import sparse
from tqdm import tqdm

from musicrec.candidates.product import diagonal, top_of_product
from musicrec.lists import empty
from musicrec.matrix import Float32, History, Int32

ROWS_A_STEP = 1 << 16


def co_listening(history: History, k: int, shrinkage: float, *,
                 max_listeners: int = 300, max_tracks: int = 200) -> tuple[Int32, Float32]:
    """The k items that most of an item's listeners share: shared / (sqrt(listeners x listeners of the other) + shrinkage), in 0..1.

    Of an item with more than max_listeners listeners that many, drawn at random, are asked; of a user with more than max_tracks
    items so many count, also drawn. O(min(listeners, max_listeners) x max_tracks) an item.
    """
    tracks = _thinned(history.matrix, max_tracks)
    asked = _thinned(sparse.csr_matrix(history.matrix.T), max_listeners)
    whole, part = history.n_listeners, np.diff(asked.indptr)
    counted = np.bincount(tracks.indices, minlength=tracks.shape[1])
    row_norms, column_norms = part / np.sqrt(np.maximum(whole, 1)), np.sqrt(np.maximum(counted, 1))
    tracks.data /= column_norms[tracks.indices].astype(np.float32)
    own, (items, scores) = diagonal(len(whole)), empty(len(whole), k)
    for start in tqdm(range(0, len(whole), ROWS_A_STEP), desc="co-listening", disable=None if len(whole) > ROWS_A_STEP else True):
        rows = slice(start, start + ROWS_A_STEP)
        items[rows], scores[rows] = top_of_product(asked[rows], tracks, own[rows], k, row_norms=row_norms[rows],
                                                   shrunk=shrinkage / column_norms)
    return items, scores


def _thinned(matrix: sparse.csr_matrix, most: int) -> sparse.csr_matrix:
    """1 for every stored entry of `matrix`, of rows that hold more than `most` for that many, drawn at random."""
    counts = np.diff(matrix.indptr)
    if counts.max(initial=0) <= most:
        return sparse.csr_matrix((np.ones(matrix.nnz, np.float32), matrix.indices, matrix.indptr), matrix.shape)
    indptr = np.concatenate([[0], np.cumsum(np.minimum(counts, most))]).astype(np.int64)
    indices, data = np.empty(indptr[-1], np.int32), np.ones(indptr[-1], np.float32)
    _sample(np.random.default_rng(0), matrix.indptr.astype(np.int64), matrix.indices, indptr, indices)
    return sparse.csr_matrix((data, indices, indptr), shape=matrix.shape)


@njit(cache=True, nogil=True)
def _sample(rng: np.random.Generator, indptr: NDArray[np.int64], indices: Int32, kept_indptr: NDArray[np.int64], kept: Int32) -> None:
    # Selection sampling (Knuth, volume 2, algorithm S): any stride would favour some places of ascending rows.
    for row in range(len(indptr) - 1):
        place = kept_indptr[row]
        for entry in range(indptr[row], indptr[row + 1]):
            missing, left = kept_indptr[row + 1] - place, indptr[row + 1] - entry
            if missing == left or rng.random() * left < missing:
                kept[place] = indices[entry]
                place += 1
