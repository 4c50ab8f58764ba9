"""Relisten: the items that a user has played, by how likely the user is to come back to them."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numba import njit

from musicrec.dataset import Float32, Int32, TrainSet, chunks
from musicrec.errors import ModelError
from musicrec.lists import empty
from musicrec.models.protocols import Range, SearchSpace
from musicrec.models.top_k import heap_push, parallel_for, sort_heap


@dataclass(frozen=True)
class Relisten:
    """The user's own items by base-level activation, ln(sum over the user's plays of the item of age ** -decay), age in seconds.

    The base-level learning equation of ACT-R (Anderson and Schooler, "Reflections of the environment in memory", 1991): what was played
    often and lately comes first. decay: 0.5 in their work; more favors the latest plays, less the most frequent ones.
    """

    search_space: ClassVar[SearchSpace] = {"decay": Range(0.1, 2.0, log=True)}
    only_seen: ClassVar[bool] = True
    decay: float = 0.5

    def fit(self, train: TrainSet) -> "OwnItems":
        """Ages are those at the cutoff. O(plays). Raises ModelError when decay is not above 0."""
        if not 0 < self.decay < np.inf:
            raise ModelError(f"decay of relisten is {self.decay}; give a number above 0.")
        total, repeats = self._faded(train.last_played, train.cutoff), train.repeats
        total[repeats.pairs] += np.add.reduceat(self._faded(repeats.times, train.cutoff), repeats.starts[:-1])
        return OwnItems(train, np.log(total, out=total))

    def _faded(self, times: Int32, cutoff: int) -> Float32:
        faded = np.empty(len(times), np.float32)
        for chunk in chunks(len(times)):
            faded[chunk] = np.maximum(cutoff - times[chunk].astype(np.float64), 1) ** -self.decay
        return faded


class OwnItems:
    """The items of each user's own by a score per pair of the train set, float32 (nnz,); those that are not relevant are left out."""

    def __init__(self, train: TrainSet, scores: Float32) -> None:
        self.train, self.scores = train, scores if train.strength is None else np.where(train.relevant, scores, -np.inf)

    def recommend(self, user_index: Int32, k: int) -> tuple[Int32, Float32]:
        """Nothing: the model knows a user's seen items only."""
        return empty(len(user_index), k)

    def recommend_with_seen(self, user_index: Int32, k: int) -> tuple[Int32, Float32]:
        """Items int32 (n, k) and scores float32 (n, k), items of the user's own only; none for row -1. O(items of these users x log k)."""
        items, scores = empty(len(user_index), k)
        indptr, indices = self.train.matrix.indptr, self.train.matrix.indices
        parallel_for(len(user_index), lambda a, b: _fill_own(indptr, indices, self.scores, user_index, items, scores, a, b))
        return items, scores


@njit(cache=True, nogil=True)
def _fill_own(indptr, indices, scores, user_index, items, best, start, stop):  # type: ignore[no-untyped-def]
    for row in range(start, stop):
        user, size = user_index[row], 0
        if user >= 0:
            for pair in range(indptr[user], indptr[user + 1]):
                if scores[pair] > -np.inf:
                    size = heap_push(items[row], best[row], size, indices[pair], scores[pair])
            sort_heap(items[row], best[row], size)
