"""Tracks with the same albums, artists and genres: what can be said of a track that hardly anybody has played."""

import numpy as np
from scipy import sparse

from musicrec.candidates.product import top_of_product
from musicrec.matrix import Float32, History, Int32

WEIGHTS = {"artists": 0.5, "albums": 0.3, "genres": 0.2}
PER_NAME = 100


def content_neighbours(history: History, rows: Int32, k: int) -> tuple[Int32, Float32]:
    """For each item of `rows` the k items that share most of its names: items int32 (m, k) and scores float32 (m, k) in 0..1.

    The score is the weighted sum of three cosines of binary vectors, over artists, albums and genres (weights in WEIGHTS), less up to
    5 % for items with few listeners, so that equals are ordered by popularity. Of each name only the PER_NAME items with
    most listeners are candidates. -1 and -inf where fewer exist. O(names of the items x PER_NAME).
    """
    catalogue, n_items = history.catalogue, len(history.catalogue)
    popularity = np.log1p(history.n_listeners) / np.log1p(max(history.n_listeners.max(initial=0), 1))
    matrices = [(weight, _unit_rows(getattr(catalogue, name))) for name, weight in WEIGHTS.items()]
    left = sparse.hstack([matrix[rows] * np.float32(weight) for weight, matrix in matrices], format="csr")
    right = sparse.hstack([matrix for _, matrix in matrices], format="csr")
    right = sparse.csr_matrix((sparse.diags((0.95 + 0.05 * popularity).astype(np.float32)) @ right).T)
    own = sparse.csr_matrix((np.ones(len(rows), np.float32), rows, np.arange(len(rows) + 1)), shape=(len(rows), n_items))
    return top_of_product(left, _most_popular(right, history.n_listeners), own, k)


def _unit_rows(links: sparse.csr_matrix) -> sparse.csr_matrix:
    counts = np.diff(links.indptr)
    values = np.repeat(1 / np.sqrt(np.maximum(counts, 1)), counts).astype(np.float32)
    return sparse.csr_matrix((values, links.indices, links.indptr), links.shape)


def _most_popular(tracks: sparse.csr_matrix, listeners: Int32) -> sparse.csr_matrix:
    names = np.repeat(np.arange(tracks.shape[0]), np.diff(tracks.indptr))
    order = np.lexsort((tracks.indices, -listeners[tracks.indices], names))
    rank = np.arange(len(order)) - tracks.indptr[names]
    kept = np.sort(order[rank < PER_NAME])
    indptr = np.searchsorted(kept, tracks.indptr)
    return sparse.csr_matrix((tracks.data[kept], tracks.indices[kept], indptr), shape=tracks.shape)
