"""Variants of models that are compared with those that are shipped: ALS with other penalties and zeros, EASE, and vectors of names."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from scipy import sparse
from threadpoolctl import threadpool_limits

from musicrec.dataset import Float32, Int32, TrainSet, centered
from musicrec.models import ALS
from musicrec.models.als import FittedALS
from musicrec.models.top_k import parallel_for, rows_of, top_k
from musicrec.models.weights import presence, profiles


@njit(cache=True, nogil=True, fastmath=True)
def _improve(indptr, indices, extra, right, others, gram, penalties, factors, steps, start, stop):
    """als_kernel.improve with a penalty for each row, and with stored pairs of any preference: right is confidence x preference."""
    for row in range(start, stop):
        first, last = indptr[row], indptr[row + 1]
        if first == last:
            factors[row] = 0
            continue
        y, x = others[indices[first:last]], factors[row]
        weights = extra[first:last]
        residual = np.dot(right[first:last], y) - np.dot(gram, x) - penalties[row] * x - np.dot(weights * np.dot(y, x), y)
        direction = residual.copy()
        length = np.dot(residual, residual)
        for _ in range(steps):
            if length < 1e-20:
                break
            product = np.dot(gram, direction) + penalties[row] * direction + np.dot(weights * np.dot(y, direction), y)
            step = length / np.dot(direction, product)
            x += step * direction
            residual -= step * product
            before = length
            length = np.dot(residual, residual)
            direction = residual + np.float32(length / before) * direction


@dataclass(frozen=True)
class VariedALS(ALS):
    """ALS with penalties regularization x (size of the row / mean size) ** nu, and with confident zeros.

    size: "confidence", that of all pairs of the row, as Rendle et al. have it, or "pairs", those that are stored. zeros: confidence above 1
    of a pair that was played to nothing; less, the nearer it is to the mean of its user.
    """

    nu: float = 0.0
    size: str = "confidence"
    zeros: float = 0.0

    def fit(self, train: TrainSet) -> FittedALS:
        """The trained factors."""
        names, matrix = self._confidence(train)[len(train.user_ids):], train.matrix
        liked = matrix.data > 0
        extra = np.where(liked, self.alpha * matrix.data, 0).astype(np.float32)
        if self.zeros and train.strength is not None:
            above, mean = centered(train.strength, train.n_plays, matrix.indptr)
            extra = np.where(liked, extra, self.zeros * np.maximum(-above, 0) / np.maximum(mean, 1e-6)).astype(np.float32)
        stacked = [sparse.csr_matrix((values, matrix.indices, matrix.indptr), matrix.shape) for values in (extra, liked * (1 + extra))]
        weights, right = (sparse.vstack([one, _plus(names, change)], format="csr")
                          for one, change in zip(stacked, (-1, 0)))
        users, items = self._trained(weights, right)
        return FittedALS(train, users[:len(train.user_ids)], items, self)

    def _trained(self, weights: sparse.csr_matrix, right: sparse.csr_matrix) -> tuple[Float32, Float32]:
        order = sparse.csr_matrix((np.arange(weights.nnz), weights.indices, weights.indptr), weights.shape).T.tocsr()
        shape = (order.indptr.astype(np.int64), order.indices.astype(np.int32))
        sides = ((weights.indptr.astype(np.int64), weights.indices, weights.data, right.data.astype(np.float32)),
                 (*shape, weights.data[order.data], right.data[order.data].astype(np.float32)))
        penalties = [self._penalties(side, others) for side, others in zip(sides, weights.shape[::-1])]
        rng = np.random.default_rng(self.seed)
        users = np.zeros((weights.shape[0], self.factors), np.float32)
        items = rng.uniform(0, 0.01, (weights.shape[1], self.factors)).astype(np.float32)
        with threadpool_limits(1, user_api="blas"), np.errstate(all="ignore"):
            for _ in range(self.iterations):
                before = items.copy()
                for side, penalty, own, others in zip(sides, penalties, (users, items), (items, users)):
                    gram = others.T @ others
                    parallel_for(len(own), lambda start, stop: _improve(*side, others, gram, penalty, own, 3, start, stop))  # noqa: B023
                if np.linalg.norm(items - before) < self.tolerance * np.linalg.norm(items):
                    break
        return users, items

    def _penalties(self, side: tuple[Any, ...], n_others: int) -> Float32:
        indptr, _, extra, _ = side
        pairs, total = np.diff(indptr), np.diff(np.concatenate([[0], np.cumsum(extra, dtype=np.float64)])[indptr])
        sizes = total + n_others if self.size == "confidence" else np.maximum(pairs, 1).astype(np.float64)
        return np.asarray(self.regularization * (sizes / sizes[pairs > 0].mean()) ** self.nu, np.float32)


def _plus(rows: sparse.csr_matrix, change: float) -> sparse.csr_matrix:
    return sparse.csr_matrix((rows.data + np.float32(change), rows.indices, rows.indptr), rows.shape)


def averaged(fits: list[FittedALS]) -> FittedALS:
    """A model whose score is the mean of the scores of the fits."""
    scale = np.float32(len(fits) ** -0.5)
    users, items = (np.hstack([getattr(one, side) for one in fits]) * scale for side in ("user_factors", "item_factors"))
    return FittedALS(fits[0].train, users, items, fits[0].settings)


@dataclass(frozen=True)
class Ease:
    """EASE: B with zero diagonal that minimizes |X - X B|^2 + penalty |B|^2; with dropout, the expected loss with items dropped (EDLAE).

    With D = penalty + dropout / (1 - dropout) x listeners, the inverse of X'X + D is D^-1 - D^-1 X' (1 + X D^-1 X')^-1 X D^-1: a matrix of
    users is inverted, however many items there are.
    """

    penalty: float = 300.0
    dropout: float = 0.0
    half_life_days: float = 0.0
    min_weight: float = 0.1
    max_items_of_user: int = 10_000

    def fit(self, train: TrainSet) -> "FittedEase":
        """The model. O(n_users^3 + nnz x n_users)."""
        x = presence(train.matrix).astype(np.float64)
        d = self.penalty + self.dropout / (1 - self.dropout) * np.asarray(x.sum(axis=0)).ravel()
        by_user = np.linalg.inv((x @ sparse.diags(1 / d) @ x.T).toarray() + np.eye(x.shape[0]))
        reached = np.asarray((x.T @ by_user).T, np.float32)
        diagonal = 1 / d - np.asarray(x.multiply(reached).sum(axis=0)).ravel() / d**2
        return FittedEase(train, (x @ sparse.diags(1 / d)).tocsr(), reached / (d * diagonal).astype(np.float32), self)


class FittedEase:
    """The score of an unseen item j is p B_j, for the decayed plays p of the user."""

    def __init__(self, train: TrainSet, scaled: sparse.csr_matrix, reached: Float32, settings: Ease) -> None:
        self.train, self.scaled, self.reached, self.settings = train, scaled, reached, settings

    def recommend(self, user_index: Int32, k: int) -> tuple[Int32, Float32]:
        """The best items."""
        counted = profiles(self.train, self.train.matrix, user_index, self.settings)
        scores = np.asarray((counted @ self.scaled.T).toarray(), np.float32) @ self.reached
        seen = rows_of(self.train.matrix, user_index)
        return top_k(scores, seen.indptr, seen.indices, k)


class ByVectors:
    """The cosine of an item's vector with the sum of those of the user's items."""

    def __init__(self, train: TrainSet, vectors: Float32, settings: Ease) -> None:
        self.train, self.vectors, self.settings = train, vectors, settings

    def recommend(self, user_index: Int32, k: int) -> tuple[Int32, Float32]:
        """The best items."""
        counted = profiles(self.train, self.train.matrix, user_index, self.settings)
        seen = rows_of(self.train.matrix, user_index)
        return top_k(np.asarray(counted @ self.vectors, np.float32) @ self.vectors.T, seen.indptr, seen.indices, k)
