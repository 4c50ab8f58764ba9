"""Most popular: the items with most listeners, the same order for everybody, heard ones left out."""

from dataclasses import dataclass

import numpy as np

from musicrec.lists import empty
from musicrec.matrix import Float32, History, Int32


@dataclass(frozen=True)
class Popular:
    """Items by number of listeners over the whole history."""

    def fit(self, history: History) -> "PopularityOrder":
        """The order of all items by listeners, descending, ties by ascending item index. O(plays + n_items log n_items)."""
        return PopularityOrder(history, history.n_listeners.astype(np.float32))


class PopularityOrder:
    """One score an item; recommends the best that a user has not heard."""

    def __init__(self, history: History, scores: Float32) -> None:
        self.history, self.scores = history, scores
        self.order: Int32 = np.argsort(-scores, kind="stable").astype(np.int32)

    def recommend(self, user_index: Int32, k: int) -> tuple[Int32, Float32]:
        """Items int32 (n, k) and scores float32 (n, k). Row -1 gets the plain top. O(k + heard) a user."""
        items, scores = empty(len(user_index), k)
        matrix = self.history.matrix
        for row, user in enumerate(user_index):
            heard = matrix.indices[matrix.indptr[user]:matrix.indptr[user + 1]] if user >= 0 else matrix.indices[:0]
            top = self.order[: k + len(heard)]
            fresh = top[~np.isin(top, heard)][:k]
            items[row, : len(fresh)], scores[row, : len(fresh)] = fresh, self.scores[fresh]
        return items, scores
