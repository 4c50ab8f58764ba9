"""Weights of (user, item) pairs: checks, recency, and what follows from both for users and items."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from musicrec.dataset import DAY, Float32, Int32, TrainSet, chunks, positions_of_rows
from musicrec.errors import ModelError
from musicrec.models.pruning import among_largest, only
from musicrec.models.top_k import rows_of


def checked_weights(train: TrainSet) -> Float32:
    """The weights of the pairs, float32 (nnz,), not copied. A pair of weight 0 is seen, but nothing is learned from it.

    Raises ModelError, naming user and item, when a weight is negative, infinite or NaN.
    """
    weights: Float32 = train.matrix.data
    bad = np.flatnonzero(~np.isfinite(weights) | (weights < 0))
    if len(bad):
        row = int(np.searchsorted(train.matrix.indptr, bad[0], side="right")) - 1
        user, item = train.user_ids[row], train.item_ids[train.matrix.indices[bad[0]]]
        raise ModelError(f"{len(bad)} weights of the train set are not finite numbers of at least 0, the first {weights[bad[0]]} "
                         f"for user {user} and item {item}; correct played_share in the events.")
    return weights


def presence(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    """1 for every stored weight above 0, else 0, in the pattern of `matrix`; `matrix` itself where all weights are 1.

    >>> presence(sparse.csr_matrix(np.array([[2.0, 1.0]], np.float32))).data.tolist()
    [1.0, 1.0]
    """
    if (matrix.data == 1).all():
        return matrix
    return sparse.csr_matrix(((matrix.data > 0).astype(np.float32), matrix.indices, matrix.indptr), shape=matrix.shape)


def recency(times: Int32, cutoff: int, half_life_days: float, min_weight: float = 0.0) -> NDArray[np.float64]:
    """min_weight + (1 - min_weight) x 2 ** (-age in days / half_life_days) for each time, age at the cutoff; all 1 with half_life_days 0.

    >>> recency(np.array([0, DAY], np.int32), cutoff=DAY, half_life_days=1.0).tolist()
    [0.5, 1.0]
    """
    if half_life_days <= 0:
        return np.ones(len(times))
    age = np.maximum(cutoff - times.astype(np.float64), 0) / DAY
    decayed: NDArray[np.float64] = min_weight + (1 - min_weight) * np.exp2(-age / half_life_days)
    return decayed


class History(Protocol):
    """What of a user's plays counts: the latest max_items_of_user items, each by its recency (see recency)."""

    @property
    def half_life_days(self) -> float:
        """0 for no decay."""
        ...

    @property
    def min_weight(self) -> float:
        """The weight that the oldest plays keep."""
        ...

    @property
    def max_items_of_user(self) -> int:
        """The number of a user's latest items that count."""
        ...


def check_history(history: History) -> None:
    """Raise ModelError, naming the setting, where one is out of range."""
    check_recency(history.half_life_days, history.min_weight)
    if history.max_items_of_user < 1:
        raise ModelError(f"max_items_of_user is {history.max_items_of_user}; give at least 1.")


def check_recency(half_life_days: float, min_weight: float) -> None:
    """Raise ModelError, naming the setting, where recency is not defined for these settings."""
    if not half_life_days >= 0:
        raise ModelError(f"half_life_days is {half_life_days}; give a number of days above 0, or 0 for no decay.")
    if not 0 <= min_weight <= 1:
        raise ModelError(f"min_weight is {min_weight}; give the weight, from 0 to 1, that the oldest plays keep.")


def profiles(train: TrainSet, matrix: sparse.csr_matrix, user_index: Int32, history: History) -> sparse.csr_matrix:
    """Rows of `matrix` (pattern of train.matrix) for these users with the plays that count, every value times the recency of the pair.

    Row -1 is empty. The age of a pair is that of its latest play; of pairs of the same age those with the higher item index are later.
    O(pairs of these users).
    """
    rows, times = _decayed(train, matrix, user_index, history.half_life_days, history.min_weight)
    return only(rows, among_largest(rows.indptr, times, history.max_items_of_user))


def decayed_rows(train: TrainSet, user_index: Int32, half_life_days: float, min_weight: float) -> sparse.csr_matrix:
    """The weights of all plays of these users, every one times the recency of the pair. Row -1 is empty. O(pairs of these users)."""
    return _decayed(train, train.matrix, user_index, half_life_days, min_weight)[0]


def _decayed(train: TrainSet, matrix: sparse.csr_matrix, user_index: Int32, half_life_days: float,
             min_weight: float) -> tuple[sparse.csr_matrix, Int32]:
    rows, times = rows_of(matrix, user_index), train.last_played[positions_of_rows(matrix.indptr, user_index)[1]]
    if half_life_days > 0:
        rows.data *= recency(times, train.cutoff, half_life_days, min_weight).astype(np.float32)
    return rows, times


def liked(train: TrainSet) -> NDArray[np.bool_]:
    """Whether something is learned from each pair, bool (nnz,): a weight above 0; in logs without feedback from all pairs."""
    return np.ones(train.matrix.nnz, bool) if train.strength is None else train.matrix.data > 0


def fans(train: TrainSet) -> Int32:
    """The number of users of each item who like it, int32 (n_items,), see liked; in logs without feedback its listeners. O(nnz)."""
    if train.strength is None:
        return train.n_listeners
    return np.bincount(train.matrix.indices[liked(train)], minlength=len(train.catalog)).astype(np.int32)


def decayed_listeners(train: TrainSet, half_life_days: float) -> NDArray[np.float64]:
    """Sum of the recency of each item's fans, float64 (n_items,); their age is that of their latest play of the item. O(nnz)."""
    counts = np.zeros(len(train.catalog))
    for chunk in chunks(train.matrix.nnz):
        weight = recency(train.last_played[chunk], train.cutoff, half_life_days)
        if train.strength is not None:
            weight *= train.matrix.data[chunk] > 0
        counts += np.bincount(train.matrix.indices[chunk], weight, minlength=len(counts))
    return counts
