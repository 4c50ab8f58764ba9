"""Tracks that are played by the same people."""

import numpy as np
from scipy import sparse

from musicrec.candidates.product import diagonal, top_of_product
from musicrec.matrix import Float32, History, Int32

# Bounds that keep the method affordable on large histories: listeners of a track and tracks of a listener that are counted.
MAX_LISTENERS, MAX_TRACKS = 300, 200


def co_listening(history: History, k: int, shrinkage: float) -> tuple[Int32, Float32]:
    """The k items that most of an item's listeners share: shared / (sqrt(listeners x listeners of the other) + shrinkage), in 0..1.

    Of an item with more than MAX_LISTENERS listeners that many, evenly spread, are asked; of a user with more than MAX_TRACKS
    items so many count. O(min(listeners, MAX_LISTENERS) x MAX_TRACKS) an item.
    """
    matrix = history.matrix
    binary = sparse.csr_matrix((np.ones(matrix.nnz, np.float32), matrix.indices, matrix.indptr), matrix.shape)
    tracks = _thinned(binary, MAX_TRACKS)
    all_listeners = sparse.csr_matrix(binary.T)
    asked = _thinned(all_listeners, MAX_LISTENERS)
    whole, part = np.diff(all_listeners.indptr), np.diff(asked.indptr)
    counted = np.bincount(tracks.indices, minlength=tracks.shape[1])
    return top_of_product(asked, tracks, diagonal(len(whole)), k, shrinkage=shrinkage,
                          row_norms=part / np.sqrt(np.maximum(whole, 1)), column_norms=np.sqrt(np.maximum(counted, 1)))


def _thinned(matrix: sparse.csr_matrix, most: int) -> sparse.csr_matrix:
    counts = np.diff(matrix.indptr)
    if counts.max(initial=0) <= most:
        return matrix
    rows = np.repeat(np.arange(len(counts)), counts)
    place = np.arange(matrix.nnz) - matrix.indptr[rows]
    share = np.minimum(most / np.maximum(counts, 1), 1)[rows]
    kept = np.floor((place + 1) * share) > np.floor(place * share)
    indptr = np.concatenate([[0], np.cumsum(kept)])[matrix.indptr]
    return sparse.csr_matrix((matrix.data[kept], matrix.indices[kept], indptr), shape=matrix.shape)
