"""Random tracks: the baseline that everything must beat."""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from musicrec.candidates.top_k import contains, in_parts
from musicrec.lists import empty
from musicrec.matrix import Float32, History, Int32

ROUNDS = 6


@dataclass(frozen=True)
class Random:
    """Unheard items in an order that depends on `seed` and the user's id only, so that batches do not matter."""

    seed: int = 0

    def fit(self, history: History) -> "RandomOrder":
        """Keeps the history; O(1)."""
        return RandomOrder(history, self.seed)


class RandomOrder:
    """One order of all items a user, computed place by place."""

    def __init__(self, history: History, seed: int) -> None:
        self.history, self.seed = history, seed

    def recommend(self, user_index: Int32, k: int) -> tuple[Int32, Float32]:
        """Items int32 (n, k) and scores float32 (n, k) that fall from 1 towards 0 by 1 / n_items a place. O(k + heard) a user.

        All users without history share one order. The order is a keyed permutation of 0..n_items-1: a Feistel network over the
        next power of four, repeated while it leaves the range (Black and Rogaway, Ciphers with Arbitrary Finite Domains, 2002).
        """
        items, scores = empty(len(user_index), k)
        ids = np.full(len(user_index), -1, np.int64)
        ids[user_index >= 0] = self.history.user_ids[user_index[user_index >= 0]]
        indptr, heard = self.history.matrix.indptr.astype(np.int64), self.history.matrix.indices
        keys = mixed(ids.astype(np.uint64) + mixed(np.array([self.seed]).astype(np.uint64)))
        n_items = len(self.history.catalogue)
        in_parts(len(ids), lambda a, b: _draw(n_items, keys, indptr, heard, user_index, items, scores, a, b))
        return items, scores


def mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Well spread 64-bit numbers, the same for the same values (the finaliser of SplitMix64, Steele et al. 2014)."""
    mixed: NDArray[np.uint64] = _mixed(values)
    return mixed


@njit(cache=True, nogil=True)
def _mixed(value):  # type: ignore[no-untyped-def]
    value = value + np.uint64(0x9E3779B97F4A7C15)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@njit(cache=True, nogil=True)
def _permuted(place, n_items, half, keys):  # type: ignore[no-untyped-def]
    mask = (np.uint64(1) << half) - np.uint64(1)
    value = np.uint64(place)
    while True:
        left, right = value >> half, value & mask
        for key in keys:
            left, right = right, left ^ (_mixed(right ^ key) & mask)
        value = (left << half) | right
        if value < np.uint64(n_items):
            return np.int64(value)


@njit(cache=True, nogil=True)
def _draw(n_items, user_keys, indptr, heard, user_index, items, scores, start, stop):  # type: ignore[no-untyped-def]
    half, keys = np.uint64(1), np.empty(ROUNDS, np.uint64)
    while (np.uint64(1) << (half + half)) < np.uint64(n_items):
        half += np.uint64(1)
    for row in range(start, stop):
        user, size = user_index[row], 0
        for turn in range(ROUNDS):
            keys[turn] = _mixed(user_keys[row] + np.uint64(turn))
        known = heard[indptr[user]:indptr[user + 1]] if user >= 0 else heard[:0]
        for place in range(n_items):
            if size == items.shape[1]:
                break
            item = _permuted(place, n_items, half, keys)
            if not contains(known, item):
                items[row, size], scores[row, size] = item, 1 - size / n_items
                size += 1
