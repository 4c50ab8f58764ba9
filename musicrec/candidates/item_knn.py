"""Item-kNN: items that share listeners with what the user heard (Sarwar et al. 2001; BM25 weights as in implicit)."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import sparse

from musicrec.candidates.evidence import check_recency
from musicrec.candidates.item_neighbours import ItemNeighbours
from musicrec.candidates.product import csr_of, diagonal, top_of_product
from musicrec.candidates.support import supported
from musicrec.candidates.weights import checked
from musicrec.errors import GeneratorError
from musicrec.matrix import Float32, History, parts


@dataclass(frozen=True)
class ItemKnn:
    """Score of an item = sum over heard items of (recency x weight of the play) x similarity, among each heard item's top neighbours.

    Similarity is the product of weighted listener vectors: weighting "bm25" (with k1 and b), "tfidf" or "cosine".
    neighbours: kept per item, the item itself not counted. min_listeners: rarer items neither have nor are neighbours.
    max_items_of_user: only a user's latest items count as shared listening, which bounds the cost by users x that number squared.
    half_life_days and floor: recency of the query (0: off), see evidence.query.
    """

    weighting: Literal["bm25", "tfidf", "cosine"] = "bm25"
    neighbours: int = 100
    k1: float = 0.2
    b: float = 0.1
    min_listeners: int = 1
    max_items_of_user: int = 300
    half_life_days: float = 720
    floor: float = 0.1

    def fit(self, history: History) -> ItemNeighbours:
        """The neighbours of every item. O(sum over users of the square of their counted items); memory O(plays + items x neighbours).

        A weight of zero is heard and says nothing. Raises GeneratorError for other bad weights (weights.checked) and settings out of range.
        """
        check_recency(self.half_life_days, self.floor)
        if self.neighbours < 1 or self.weighting not in WEIGHTINGS:
            raise GeneratorError(f"item_knn has neighbours {self.neighbours} and weighting {self.weighting!r}; "
                                 f"give at least 1 and one of {', '.join(WEIGHTINGS)}.")
        checked(history)
        counted = supported(history, WEIGHTINGS[self.weighting](history.matrix, self), self.min_listeners, self.max_items_of_user)
        n_items = counted.shape[1]
        similar = top_of_product(counted.T.tocsr(), counted, diagonal(n_items), self.neighbours, title="item_knn")
        return ItemNeighbours(history, csr_of(*similar, n_items), self.half_life_days, self.floor)


def bm25(matrix: sparse.csr_matrix, settings: ItemKnn) -> sparse.csr_matrix:
    """Okapi BM25 with items as documents and users as terms: w (k1 + 1) / (k1 length + w) x idf of the user.

    length = 1 - b + b x (weight sum of the item / mean weight sum); idf = ln(items) - ln(1 + items of the user).
    """
    length = np.asarray(matrix.sum(axis=0), np.float64).ravel()
    norm = settings.k1 * (1 - settings.b + settings.b * length / max(length.mean(), np.finfo(float).tiny))
    weights = np.repeat(_idf(matrix), np.diff(matrix.indptr))
    for part in parts(matrix.nnz):
        played = matrix.data[part]
        weights[part] *= played * (settings.k1 + 1) / np.maximum(norm[matrix.indices[part]] + played, np.finfo(float).tiny)
    return _with(matrix, weights)


def tfidf(matrix: sparse.csr_matrix, _settings: ItemKnn) -> sparse.csr_matrix:
    """sqrt(w) x idf of the user, each item's vector scaled to length 1."""
    weights = np.repeat(_idf(matrix), np.diff(matrix.indptr))
    weights *= np.sqrt(matrix.data)
    return _unit_columns(_with(matrix, weights))


def cosine(matrix: sparse.csr_matrix, _settings: ItemKnn) -> sparse.csr_matrix:
    """Each item's vector of weights scaled to length 1."""
    return _unit_columns(matrix)


WEIGHTINGS = {"bm25": bm25, "tfidf": tfidf, "cosine": cosine}


def _idf(matrix: sparse.csr_matrix) -> Float32:
    rarity: Float32 = (np.log(matrix.shape[1]) - np.log1p(np.diff(matrix.indptr))).astype(np.float32)
    return rarity


def _with(matrix: sparse.csr_matrix, data: Float32) -> sparse.csr_matrix:
    return sparse.csr_matrix((data, matrix.indices, matrix.indptr), shape=matrix.shape)


def _unit_columns(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    squares, scaled = np.zeros(matrix.shape[1]), matrix.data.astype(np.float32)
    for part in parts(matrix.nnz):
        squares += np.bincount(matrix.indices[part], matrix.data[part].astype(np.float64) ** 2, minlength=len(squares))
    norms = np.sqrt(np.where(squares > 0, squares, 1))
    for part in parts(matrix.nnz):
        scaled[part] /= norms[matrix.indices[part]]
    return _with(matrix, scaled)

