"""Random tracks, the baseline that every model has to beat."""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from musicrec.dataset import Float32, Int32, TrainSet
from musicrec.lists import empty
from musicrec.models.top_k import contains, parallel_for


@dataclass(frozen=True)
class Random:
    """Unseen items in random order, which depends only on `seed` and the user id."""

    seed: int = 0

    def fit(self, train: TrainSet) -> "FittedRandom":
        """O(1)."""
        return FittedRandom(train, self.seed)


class FittedRandom:
    """One random order of all items per user, computed item by item."""

    def __init__(self, train: TrainSet, seed: int) -> None:
        self.train, self.seed = train, seed

    def recommend(self, user_index: Int32, k: int) -> tuple[Int32, Float32]:
        """Items int32 (n, k) and scores float32 (n, k), 1 - rank / n_items with ranks from 0. O(k + seen items) per user.

        All cold users get the same order. It starts at a random item and advances by a random step that is coprime to the number of items,
        so that each item occurs once.
        """
        items, scores = empty(len(user_index), k)
        ids = np.full(len(user_index), -1, np.int64)
        ids[user_index >= 0] = self.train.user_ids[user_index[user_index >= 0]]
        indptr, seen = self.train.matrix.indptr.astype(np.int64), self.train.matrix.indices
        keys = hashes(ids.astype(np.uint64) + hashes(np.array([self.seed]).astype(np.uint64)))
        n_items = len(self.train.catalog)
        parallel_for(len(ids), lambda a, b: _fill(n_items, keys, indptr, seen, user_index, items, scores, a, b))
        return items, scores


def hashes(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """64-bit hashes of these values (the finalizer of SplitMix64, Steele et al., 2014)."""
    hashed: NDArray[np.uint64] = _hash(values)
    return hashed


@njit(cache=True, nogil=True)
def _hash(value):  # type: ignore[no-untyped-def]
    value = value + np.uint64(0x9E3779B97F4A7C15)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@njit(cache=True, nogil=True)
def _coprime(value, n):  # type: ignore[no-untyped-def]
    """The first number from `value` on, wrapping around to 1, that is coprime to n."""
    while True:
        a, b = value, n
        while b:
            a, b = b, a % b
        if a == 1:
            return value
        value = value % n + 1


@njit(cache=True, nogil=True)
def _fill(n_items, keys, indptr, seen, user_index, items, scores, start, stop):  # type: ignore[no-untyped-def]
    for row in range(start, stop):
        user, size = user_index[row], 0
        own = seen[indptr[user]:indptr[user + 1]] if user >= 0 else seen[:0]
        item, step = np.int64(keys[row] % np.uint64(n_items)), _coprime(np.int64(_hash(keys[row]) % np.uint64(n_items)) + 1, n_items)
        for _ in range(n_items):
            if size == items.shape[1]:
                break
            if not contains(own, item):
                items[row, size], scores[row, size] = item, 1 - size / n_items
                size += 1
            item = (item + step) % n_items
