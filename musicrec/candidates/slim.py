"""SLIM: sparse non-negative item weights that predict who hears an item from what else he heard (Ning & Karypis 2011)."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from musicrec.candidates.evidence import check_recency
from musicrec.candidates.item_neighbours import ItemNeighbours
from musicrec.candidates.product import csr_of, diagonal, top_of_product
from musicrec.candidates.slim_kernel import regressions
from musicrec.candidates.support import supported
from musicrec.candidates.top_k import in_parts
from musicrec.candidates.weights import checked, presence
from musicrec.errors import GeneratorError
from musicrec.lists import empty
from musicrec.matrix import History, Int32


@dataclass(frozen=True)
class Slim:
    """Score of an item j = sum over heard items i of (recency x weight of the play) x w(i, j).

    Column j of w minimises |x_j - X w|^2 / 2 + l1 |w|_1 + l2 |w|^2 / 2 for the binary history X, over w >= 0 with w(j, j) = 0.

    Only the `candidates` items most often heard with j enter its regression (the paper's feature selection, section 4.4), and
    co-listening beyond each item's own `candidates` counts as none; with as many candidates as items the solution is exact.
    min_listeners and max_items: only the items with most listeners take part, so time is bounded without a clock, and the same
    history always gives the same lists. max_items_of_user: only a user's latest items count. half_life_days and floor: recency
    of the query (0: off), see evidence.query.
    """

    l1: float = 0.5
    l2: float = 100
    candidates: int = 200
    min_listeners: int = 2
    max_items: int = 50_000
    max_items_of_user: int = 300
    half_life_days: float = 720
    floor: float = 0.1

    def fit(self, history: History) -> ItemNeighbours:
        """The weights. O(co-listening + items x candidates^2 x sweeps); memory O(plays + items x candidates).

        Raises GeneratorError for bad weights (weights.checked) and settings out of range.
        """
        check_recency(self.half_life_days, self.floor)
        if not (self.l1 >= 0 and self.l2 >= 0 and self.l1 + self.l2 > 0) or min(self.candidates, self.max_items) < 1:
            raise GeneratorError(f"slim has l1 {self.l1}, l2 {self.l2}, candidates {self.candidates}, max_items {self.max_items}; give "
                                 "penalties of at least 0, one above 0, and counts of at least 1.")
        checked(history)
        chosen = most_heard(history, self.min_listeners, self.max_items)
        n_items, counted = len(history.catalogue), supported(history, presence(history.matrix), 1, self.max_items_of_user)[:, chosen]
        local = _weights(counted, self)
        lengths = np.zeros(n_items, np.int64)
        lengths[chosen] = np.diff(local.indptr)
        indptr = np.concatenate([[0], np.cumsum(lengths)])
        weights = sparse.csr_matrix((local.data, chosen[local.indices], indptr), shape=(n_items, n_items))
        return ItemNeighbours(history, weights, self.half_life_days, self.floor)


def most_heard(history: History, min_listeners: int, max_items: int) -> Int32:
    """The at most max_items items with most listeners, at least min_listeners, ties to the lower index; ascending int32."""
    order = np.argsort(-history.n_listeners, kind="stable")[:max_items]
    items: Int32 = np.sort(order[history.n_listeners[order] >= min_listeners]).astype(np.int32)
    return items


def _weights(binary: sparse.csr_matrix, settings: Slim) -> sparse.csr_matrix:
    n = binary.shape[1]
    together, counts = top_of_product(binary.T.tocsr(), binary, diagonal(n), min(settings.candidates, n), title="slim: together")
    listeners = np.bincount(binary.indices, minlength=n).astype(np.float64)
    items, weights = empty(n, together.shape[1])
    in_parts(n, lambda start, stop: regressions(together, counts, listeners, settings.l1, settings.l2, items, weights, start, stop), "slim")
    return csr_of(items, weights, n).T.tocsr()
