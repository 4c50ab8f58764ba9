"""Tracks with the same albums, artists and genres, also for tracks with few plays."""

import numpy as np
from scipy import sparse

from musicrec.dataset import Float32, Int32, TrainSet
from musicrec.models.sparse_top_k import sparse_top_k

WEIGHTS = {"artists": 0.5, "albums": 0.3, "genres": 0.2}
ITEMS_PER_NAME = 100


def content_neighbors(train: TrainSet, rows: Int32, k: int) -> tuple[Int32, Float32]:
    """The k items most similar to each item of `rows` by names: items int32 (m, k) and scores float32 (m, k) in 0..1.

    The score is the sum of the cosines of binary vectors of artists, albums and genres with the weights WEIGHTS, reduced by up to 5 % for
    items with few listeners, so that equal ones are ordered by popularity. Candidates are the ITEMS_PER_NAME items of each name with most
    listeners. -1 and -inf where fewer exist. O(names of the items x ITEMS_PER_NAME).
    """
    catalog, n_items = train.catalog, len(train.catalog)
    popularity = np.log1p(train.n_listeners) / np.log1p(max(train.n_listeners.max(initial=0), 1))
    matrices = [(weight, _unit_rows(getattr(catalog, name))) for name, weight in WEIGHTS.items()]
    left = sparse.hstack([matrix[rows] * np.float32(weight) for weight, matrix in matrices], format="csr")
    right = sparse.hstack([matrix for _, matrix in matrices], format="csr")
    right = sparse.csr_matrix((sparse.diags((0.95 + 0.05 * popularity).astype(np.float32)) @ right).T)
    own = sparse.csr_matrix((np.ones(len(rows), np.float32), rows, np.arange(len(rows) + 1)), shape=(len(rows), n_items))
    return sparse_top_k(left, _most_popular(right, train.n_listeners), own, k)


def _unit_rows(links: sparse.csr_matrix) -> sparse.csr_matrix:
    counts = np.diff(links.indptr)
    values = np.repeat(1 / np.sqrt(np.maximum(counts, 1)), counts).astype(np.float32)
    return sparse.csr_matrix((values, links.indices, links.indptr), links.shape)


def _most_popular(tracks: sparse.csr_matrix, listeners: Int32) -> sparse.csr_matrix:
    names = np.repeat(np.arange(tracks.shape[0]), np.diff(tracks.indptr))
    order = np.lexsort((tracks.indices, -listeners[tracks.indices], names))
    rank = np.arange(len(order)) - tracks.indptr[names]
    kept = np.sort(order[rank < ITEMS_PER_NAME])
    indptr = np.searchsorted(kept, tracks.indptr)
    return sparse.csr_matrix((tracks.data[kept], tracks.indices[kept], indptr), shape=tracks.shape)
