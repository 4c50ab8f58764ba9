"""Covisitation: tracks that follow or accompany each other in histories, closer and later ones counting more."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from musicrec.candidates.covisitation_kernel import Histories, close_items, fill_order
from musicrec.candidates.evidence import check_recency
from musicrec.candidates.item_neighbours import ItemNeighbours
from musicrec.candidates.product import csr_of
from musicrec.candidates.top_k import in_parts
from musicrec.candidates.weights import checked, recency
from musicrec.errors import GeneratorError
from musicrec.lists import empty
from musicrec.matrix import History


@dataclass(frozen=True)
class Covisitation:
    """Score of an item j = sum over heard items i of (recency x weight of the play) x visit(i, j).

    visit(i, j) sums, over users who heard j at most `window` places after i, recency x 0.5 ** (gap / gap_half_life_days) /
    places between them, plus `backward` times the same for j before i, and is divided by (listeners of i x listeners of j) **
    normalisation. A history is ordered by the minute of the latest play of each item, equal minutes by item index, so a
    source that knows days only gives album runs where neighbouring ids are neighbours on an album.
    half_life_days and floor: recency both of the later play of a pair and of the query, see weights.recency (0: off).
    """

    window: int = 10
    backward: float = 1.0
    gap_half_life_days: float = 180
    normalisation: float = 0.2
    neighbours: int = 100
    half_life_days: float = 720
    floor: float = 0.1

    def fit(self, history: History) -> ItemNeighbours:
        """The visits of every item. O(plays x window); memory O(plays + items x neighbours).

        Raises GeneratorError for bad weights (weights.checked) and settings out of range.
        """
        check_recency(self.half_life_days, self.floor)
        if min(self.window, self.neighbours) < 1 or not (self.backward >= 0 and self.gap_half_life_days > 0 and self.normalisation >= 0):
            raise GeneratorError(f"covisitation has window {self.window}, neighbours {self.neighbours}, backward {self.backward}, "
                                 f"gap_half_life_days {self.gap_half_life_days} and normalisation {self.normalisation}; "
                                 "give at least 1, 1 and 0, days above 0, and at least 0.")
        checked(history)
        n_items = len(history.catalogue)
        items, visits = empty(n_items, self.neighbours)
        histories = _in_order(history, self.half_life_days, self.floor)
        norms = np.maximum(history.n_listeners, 1).astype(np.float64) ** self.normalisation
        in_parts(n_items, lambda start, stop: close_items(
            histories, norms, self.window, self.backward, self.gap_half_life_days, items, visits, start, stop), "covisitation")
        return ItemNeighbours(history, csr_of(items, visits, n_items), self.half_life_days, self.floor)


def _in_order(history: History, half_life_days: float, floor: float) -> Histories:
    indptr, n_items = history.matrix.indptr.astype(np.int64), history.matrix.shape[1]
    order = np.empty(history.matrix.nnz, np.int32)
    in_parts(len(history.user_ids), lambda start, stop: fill_order(indptr, history.minutes, order, start, stop))
    sequence, minutes = history.matrix.indices[order].astype(np.int32), history.minutes[order]
    places = sparse.csr_matrix((np.arange(len(order), dtype=np.int32), sequence, indptr), shape=(len(history.user_ids), n_items)).tocsc()
    weight = recency(minutes, history.cutoff, half_life_days, floor).astype(np.float32)
    return Histories(indptr, sequence, minutes, weight, places.indptr.astype(np.int64), places.indices.astype(np.int32), places.data)
