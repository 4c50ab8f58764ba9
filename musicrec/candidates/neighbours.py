"""User-based collaborative filtering: what the most similar listeners heard (the fourth seed; Herlocker et al. 1999).

Its recommendations_ub.json is written by lists.JsonLinesWriter.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import sparse

from musicrec.candidates.evidence import check_recency, query
from musicrec.candidates.product import csr_of, top_of_chain, top_of_product
from musicrec.candidates.top_k import rows_of
from musicrec.candidates.weights import checked
from musicrec.errors import GeneratorError
from musicrec.matrix import Float32, History, Int32


@dataclass(frozen=True)
class Neighbours:
    """Score of an item = sum over neighbours of similarity x their weight of it; similarity is the cosine of the users' rows.

    mode "nearest": the `neighbours` most similar users with a positive similarity, cosine = dot / (norm x norm + shrinkage).
    mode "all": every other user, also dissimilar ones, plain cosine: sum over v of cos(u, v) x w(v, i).
    weights "centred": weight minus the user's mean weight; "binary": 1 for every heard item; "auto": centred where the
    source has the played share, which shows in weights that are not whole numbers.
    half_life_days and floor: recency of the query in mode "nearest" (0: off), see evidence.query.
    """

    mode: Literal["nearest", "all"] = "nearest"
    neighbours: int = 100
    shrinkage: float = 0
    weights: Literal["auto", "binary", "centred"] = "auto"
    half_life_days: float = 0
    floor: float = 0.1

    def fit(self, history: History) -> "UserNeighbours":
        """The users' vectors and their transpose; neighbours are found when asked for. O(plays).

        A weight of zero is no interest (binary) or the least interest (centred); centred, a user whose weights are all equal
        has no neighbours. Raises GeneratorError for bad weights (weights.checked) and settings out of range.
        """
        check_recency(self.half_life_days, self.floor)
        if self.neighbours < 1 or not self.shrinkage >= 0:
            raise GeneratorError(f"neighbours is {self.neighbours} and shrinkage {self.shrinkage}; give at least 1 and at least 0.")
        checked(history)
        return UserNeighbours(history, self, tastes(history.matrix, self.weights))


class UserNeighbours:
    """Finds neighbours and adds up what they heard, for a batch of users."""

    def __init__(self, history: History, settings: Neighbours, taste: sparse.csr_matrix) -> None:
        self.history, self.settings, self.taste = history, settings, taste
        self.listeners = taste.T.tocsr()
        self.norms = _norms(taste)
        self._unit = sparse.diags_array(1 / self.norms, dtype=np.float32).tocsr() @ taste if settings.mode == "all" else taste
        self._unit_listeners = self._unit.T.tocsr() if settings.mode == "all" else self.listeners

    def nearest(self, user_index: Int32) -> tuple[Int32, Float32]:
        """Neighbours int32 (n, neighbours) and similarities float32 of these users, descending, ties by lower user, never themselves."""
        chosen = self.settings
        asked = query(self.history, self.taste, user_index, chosen.half_life_days, chosen.floor)
        themselves = csr_of(user_index[:, None], np.ones((len(user_index), 1), np.float32), len(self.history.user_ids))
        return top_of_product(asked, self.listeners, themselves, chosen.neighbours, row_norms=_norms(asked),
                              column_norms=self.norms, shrinkage=chosen.shrinkage)

    def recommend(self, user_index: Int32, k: int) -> tuple[Int32, Float32]:
        """Items int32 (n, k) and scores float32 (n, k), positive scores only; nothing for row -1.

        O(sum of listeners of the heard items + items of the neighbours) a user.
        """
        heard = rows_of(self.history.matrix, user_index)
        if self.settings.mode == "all":
            return top_of_chain(rows_of(self._unit, user_index), self._unit_listeners, self.taste, user_index, heard, k)
        return top_of_product(csr_of(*self.nearest(user_index), len(self.norms)), self.taste, heard, k)


def tastes(matrix: sparse.csr_matrix, kind: str) -> sparse.csr_matrix:
    """The weights by which users are compared, same pattern as `matrix`: see Neighbours.weights."""
    data = matrix.data.astype(np.float64)
    if kind == "binary" or (kind == "auto" and bool((data == np.round(data)).all())):
        data = (data > 0).astype(np.float64)
    else:
        users = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
        means = np.bincount(users, data, minlength=matrix.shape[0]) / np.maximum(np.diff(matrix.indptr), 1)
        data -= means[users]
    return sparse.csr_matrix((data.astype(np.float32), matrix.indices, matrix.indptr), shape=matrix.shape)


def _norms(matrix: sparse.csr_matrix) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    norms = np.sqrt(np.bincount(rows, matrix.data.astype(np.float64) ** 2, minlength=matrix.shape[0]))
    # An empty vector has no direction: any divisor gives it similarity 0.
    return np.where(norms > 0, norms, 1)
