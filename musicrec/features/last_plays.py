"""How similar an item is to the items that the user played last, by their listeners."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

from musicrec.dataset import Float32, Int32, TrainSet


@dataclass(frozen=True)
class LastPlays:
    """Cosines between the vectors of the item and of the user's `last` latest items, -1..1.

    last_similar_best: the largest. last_similar_mean: their mean. NaN for cold users and for items that nobody has seen.
    Vectors: the first `factors` right singular vectors of the user x item matrix with values 1 / sqrt(items of the user x listeners of
    the item), computed by `passes` steps of subspace iteration (Halko, Martinsson, Tropp, 2011).
    """

    last: int = 10
    factors: int = 32
    passes: int = 3
    seed: int = 0
    key: ClassVar[str] = "user x item"
    names: ClassVar[tuple[str, ...]] = ("last_similar_best", "last_similar_mean")

    def fit(self, train: TrainSet) -> "FittedLastPlays":
        """O(nnz x factors x passes); memory 12 x factors bytes per item."""
        return FittedLastPlays(self.names, train, self.last, item_vectors(train, self.factors, self.passes, self.seed))


class FittedLastPlays:
    """The item vectors; a user's latest items are looked up when values are computed."""

    def __init__(self, names: tuple[str, ...], train: TrainSet, last: int, vectors: Float32) -> None:
        self.names, self.train, self.last, self.vectors = names, train, last, vectors

    def values(self, user_index: Int32, item_index: Int32) -> Float32:
        """Float32 (m, 2). O(last x factors) per pair, and O(n log n) for a user's n items, once per run of equal users."""
        matrix = self.train.matrix
        out = np.full((len(user_index), 2), np.nan, np.float32)
        _fill(user_index, item_index, matrix.indptr, matrix.indices, self.train.last_played, self.train.n_listeners, self.vectors,
              self.last, out)
        return out


def item_vectors(train: TrainSet, factors: int, passes: int, seed: int) -> Float32:
    """Unit vectors float32 (n_items, factors); zeros for items that nobody has seen."""
    matrix, listeners = train.matrix, train.n_listeners
    scale = (1 / np.sqrt(np.maximum(listeners, 1))).astype(np.float32)[:, None]
    found = np.random.default_rng(seed).standard_normal((matrix.shape[1], factors)).astype(np.float32)
    for step in range(passes):
        product = np.zeros_like(found)
        _multiply(matrix.indptr, matrix.indices, found * scale, product)
        found = product * scale
        if step < passes - 1:
            found = np.ascontiguousarray(np.linalg.qr(found)[0])
    norms = np.linalg.norm(found, axis=1, keepdims=True)
    unit: Float32 = np.where(norms > 0, found / np.maximum(norms, 1e-30), 0).astype(np.float32)
    return unit


@njit(cache=True, nogil=True)
def _multiply(indptr: Int32, indices: Int32, vectors: Float32, product: Float32) -> None:
    # From items to users and back user by user, so that no user vectors are stored.
    total = np.empty(vectors.shape[1], np.float32)
    for user in range(len(indptr) - 1):
        total[:] = 0
        for play in range(indptr[user], indptr[user + 1]):
            for factor in range(len(total)):
                total[factor] += vectors[indices[play], factor]
        total *= np.float32(1 / max(indptr[user + 1] - indptr[user], 1))
        for play in range(indptr[user], indptr[user + 1]):
            for factor in range(len(total)):
                product[indices[play], factor] += total[factor]


@njit(cache=True, nogil=True)
def _fill(users: Int32, items: Int32, indptr: Int32, indices: Int32, times: Int32, n_listeners: Int32, vectors: Float32,
          last: int, out: Float32) -> None:
    current = -1
    seen = np.empty((0, vectors.shape[1]), np.float32)
    for row in range(len(users)):
        user, item = users[row], items[row]
        if user < 0 or n_listeners[item] == 0:
            continue
        if user != current:
            own = slice(indptr[user], indptr[user + 1])
            seen = vectors[indices[own][_latest(times[own], last)]]
            current = user
        cosines = seen @ vectors[item]
        out[row, 0], out[row, 1] = cosines.max(), cosines.mean()


@njit(cache=True, nogil=True)
def _latest(times: Int32, last: int) -> NDArray[np.int64]:
    return np.argsort(-times.astype(np.int64), kind="mergesort")[:last]
