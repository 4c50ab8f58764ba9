"""RP3beta: three steps of a random walk over users and items, with popular items penalized (Paudel et al., 2017)."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy import sparse

from musicrec.dataset import Int32, TrainSet, chunks
from musicrec.errors import ModelError
from musicrec.models.item_similarity import ItemSimilarity
from musicrec.models.protocols import Range, SearchSpace
from musicrec.models.pruning import pruned
from musicrec.models.sparse_top_k import csr_of, diagonal, sparse_top_k
from musicrec.models.weights import check_history, checked_weights, fans


@dataclass(frozen=True)
class RP3Beta:
    """The score of an item j is the sum over the user's counted items i of recency x weight of the pair x walk(i, j).

    walk(i, j) is the sum over users of p(i -> user) ** alpha x p(user -> j) ** alpha, divided by listeners of j ** beta, where a step
    goes to a user or item with a probability in proportion to the weight of the pair. beta 0 is P3alpha. neighbors: the items with the
    largest values that are kept per item. max_items_of_user, max_pairs: as in ItemKNN. half_life_days, min_weight: see weights.History.
    Source: B. Paudel, F. Christoffel, C. Newell, A. Bernstein, "Updatable, accurate, diverse, and scalable recommendations for
    interactive applications", ACM Transactions on Interactive Intelligent Systems 7 (1), 2017.
    """

    search_space: ClassVar[SearchSpace] = {
        "alpha": Range(0.2, 2.0), "beta": Range(0.0, 1.2), "neighbors": Range(10, 400, log=True),
        "half_life_days": Range(20.0, 3000.0, log=True)}
    alpha: float = 1.0
    beta: float = 0.6
    neighbors: int = 100
    max_items_of_user: int = 100
    max_pairs: int = 3_000_000_000
    half_life_days: float = 720
    min_weight: float = 0.1

    def fit(self, train: TrainSet) -> ItemSimilarity:
        """The walks from all items. O(pairs of a user's counted items); memory O(nnz + n_items x neighbors).

        Nothing is learned from pairs of weight 0. Raises ModelError for bad weights (weights.checked_weights) and settings out of range.
        """
        check_history(self)
        if self.neighbors < 1 or not (self.alpha >= 0 and self.beta >= 0):
            raise ModelError(f"rp3beta has neighbors {self.neighbors}, alpha {self.alpha} and beta {self.beta}; give at least 1, 0 and 0.")
        checked_weights(train)
        counted = pruned(train, train.matrix, 1, self.max_items_of_user, self.max_pairs)
        n_items = counted.shape[1]
        users = np.repeat(np.arange(counted.shape[0], dtype=np.int32), np.diff(counted.indptr))
        to_users = _steps(counted, counted.indices, n_items, self.alpha)
        to_items = _steps(counted, users, counted.shape[0], self.alpha)
        to_items.data *= (np.maximum(fans(train), 1).astype(np.float64) ** -self.beta).astype(np.float32)[counted.indices]
        walks = sparse_top_k(to_users.T.tocsr(), to_items, diagonal(n_items), self.neighbors, title="rp3beta")
        return ItemSimilarity(train, csr_of(*walks, n_items), self)


def _steps(matrix: sparse.csr_matrix, origin: Int32, n: int, alpha: float) -> sparse.csr_matrix:
    """(weight / sum of the weights of the same `origin`) ** alpha for each entry."""
    totals, values = np.bincount(origin, matrix.data, minlength=n), np.empty(matrix.nnz, np.float32)
    for chunk in chunks(matrix.nnz):
        values[chunk] = (matrix.data[chunk] / totals[origin[chunk]]) ** alpha
    return sparse.csr_matrix((values, matrix.indices, matrix.indptr), shape=matrix.shape)
