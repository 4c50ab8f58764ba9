"""Lists from an item x item matrix: what item_knn, covisitation and slim have in common once they are fitted."""

from scipy import sparse

from musicrec.candidates.evidence import query
from musicrec.candidates.product import top_of_product
from musicrec.candidates.top_k import rows_of
from musicrec.matrix import Float32, History, Int32


class ItemNeighbours:
    """Scores of items = sum over the user's heard items of (recency x weight of the play) x row of the matrix."""

    def __init__(self, history: History, similarity: sparse.csr_matrix, half_life_days: float, floor: float) -> None:
        self.history, self.similarity = history, similarity
        self.half_life_days, self.floor = half_life_days, floor

    def recommend(self, user_index: Int32, k: int) -> tuple[Int32, Float32]:
        """Items int32 (n, k) and scores float32 (n, k), positive scores only; nothing for row -1. O(heard x neighbours) a user."""
        asked = query(self.history, self.history.matrix, user_index, self.half_life_days, self.floor)
        return top_of_product(asked, self.similarity, rows_of(self.history.matrix, user_index), k)
