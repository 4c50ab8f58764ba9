"""What a history says about a user when he is asked about: his weights, and how much older plays still count."""

from scipy import sparse

from musicrec.candidates.top_k import rows_of
from musicrec.candidates.weights import recency
from musicrec.errors import GeneratorError
from musicrec.matrix import History, Int32


def query(history: History, matrix: sparse.csr_matrix, user_index: Int32, half_life_days: float, floor: float) -> sparse.csr_matrix:
    """Rows of `matrix` (same pattern as history.matrix) for these users, every weight times its weights.recency. Row -1 is empty.

    The age of a pair is that of its latest play at the cutoff; half_life_days 0 counts all plays alike. O(plays of these users).
    """
    rows = rows_of(matrix, user_index)
    if half_life_days > 0:
        minutes = sparse.csr_matrix((history.minutes, history.matrix.indices, history.matrix.indptr), shape=matrix.shape)
        rows.data *= recency(rows_of(minutes, user_index).data, history.cutoff, half_life_days, floor).astype("float32")
    return rows


def check_recency(half_life_days: float, floor: float) -> None:
    """Return nothing for settings that make sense; raise GeneratorError naming the one that does not."""
    if not half_life_days >= 0:
        raise GeneratorError(f"half_life_days is {half_life_days}; give a number of days above 0, or 0 to count all plays alike.")
    if not 0 <= floor <= 1:
        raise GeneratorError(f"floor is {floor}; give the share from 0 to 1 that the oldest plays still count.")
