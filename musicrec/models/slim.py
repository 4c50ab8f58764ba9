"""SLIM: sparse linear methods, non-negative item weights that predict each item from a user's other items (Ning and Karypis, 2011)."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy import sparse

from musicrec.dataset import Int32, TrainSet
from musicrec.errors import ModelError
from musicrec.models.blocks import filled
from musicrec.models.csr import csr_of, diagonal, transposed
from musicrec.models.item_similarity import ItemSimilarity
from musicrec.models.protocols import Range, SearchSpace
from musicrec.models.pruning import pruned
from musicrec.models.slim_kernel import fill_regressions
from musicrec.models.sparse_top_k import sparse_top_k
from musicrec.models.weights import check_history, checked_weights, presence


@dataclass(frozen=True)
class SLIM:
    """The score of an item j is the sum over the user's seen items i of recency x weight of the pair x w(i, j).

    Column j of w minimizes |x_j - X w|^2 / 2 + l1 |w|_1 + l2 |w|^2 / 2 over w >= 0 with w(j, j) = 0, for the binary user x item matrix X.

    candidates: the items most often seen together with j, which enter its regression (feature selection, section 4.4 of the paper);
    co-occurrences outside each item's candidates count as 0. The solution is exact with n_items candidates. min_listeners, max_items: only
    the max_items items with most listeners, and at least min_listeners, are used; this bounds the time. max_items_of_user: only a user's
    latest items count; fewer where all users would have more than max_pairs pairs of items with them. From a train set of more than
    max_interactions nothing is learned and nothing recommended. half_life_days, min_weight: recency of the user's plays (0: no decay), see
    weights.recency.
    """

    search_space: ClassVar[SearchSpace] = {
        "l1": Range(0.05, 20.0, log=True), "l2": Range(10.0, 3000.0, log=True), "half_life_days": Range(20.0, 3000.0, log=True)}
    l1: float = 0.5
    l2: float = 100
    candidates: int = 200
    min_listeners: int = 2
    max_items: int = 50_000
    max_items_of_user: int = 1000
    max_pairs: int = 2_000_000_000
    max_interactions: int = 5_000_000
    half_life_days: float = 720
    min_weight: float = 0.1

    def fit(self, train: TrainSet) -> ItemSimilarity:
        """The weights. O(co-occurrences + n_items x candidates^2 x sweeps); memory O(nnz + n_items x candidates).

        Raises ModelError for bad weights (weights.checked_weights) and settings out of range.
        """
        check_history(self)
        if not (self.l1 >= 0 and self.l2 >= 0 and self.l1 + self.l2 > 0) or min(self.candidates, self.max_items) < 1:
            raise ModelError(f"slim has l1 {self.l1}, l2 {self.l2}, candidates {self.candidates}, max_items {self.max_items}; give "
                             "penalties of at least 0, one of them above 0, and numbers of at least 1.")
        checked_weights(train)
        n_items = len(train.catalog)
        if train.matrix.nnz > self.max_interactions:
            return ItemSimilarity(train, sparse.csr_matrix((n_items, n_items), dtype=np.float32), self)
        chosen = most_seen(train, self.min_listeners, self.max_items)
        binary = pruned(train, presence(train.matrix), 1, self.max_items_of_user, self.max_pairs)[:, chosen]
        local = _weights(binary, self)
        lengths = np.zeros(n_items, np.int64)
        lengths[chosen] = np.diff(local.indptr)
        indptr = np.concatenate([[0], np.cumsum(lengths)])
        weights = sparse.csr_matrix((local.data, chosen[local.indices], indptr), shape=(n_items, n_items))
        return ItemSimilarity(train, weights, self)


def most_seen(train: TrainSet, min_listeners: int, max_items: int) -> Int32:
    """The max_items items with most listeners, ties to the lower index, without those below min_listeners; ascending int32."""
    order = np.argsort(-train.n_listeners, kind="stable")[:max_items]
    items: Int32 = np.sort(order[train.n_listeners[order] >= min_listeners]).astype(np.int32)
    return items


def _weights(binary: sparse.csr_matrix, settings: SLIM) -> sparse.csr_matrix:
    n = binary.shape[1]
    together, counts = sparse_top_k(transposed(binary), binary, diagonal(n), min(settings.candidates, n), title="slim: co-occurrences")
    listeners = np.bincount(binary.indices, minlength=n).astype(np.float64)
    weights = filled(fill_regressions, (together, counts, listeners, settings.l1, settings.l2), n, together.shape[1], "slim")
    return transposed(csr_of(*weights, n))
