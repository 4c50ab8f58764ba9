"""Item-kNN: items that share listeners with the items that a user has seen (Sarwar et al., 2001; BM25 weights as in implicit)."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from musicrec.dataset import Float32, TrainSet, chunks
from musicrec.errors import ModelError
from musicrec.models.csr import csr_of, diagonal, transposed
from musicrec.models.item_similarity import ItemSimilarity
from musicrec.models.protocols import Range, SearchSpace
from musicrec.models.pruning import only, pruned
from musicrec.models.sparse_top_k import sparse_top_k
from musicrec.models.weights import check_history, checked_weights


@dataclass(frozen=True)
class ItemKNN:
    """The score of an item is the sum over the user's seen items of recency x weight of the pair x similarity of the two items.

    Similarity is the inner product of two items' vectors of weights by user: weighting "bm25" (with k1 and b), "tfidf" or "cosine".
    neighbors: the most similar items that are kept per item. min_listeners: items with fewer listeners neither have nor are neighbors.
    max_items_of_user: only a user's latest items count; fewer where all users would have more than max_pairs pairs of items with them.
    half_life_days, min_weight: recency of the user's plays (0: no decay), see weights.recency.
    """

    search_space: ClassVar[SearchSpace] = {
        "neighbors": Range(10, 400, log=True), "k1": Range(0.05, 5.0, log=True), "b": Range(0.0, 1.0),
        "max_items_of_user": Range(50, 500, log=True), "half_life_days": Range(20.0, 3000.0, log=True)}
    weighting: Literal["bm25", "tfidf", "cosine"] = "bm25"
    neighbors: int = 100
    k1: float = 0.2
    b: float = 0.1
    min_listeners: int = 1
    max_items_of_user: int = 100
    max_pairs: int = 3_000_000_000
    half_life_days: float = 720
    min_weight: float = 0.1

    def fit(self, train: TrainSet) -> ItemSimilarity:
        """The neighbors of all items. O(pairs of a user's counted items); memory O(nnz + n_items x neighbors).

        Nothing is learned from pairs of weight 0. Raises ModelError for bad weights (weights.checked_weights) and settings out of range.
        """
        check_history(self)
        if self.neighbors < 1 or self.weighting not in WEIGHTINGS:
            raise ModelError(f"item_knn has neighbors {self.neighbors} and weighting {self.weighting!r}; give at least 1 and one of "
                             f"{', '.join(WEIGHTINGS)}.")
        checked_weights(train)
        counted = pruned(train, train.matrix, self.min_listeners, self.max_items_of_user, self.max_pairs)
        weighted = WEIGHTINGS[self.weighting](train.matrix, counted, self)
        weighted = only(weighted, weighted.data != 0)
        n_items = weighted.shape[1]
        neighbors = sparse_top_k(transposed(weighted), weighted, diagonal(n_items), self.neighbors, title="item_knn")
        return ItemSimilarity(train, csr_of(*neighbors, n_items), self)


def bm25(matrix: sparse.csr_matrix, counted: sparse.csr_matrix, settings: ItemKNN) -> sparse.csr_matrix:
    """Okapi BM25 with items as documents and users as terms: w (k1 + 1) / (k1 length + w) x idf of the user, for the counted pairs.

    length = 1 - b + b x (sum of the item's weights / mean of these sums); idf = ln(n_items) - ln(1 + items of the user).
    """
    length = np.asarray(matrix.sum(axis=0), np.float64).ravel()
    norm = settings.k1 * (1 - settings.b + settings.b * length / max(length.mean(), np.finfo(float).tiny))
    weights = np.repeat(_idf(matrix), np.diff(counted.indptr))
    for chunk in chunks(counted.nnz):
        plays = counted.data[chunk]
        weights[chunk] *= plays * (settings.k1 + 1) / np.maximum(norm[counted.indices[chunk]] + plays, np.finfo(float).tiny)
    return _with_data(counted, weights)


def tfidf(matrix: sparse.csr_matrix, counted: sparse.csr_matrix, _settings: ItemKNN) -> sparse.csr_matrix:
    """sqrt(w) x idf of the user, the vector of each item, of all of its pairs, scaled to length 1."""
    idf = _idf(matrix)
    weights = np.repeat(idf, np.diff(counted.indptr)) * np.sqrt(counted.data)
    return _scaled(_with_data(counted, weights), matrix.T @ idf.astype(np.float64) ** 2)


def cosine(matrix: sparse.csr_matrix, counted: sparse.csr_matrix, _settings: ItemKNN) -> sparse.csr_matrix:
    """The vector of each item's weights, of all of its pairs, scaled to length 1."""
    squares = np.zeros(matrix.shape[1])
    for chunk in chunks(matrix.nnz):
        squares += np.bincount(matrix.indices[chunk], matrix.data[chunk].astype(np.float64) ** 2, minlength=len(squares))
    return _scaled(counted, squares)


WEIGHTINGS = {"bm25": bm25, "tfidf": tfidf, "cosine": cosine}


def _idf(matrix: sparse.csr_matrix) -> Float32:
    idf: Float32 = (np.log(matrix.shape[1]) - np.log1p(np.diff(matrix.indptr))).astype(np.float32)
    return idf


def _with_data(matrix: sparse.csr_matrix, data: Float32) -> sparse.csr_matrix:
    return sparse.csr_matrix((data, matrix.indices, matrix.indptr), shape=matrix.shape)


def _scaled(matrix: sparse.csr_matrix, squares: NDArray[np.float64]) -> sparse.csr_matrix:
    """`matrix`, each column divided by the root of its sum of squares."""
    norms, scaled = np.sqrt(np.where(squares > 0, squares, 1)), matrix.data.astype(np.float32)
    for chunk in chunks(matrix.nnz):
        scaled[chunk] /= norms[matrix.indices[chunk]]
    return _with_data(matrix, scaled)
