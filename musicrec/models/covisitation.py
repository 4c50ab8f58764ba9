"""Covisitation: items that users play soon after or before each other."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from musicrec.dataset import TrainSet
from musicrec.errors import ModelError
from musicrec.models.blocks import filled
from musicrec.models.covisitation_kernel import Sequences, fill_order, fill_visits
from musicrec.models.csr import csr_of
from musicrec.models.item_similarity import ItemSimilarity
from musicrec.models.top_k import parallel_for
from musicrec.models.weights import check_history, checked_weights, recency


@dataclass(frozen=True)
class Covisitation:
    """The score of an item j is the sum over the user's seen items i of recency x weight of the pair x visits(i, j).

    visits(i, j) is the sum over users who played j at most `window` positions after i of recency x 0.5 ** (gap / gap_half_life_days) /
    distance in positions, plus `backward` times the same for j before i, divided by (listeners of i x listeners of j) ** normalization.
    The items of a user are ordered by their latest plays. neighbors: the items with most visits that are kept per item.
    half_life_days, min_weight: recency of the later play of i and j, and of the user's plays (0: no decay), see weights.recency.
    max_items_of_user: only a user's latest items count when items are recommended.
    """

    window: int = 10
    backward: float = 1.0
    gap_half_life_days: float = 180
    normalization: float = 0.2
    neighbors: int = 100
    max_items_of_user: int = 300
    half_life_days: float = 720
    min_weight: float = 0.1

    def fit(self, train: TrainSet) -> ItemSimilarity:
        """The visits of all items. O(nnz x window); memory O(nnz + n_items x neighbors).

        Raises ModelError for bad weights (weights.checked_weights) and settings out of range.
        """
        check_history(self)
        if min(self.window, self.neighbors) < 1 or not (self.backward >= 0 and self.gap_half_life_days > 0 and self.normalization >= 0):
            raise ModelError(f"covisitation has window {self.window}, neighbors {self.neighbors}, backward {self.backward}, "
                             f"gap_half_life_days {self.gap_half_life_days} and normalization {self.normalization}; "
                             "give at least 1, at least 1, at least 0, above 0 and at least 0.")
        checked_weights(train)
        n_items = len(train.catalog)
        sequences = _sequences(train, self.half_life_days, self.min_weight)
        norms = np.maximum(train.n_listeners, 1).astype(np.float64) ** self.normalization
        inputs = sequences, norms, self.window, self.backward, self.gap_half_life_days
        visits = filled(fill_visits, inputs, n_items, self.neighbors, "covisitation")
        return ItemSimilarity(train, csr_of(*visits, n_items), self)


def _sequences(train: TrainSet, half_life_days: float, min_weight: float) -> Sequences:
    indptr, n_items = train.matrix.indptr.astype(np.int64), train.matrix.shape[1]
    order = np.empty(train.matrix.nnz, np.int32)
    parallel_for(len(train.user_ids), lambda start, stop: fill_order(indptr, train.last_played, order, start, stop))
    items, times = train.matrix.indices[order].astype(np.int32), train.last_played[order]
    positions = sparse.csr_matrix((np.arange(len(order), dtype=np.int32), items, indptr), shape=(len(train.user_ids), n_items)).tocsc()
    weight = recency(times, train.cutoff, half_life_days, min_weight).astype(np.float32)
    return Sequences(indptr, items, times, weight, positions.indptr.astype(np.int64), positions.indices.astype(np.int32), positions.data)
