"""Recommendations from an item x item matrix: the fitted form of item_knn, covisitation and slim."""

from typing import Any, Self

from scipy import sparse

from musicrec.dataset import Float32, Int32, TrainSet
from musicrec.models.protocols import Arrays
from musicrec.models.sparse_top_k import sparse_top_k
from musicrec.models.top_k import rows_of
from musicrec.models.weights import decayed_rows


class ItemSimilarity:
    """The score of an item is the sum over the user's seen items of recency x weight of the pair x similarity of the two items."""

    def __init__(self, train: TrainSet, similarity: sparse.csr_matrix, half_life_days: float, min_weight: float) -> None:
        self.train, self.similarity = train, similarity
        self.half_life_days, self.min_weight = half_life_days, min_weight

    def arrays(self) -> Arrays:
        """The similarities."""
        return {"similarity": self.similarity}

    @classmethod
    def restored(cls, train: TrainSet, settings: Any, arrays: Arrays) -> Self:
        """The model with these similarities."""
        return cls(train, arrays["similarity"], settings.half_life_days, settings.min_weight)

    def recommend(self, user_index: Int32, k: int) -> tuple[Int32, Float32]:
        """Items int32 (n, k) and scores float32 (n, k), positive scores only; nothing for row -1. O(seen items x neighbors) per user."""
        profiles = decayed_rows(self.train, self.train.matrix, user_index, self.half_life_days, self.min_weight)
        return sparse_top_k(profiles, self.similarity, rows_of(self.train.matrix, user_index), k)
