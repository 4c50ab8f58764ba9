"""Weights of (user, item) pairs: checked plays, and plays and listeners that fade with age."""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from musicrec.errors import GeneratorError
from musicrec.matrix import Float32, History, Int32, parts

MINUTES_A_DAY = 24 * 60


def checked(history: History) -> Float32:
    """The weights of the pairs, float32 (nnz,), as they are stored. Zero is allowed: the pair is heard but teaches nothing.

    Raises GeneratorError, naming user and item, when one is negative, infinite or NaN.
    """
    values: Float32 = history.matrix.data
    bad = np.flatnonzero(~np.isfinite(values) | (values < 0))
    if len(bad):
        row = int(np.searchsorted(history.matrix.indptr, bad[0], side="right")) - 1
        user, item = history.user_ids[row], history.item_ids[history.matrix.indices[bad[0]]]
        raise GeneratorError(f"{len(bad)} weights of the history are no finite numbers of at least 0, the first {values[bad[0]]} "
                             f"for user {user} and item {item}; clean played_share in the events.")
    return values


def presence(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    """1 for every pair with a weight above 0, else 0, in the pattern of `matrix`; `matrix` itself where all weights are 1.

    >>> presence(sparse.csr_matrix(np.array([[2.0, 1.0]], np.float32))).data.tolist()
    [1.0, 1.0]
    """
    if (matrix.data == 1).all():
        return matrix
    return sparse.csr_matrix(((matrix.data > 0).astype(np.float32), matrix.indices, matrix.indptr), shape=matrix.shape)


def decayed_listeners(history: History, half_life_days: float) -> NDArray[np.float64]:
    """Listeners per item, float64 (n_items,), each counting 0.5 ** (age of his latest play at the cutoff / half-life). O(plays)."""
    counts = np.zeros(len(history.catalogue))
    for part in parts(history.matrix.nnz):
        weight = recency(history.minutes[part], history.cutoff, half_life_days)
        counts += np.bincount(history.matrix.indices[part], weight, minlength=len(counts))
    return counts


def recency(minutes: Int32, cutoff: int, half_life_days: float, floor: float = 0.0) -> NDArray[np.float64]:
    """floor + (1 - floor) x 2 ** (-age in days / half_life_days) of each play at the cutoff; all 1 when half_life_days is 0.

    >>> recency(np.array([0, 1440], np.int32), cutoff=1440, half_life_days=1.0).tolist()
    [0.5, 1.0]
    """
    if half_life_days <= 0:
        return np.ones(len(minutes))
    age = np.maximum(cutoff - minutes.astype(np.float64), 0) / MINUTES_A_DAY
    faded: NDArray[np.float64] = floor + (1 - floor) * np.exp2(-age / half_life_days)
    return faded
