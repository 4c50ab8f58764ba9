"""Bounds on what is counted when items are compared, so that the cost stays affordable on large train sets."""

import numpy as np
from scipy import sparse

from musicrec.dataset import Int32, TrainSet, counts_by_row


def affordable_items(n_items_of_user: Int32, most: int, max_pairs: int) -> int:
    """The largest number of items of a user, at most `most` and at least 1, with which all users have at most max_pairs pairs of items.

    A user with n items has n x n of them, each with itself included, which is what comparing items costs.

    >>> affordable_items(np.array([2, 5], np.int32), 300, 4 + 16)
    4
    """
    users = np.bincount(np.minimum(n_items_of_user, most), minlength=most + 1)
    sizes = np.arange(most + 1)
    shorter, longer = np.cumsum(users * sizes * sizes), users[::-1].cumsum()[::-1]
    pairs = shorter + (longer - users) * sizes * sizes
    return max(int(np.searchsorted(pairs, max_pairs, side="right")) - 1, 1)


def pruned(train: TrainSet, matrix: sparse.csr_matrix, min_listeners: int, max_items_of_user: int,
           max_pairs: int | None = None) -> sparse.csr_matrix:
    """`matrix` (pattern of train.matrix) without items below min_listeners and without all but each user's latest max_items_of_user items.

    max_pairs: fewer items of a user stay where all users would have more pairs of items than that (see affordable_items).
    The latest items are those with the latest last play, ties by higher item index. The shape stays, zeros are dropped. O(nnz), and a sort
    for each user above the bound.
    """
    if max_pairs is not None:
        max_items_of_user = affordable_items(train.n_items_of_user, max_items_of_user, max_pairs)
    keep = (train.n_listeners >= min_listeners)[matrix.indices] & (matrix.data != 0)
    for user in np.flatnonzero(train.n_items_of_user > max_items_of_user):
        row = slice(matrix.indptr[user], matrix.indptr[user + 1])
        oldest_first = np.argsort(train.last_played[row], kind="stable")
        keep[row][oldest_first[: len(oldest_first) - max_items_of_user]] = False
    if keep.all():
        return matrix
    indptr = np.concatenate([[0], np.cumsum(counts_by_row(keep, matrix.indptr))])
    return sparse.csr_matrix((matrix.data[keep], matrix.indices[keep], indptr), shape=matrix.shape)
