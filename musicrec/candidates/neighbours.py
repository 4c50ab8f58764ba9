"""User-based collaborative filtering: what the most similar listeners heard (the fourth seed; Herlocker et al. 1999).

Its recommendations_ub.json is written by lists.JsonLinesWriter.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from musicrec.candidates.evidence import check_recency, query
from musicrec.candidates.neighbour_search import rarest, rescored
from musicrec.candidates.product import csr_of, top_of_chain, top_of_product
from musicrec.candidates.top_k import rows_of
from musicrec.candidates.weights import checked, presence, recency
from musicrec.errors import GeneratorError
from musicrec.lists import empty
from musicrec.matrix import Float32, History, Int32, parts

Float64 = NDArray[np.float64]
CANDIDATES = 4


@dataclass(frozen=True)
class Neighbours:
    """Score of an item = sum over neighbours of similarity x their weight of it x its recency to them.

    mode "nearest": the `neighbours` most similar users with a positive similarity, dot / (norm x norm + shrinkage), between
    vectors in which an item's weight is multiplied by ln(users / listeners) ** rarity; 0 compares plain weights.
    mode "all": the fourth seed's formula, sum over all other users v, also dissimilar ones, of cos(u, v) x w(v, i); it has
    neither rarity nor shrinkage nor recency.
    weights "centred": weight minus the user's mean weight; "binary": 1 for every heard item; "auto": centred where the
    source has the played share, which shows in weights that are not whole numbers.
    half_life_days and floor: older plays count less, those of the user who asks and those of the neighbours (0: off),
    see weights.recency.
    search_budget: listeners looked through to find one user's neighbours. Where his items have more, candidates come from his
    rarest items, and the CANDIDATES x neighbours best of them are compared with him in full.
    """

    mode: Literal["nearest", "all"] = "nearest"
    neighbours: int = 100
    search_budget: int = 30_000
    shrinkage: float = 30
    rarity: float = 1
    weights: Literal["auto", "binary", "centred"] = "auto"
    half_life_days: float = 720
    floor: float = 0.1

    def fit(self, history: History) -> "UserNeighbours":
        """The users' vectors and their transpose; neighbours are found when asked for. O(plays).

        A weight of zero is no interest (binary) or the least interest (centred); centred, a user whose weights are all equal
        has no neighbours. Raises GeneratorError for bad weights (weights.checked) and settings out of range.
        """
        check_recency(self.half_life_days, self.floor)
        if min(self.neighbours, self.search_budget) < 1 or not (self.shrinkage >= 0 and self.rarity >= 0):
            raise GeneratorError(f"neighbours is {self.neighbours}, search_budget {self.search_budget}, shrinkage {self.shrinkage} and "
                                 f"rarity {self.rarity}; give at least 1, 1, 0 and 0.")
        checked(history)
        return UserNeighbours(history, self)


class UserNeighbours:
    """Finds neighbours and adds up what they heard, for a batch of users."""

    def __init__(self, history: History, settings: Neighbours) -> None:
        self.history, self.settings = history, settings
        taste = tastes(history.matrix, settings.weights)
        if settings.mode == "all":
            self.compared = _divided(taste, _norms(taste))
            self.norms, self.liked = np.ones(taste.shape[0]), taste
        else:
            rarity = rarities(history, settings.rarity)
            self.compared = _scaled(taste, lambda part: rarity[taste.indices[part]])
            self.norms = _norms(self.compared)
            self.liked = _scaled(taste, lambda part: recency(history.minutes[part], history.cutoff, settings.half_life_days,
                                                             settings.floor))
        self.listeners = _divided(self.compared, self.norms).T.tocsr()

    def nearest(self, user_index: Int32) -> tuple[Int32, Float32]:
        """Neighbours int32 (n, neighbours) and similarities float32 of these users, descending, ties by lower user, never themselves.

        -1 and -inf where fewer exist. Exact for users whose items have at most search_budget listeners together.
        """
        chosen = self.settings
        asked = query(self.history, self.compared, user_index, chosen.half_life_days, chosen.floor)
        affordable, partly = rarest(asked, self.history.n_listeners, chosen.search_budget)
        norms, (users, similarity) = _norms(asked), empty(len(user_index), chosen.neighbours)

        def most_similar(rows: NDArray[np.intp], k: int, shrunk: Float64 | None) -> tuple[Int32, Float32]:
            themselves = csr_of(user_index[rows, None], np.ones((len(rows), 1), np.float32), len(self.norms))
            return top_of_product(affordable[rows], self.listeners, themselves, k, row_norms=norms[rows], shrunk=shrunk)

        wholly, rest = np.flatnonzero(~partly), np.flatnonzero(partly)
        users[wholly], similarity[wholly] = most_similar(wholly, chosen.neighbours, chosen.shrinkage / self.norms)
        if len(rest):
            # Candidates are compared in full afterwards: the shrinkage, which costs a look far away for each of them, can wait.
            candidates, _ = most_similar(rest, chosen.neighbours * CANDIDATES, None)
            users[rest], similarity[rest] = rescored(asked[rest], candidates, self.compared, norms[rest], self.norms,
                                                     chosen.shrinkage, chosen.neighbours)
        return users, similarity

    def recommend(self, user_index: Int32, k: int) -> tuple[Int32, Float32]:
        """Items int32 (n, k) and scores float32 (n, k), positive scores only; nothing for row -1.

        O(search_budget + items of CANDIDATES x neighbours users) a user in mode "nearest", all listeners of the heard items in "all".
        """
        heard = rows_of(self.history.matrix, user_index)
        if self.settings.mode == "all":
            return top_of_chain(rows_of(self.compared, user_index), self.listeners, self.liked, user_index, heard, k)
        return top_of_product(csr_of(*self.nearest(user_index), len(self.norms)), self.liked, heard, k)


def rarities(history: History, power: float) -> Float64:
    """ln(users / listeners) ** power an item, float64 (n_items,): what a shared item says grows with its rarity; all 1 for power 0.

    An item that everybody heard says nothing, unless all items are such.
    """
    logs = np.log(len(history.user_ids) / np.maximum(history.n_listeners, 1)) if len(history.user_ids) else np.zeros(len(history.catalogue))
    rarity: Float64 = logs ** power if logs.any() else np.ones(len(logs))
    return rarity


def tastes(matrix: sparse.csr_matrix, kind: str) -> sparse.csr_matrix:
    """The weights by which users are compared, same pattern as `matrix`: see Neighbours.weights."""
    data = matrix.data
    if kind == "binary" or (kind == "auto" and bool((data == np.round(data)).all())):
        return presence(matrix)
    users = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    means = np.bincount(users, data, minlength=matrix.shape[0]) / np.maximum(np.diff(matrix.indptr), 1)
    return _with(matrix, (data - means[users]).astype(np.float32))


def _with(matrix: sparse.csr_matrix, data: Float32) -> sparse.csr_matrix:
    return sparse.csr_matrix((data, matrix.indices, matrix.indptr), shape=matrix.shape)


def _scaled(matrix: sparse.csr_matrix, factors: Callable[[slice], NDArray[np.floating]]) -> sparse.csr_matrix:
    data = matrix.data.copy()
    for part in parts(len(data)):
        data[part] *= factors(part)
    return _with(matrix, data)


def _divided(matrix: sparse.csr_matrix, norms: Float64) -> sparse.csr_matrix:
    factors = np.repeat((1 / norms).astype(np.float32), np.diff(matrix.indptr))
    factors *= matrix.data
    return _with(matrix, factors)


def _norms(matrix: sparse.csr_matrix) -> Float64:
    rows = np.repeat(np.arange(matrix.shape[0], dtype=np.int32), np.diff(matrix.indptr))
    squares = np.zeros(matrix.shape[0])
    for part in parts(len(rows)):
        squares += np.bincount(rows[part], matrix.data[part].astype(np.float64) ** 2, minlength=len(squares))
    norms = np.sqrt(squares)
    # An empty vector has no direction: any divisor gives it similarity 0.
    return np.where(norms > 0, norms, 1)
