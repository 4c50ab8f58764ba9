"""The part of a history that is worth counting when items are compared: bounds on both axes keep a large one affordable."""

import numpy as np
from scipy import sparse

from musicrec.matrix import History, kept_of_rows


def supported(history: History, matrix: sparse.csr_matrix, min_listeners: int, max_items_of_user: int) -> sparse.csr_matrix:
    """`matrix` (same pattern as history.matrix) without items below min_listeners and without all but each user's latest items.

    Latest is by minute of the pair, ties by higher item index. Same shape; zeros are dropped. O(plays), a sort for users above the bound.
    """
    keep = (history.n_listeners >= min_listeners)[matrix.indices] & (matrix.data != 0)
    for user in np.flatnonzero(history.n_items_of_user > max_items_of_user):
        row = slice(matrix.indptr[user], matrix.indptr[user + 1])
        oldest_first = np.argsort(history.minutes[row], kind="stable")
        keep[row][oldest_first[: len(oldest_first) - max_items_of_user]] = False
    if keep.all():
        return matrix
    indptr = np.concatenate([[0], np.cumsum(kept_of_rows(keep, matrix.indptr))])
    return sparse.csr_matrix((matrix.data[keep], matrix.indices[keep], indptr), shape=matrix.shape)
