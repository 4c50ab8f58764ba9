"""User-kNN: items that similar users have seen (user-based collaborative filtering, Herlocker et al., 1999)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from musicrec.dataset import Float32, Int32, TrainSet, chunks
from musicrec.errors import ModelError
from musicrec.lists import empty
from musicrec.models.csr import csr_of, transposed
from musicrec.models.neighbor_search import rarest_items, rescored
from musicrec.models.protocols import Range, SearchSpace
from musicrec.models.pruning import among_largest, only
from musicrec.models.sparse_top_k import chained_top_k, sparse_top_k
from musicrec.models.top_k import rows_of
from musicrec.models.weights import check_history, checked_weights, presence, recency

Float64 = NDArray[np.float64]
# Candidates that are rescored per neighbor where the search is cut by its budget.
CANDIDATES = 2


@dataclass(frozen=True)
class UserKNN:
    """The score of an item is the sum over a user's neighbors of similarity x weight of the neighbor's pair x its recency.

    mode "nearest": the `neighbors` most similar users with positive similarity, dot / (norm x norm + shrinkage), where weights are
    multiplied by ln(n_users / listeners of the item) ** idf_power. mode "all": the formula of the reference notebook, the sum over all
    other users v, also those with negative similarity, of cos(u, v) x w(v, i); without idf_power, shrinkage, recency and a bound on items.
    weights "centered": feedback strength minus the user's mean, in logs without feedback weight minus mean weight; "binary": 1 for every
    pair of weight above 0; "auto": centered in logs with feedback and where weights are not whole numbers, else binary.
    max_items_of_user, half_life_days, min_weight: what of the user's and of the neighbors' plays counts, see weights.History.
    search_budget: the sum of listeners of the items that are used to find one user's neighbors. Where the user's items have more, only the
    rarest ones are used, and the CANDIDATES x neighbors most similar candidates are rescored with all items.
    """

    lists_file: ClassVar[str] = "recommendations_ub.json"
    search_space: ClassVar[SearchSpace] = {
        "neighbors": Range(10, 400, log=True), "shrinkage": Range(0.1, 100.0, log=True), "idf_power": Range(0.0, 2.0),
        "max_items_of_user": Range(50, 500, log=True), "half_life_days": Range(20.0, 3000.0, log=True)}
    mode: Literal["nearest", "all"] = "nearest"
    neighbors: int = 100
    search_budget: int = 10_000
    max_items_of_user: int = 100
    shrinkage: float = 30
    idf_power: float = 1
    weights: Literal["auto", "binary", "centered"] = "auto"
    half_life_days: float = 720
    min_weight: float = 0.1

    def fit(self, train: TrainSet) -> "FittedUserKNN":
        """The users' vectors and their transpose; neighbors are searched for when recommending. O(nnz).

        A pair of weight 0 counts as not played (binary) or as the lowest weight (centered). With centered weights a user whose weights are
        all equal has no neighbors. Raises ModelError for bad weights (weights.checked_weights) and settings out of range.
        """
        check_history(self)
        if min(self.neighbors, self.search_budget) < 1 or not (self.shrinkage >= 0 and self.idf_power >= 0):
            raise ModelError(f"user_knn has neighbors {self.neighbors}, search_budget {self.search_budget}, shrinkage {self.shrinkage} and "
                             f"idf_power {self.idf_power}; give at least 1, 1, 0 and 0.")
        checked_weights(train)
        return FittedUserKNN(train, self)


class FittedUserKNN:
    """Finds the neighbors of a batch of users and sums up the weights of their items."""

    def __init__(self, train: TrainSet, settings: UserKNN) -> None:
        self.train, self.settings = train, settings
        kind = "centered" if settings.weights == "auto" and train.strength is not None else settings.weights
        compared = train.matrix if kind == "binary" or train.strength is None else _with_data(train.matrix, train.strength)
        weights = user_vectors(compared, kind)
        if settings.mode == "all":
            self.vectors = _divided(weights, _norms(weights))
            self.norms, self.ratings = np.ones(weights.shape[0]), weights
        else:
            counted = among_largest(train.matrix.indptr, train.last_played, settings.max_items_of_user)
            weights, times = only(weights, counted), train.last_played[counted]
            self.idf = idf(train, settings.idf_power)
            self.vectors = _scaled(weights, lambda chunk: self.idf[weights.indices[chunk]])
            self.norms = _norms(self.vectors)
            self.ratings = _scaled(weights, lambda chunk: recency(times[chunk], train.cutoff, settings.half_life_days, settings.min_weight))
        self.listeners = transposed(_divided(self.vectors, self.norms))
        self.n_listeners = np.diff(self.listeners.indptr).astype(np.int32)

    def nearest(self, user_index: Int32) -> tuple[Int32, Float32]:
        """Neighbors int32 (n, neighbors) and similarities float32, descending, ties by user index, -1 and -inf where fewer exist.

        Exact for users whose items have at most search_budget listeners in total.
        """
        chosen = self.settings
        own = rows_of(self.ratings, user_index)
        own.data *= self.idf[own.indices].astype(np.float32)
        affordable, truncated = rarest_items(own, self.n_listeners, chosen.search_budget)
        norms, (users, similarity) = _norms(own), empty(len(user_index), chosen.neighbors)

        def most_similar(rows: NDArray[np.intp], k: int, column_shrinkage: Float64 | None) -> tuple[Int32, Float32]:
            themselves = csr_of(user_index[rows, None], np.ones((len(rows), 1), np.float32), len(self.norms))
            return sparse_top_k(affordable[rows], self.listeners, themselves, k, row_norms=norms[rows],
                                column_shrinkage=column_shrinkage)

        exact, cut = np.flatnonzero(~truncated), np.flatnonzero(truncated)
        users[exact], similarity[exact] = most_similar(exact, chosen.neighbors, chosen.shrinkage / self.norms)
        if len(cut):
            # Without shrinkage, which costs a random memory access per candidate and is applied in rescored.
            candidates, _ = most_similar(cut, chosen.neighbors * CANDIDATES, None)
            users[cut], similarity[cut] = rescored(own[cut], candidates, self.vectors, norms[cut], self.norms, chosen.shrinkage,
                                                   chosen.neighbors)
        return users, similarity

    def recommend(self, user_index: Int32, k: int) -> tuple[Int32, Float32]:
        """Items int32 (n, k) and scores float32 (n, k), positive scores only; nothing for row -1.

        O(search_budget + items of CANDIDATES x neighbors users) per user in mode "nearest", O(listeners of the seen items) in mode "all".
        """
        seen = rows_of(self.train.matrix, user_index)
        if self.settings.mode == "all":
            return chained_top_k(rows_of(self.vectors, user_index), self.listeners, self.ratings, user_index, seen, k)
        return sparse_top_k(csr_of(*self.nearest(user_index), len(self.norms)), self.ratings, seen, k)


def idf(train: TrainSet, power: float) -> Float64:
    """ln(n_users / listeners) ** power for each item, float64 (n_items,); all 1 for power 0, and where every user has seen every item."""
    logs = np.log(len(train.user_ids) / np.maximum(train.n_listeners, 1)) if len(train.user_ids) else np.zeros(len(train.catalog))
    powers: Float64 = logs ** power if logs.any() else np.ones(len(logs))
    return powers


def user_vectors(matrix: sparse.csr_matrix, kind: str) -> sparse.csr_matrix:
    """The weights by which users are compared, in the pattern of `matrix`; kind: see UserKNN.weights."""
    data = matrix.data
    if kind == "binary" or (kind == "auto" and bool((data == np.round(data)).all())):
        return presence(matrix)
    users = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    means = np.bincount(users, data, minlength=matrix.shape[0]) / np.maximum(np.diff(matrix.indptr), 1)
    return _with_data(matrix, (data - means[users]).astype(np.float32))


def _with_data(matrix: sparse.csr_matrix, data: Float32) -> sparse.csr_matrix:
    return sparse.csr_matrix((data, matrix.indices, matrix.indptr), shape=matrix.shape)


def _scaled(matrix: sparse.csr_matrix, factors: Callable[[slice], NDArray[np.floating]]) -> sparse.csr_matrix:
    data = matrix.data.copy()
    for chunk in chunks(len(data)):
        data[chunk] *= factors(chunk)
    return _with_data(matrix, data)


def _divided(matrix: sparse.csr_matrix, norms: Float64) -> sparse.csr_matrix:
    factors = np.repeat((1 / norms).astype(np.float32), np.diff(matrix.indptr))
    factors *= matrix.data
    return _with_data(matrix, factors)


def _norms(matrix: sparse.csr_matrix) -> Float64:
    rows = np.repeat(np.arange(matrix.shape[0], dtype=np.int32), np.diff(matrix.indptr))
    squares = np.zeros(matrix.shape[0])
    for chunk in chunks(len(rows)):
        squares += np.bincount(rows[chunk], matrix.data[chunk].astype(np.float64) ** 2, minlength=len(squares))
    norms = np.sqrt(squares)
    # An empty vector has similarity 0 with every other, whatever the divisor.
    return np.where(norms > 0, norms, 1)
