"""Recommendations from an item x item matrix: the fitted form of item_knn, covisitation and slim."""

from typing import Self

from scipy import sparse

from musicrec.dataset import Float32, Int32, TrainSet
from musicrec.models.protocols import Arrays
from musicrec.models.sparse_top_k import sparse_top_k
from musicrec.models.top_k import rows_of
from musicrec.models.weights import History, profiles


class ItemSimilarity:
    """The score of an item is the sum over the user's counted items of recency x weight of the pair x similarity of the two items."""

    def __init__(self, train: TrainSet, similarity: sparse.csr_matrix, history: History) -> None:
        self.train, self.similarity, self.history = train, similarity, history

    def arrays(self) -> Arrays:
        """The similarities."""
        return {"similarity": self.similarity}

    @classmethod
    def restored(cls, train: TrainSet, settings: History, arrays: Arrays) -> Self:
        """The model with these similarities."""
        return cls(train, arrays["similarity"], settings)

    def recommend(self, user_index: Int32, k: int) -> tuple[Int32, Float32]:
        """Items int32 (n, k) and scores float32 (n, k), positive scores only; nothing for row -1. O(counted items x neighbors) per user."""
        counted = profiles(self.train, self.train.matrix, user_index, self.history)
        return sparse_top_k(counted, self.similarity, rows_of(self.train.matrix, user_index), k)
