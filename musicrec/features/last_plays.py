"""How close an item is to what the user heard last, by who listens to what."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

from musicrec.matrix import Float32, History, Int32


@dataclass(frozen=True)
class LastPlays:
    """Cosines between the item's vector and those of the user's `last` latest tracks, over all days before the cutoff, -1..1.

    last_similar_best: the largest. last_similar_mean: their mean. NaN for users without history and for items that nobody has heard.
    Vectors: the leading `factors` singular directions of the user x item matrix, in which a pair counts 1 / sqrt(tracks of the user x
    listeners of the item), found by `passes` steps of subspace iteration (Halko, Martinsson, Tropp 2011).
    """

    last: int = 10
    factors: int = 32
    passes: int = 3
    seed: int = 0
    key: ClassVar[str] = "user x item"
    names: ClassVar[tuple[str, ...]] = ("last_similar_best", "last_similar_mean")

    def fit(self, history: History) -> "Similar":
        """One vector an item. O(plays x factors x passes); memory 12 x factors bytes an item."""
        return Similar(self.names, history, self.last, item_vectors(history, self.factors, self.passes, self.seed))


class Similar:
    """Looks up a user's latest tracks when asked."""

    def __init__(self, names: tuple[str, ...], history: History, last: int, vectors: Float32) -> None:
        self.names, self.history, self.last, self.vectors = names, history, last, vectors

    def values(self, user_index: Int32, item_index: Int32) -> Float32:
        """Cosines float32 (m, 2). Cost: last x factors a pair, and the plays of the users once per run of equal users."""
        matrix = self.history.matrix
        out = np.full((len(user_index), 2), np.nan, np.float32)
        _fill(user_index, item_index, matrix.indptr, matrix.indices, self.history.minutes, self.history.n_listeners, self.vectors,
              self.last, out)
        return out


def item_vectors(history: History, factors: int, passes: int, seed: int) -> Float32:
    """Unit vectors float32 (n_items, factors) of the items; zeros where nobody has heard the item."""
    matrix, listeners = history.matrix, history.n_listeners
    of_item = (1 / np.sqrt(np.maximum(listeners, 1))).astype(np.float32)[:, None]
    found = np.random.default_rng(seed).standard_normal((matrix.shape[1], factors)).astype(np.float32)
    for step in range(passes):
        spread = np.zeros_like(found)
        _spread(matrix.indptr, matrix.indices, found * of_item, spread)
        found = spread * of_item
        if step < passes - 1:
            found = np.ascontiguousarray(np.linalg.qr(found)[0])
    norms = np.linalg.norm(found, axis=1, keepdims=True)
    unit: Float32 = np.where(norms > 0, found / np.maximum(norms, 1e-30), 0).astype(np.float32)
    return unit


@njit(cache=True, nogil=True)
def _spread(indptr: Int32, indices: Int32, vectors: Float32, spread: Float32) -> None:
    # From items to users and back in one go, so that no vectors of users are kept.
    total = np.empty(vectors.shape[1], np.float32)
    for user in range(len(indptr) - 1):
        total[:] = 0
        for play in range(indptr[user], indptr[user + 1]):
            for factor in range(len(total)):
                total[factor] += vectors[indices[play], factor]
        total *= np.float32(1 / max(indptr[user + 1] - indptr[user], 1))
        for play in range(indptr[user], indptr[user + 1]):
            for factor in range(len(total)):
                spread[indices[play], factor] += total[factor]


@njit(cache=True, nogil=True)
def _fill(users: Int32, items: Int32, indptr: Int32, indices: Int32, minutes: Int32, n_listeners: Int32, vectors: Float32,
          last: int, out: Float32) -> None:
    current = -1
    heard = np.empty((0, vectors.shape[1]), np.float32)
    for row in range(len(users)):
        user, item = users[row], items[row]
        if user < 0 or n_listeners[item] == 0:
            continue
        if user != current:
            plays = slice(indptr[user], indptr[user + 1])
            heard = vectors[indices[plays][_latest(minutes[plays], last)]]
            current = user
        cosines = heard @ vectors[item]
        out[row, 0], out[row, 1] = cosines.max(), cosines.mean()


@njit(cache=True, nogil=True)
def _latest(minutes: Int32, last: int) -> NDArray[np.int64]:
    return np.argsort(-minutes.astype(np.int64), kind="mergesort")[:last]
