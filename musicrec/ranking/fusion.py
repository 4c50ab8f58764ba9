"""Reciprocal rank fusion: several lists become one by their ranks alone.

Cormack, Clarke, Buettcher, "Reciprocal rank fusion outperforms Condorcet and individual rank learning methods", SIGIR 2009.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from musicrec.lists import Recommender
from musicrec.matrix import Float32, Int32
from musicrec.ranking.pairs import Answers, answers, pairs, top


def reciprocal_rank_fusion(offered: Answers, k: int) -> tuple[Int32, Float32]:
    """Items int32 (n, k) and scores float32 (n, k): score = sum over lists of 1 / (60 + rank), ties by ascending item index.

    >>> one = np.array([[4, 2]], np.int32), np.zeros((1, 2), np.float32)
    >>> two = np.array([[9, 2]], np.int32), np.zeros((1, 2), np.float32)
    >>> reciprocal_rank_fusion({"one": one, "two": two}, 3)[0].tolist()
    [[2, 4, 9]]
    """
    n, width = len(next(iter(offered.values()))[0]), sum(items.shape[1] for items, _ in offered.values())
    union = pairs(offered, np.arange(n, dtype=np.int32), width)
    return top(union, union.fused, k)


@dataclass(frozen=True)
class Fusion:
    """The fusion of fitted generators as a Recommender of its own; each offers `per_generator` items."""

    recommenders: Mapping[str, Recommender]
    per_generator: int = 100

    def recommend(self, user_index: Int32, k: int) -> tuple[Int32, Float32]:
        """Items int32 (n, k) and scores float32 (n, k); nothing heard, because no generator offers it."""
        return reciprocal_rank_fusion(answers(self.recommenders, user_index, max(k, self.per_generator)), k)


