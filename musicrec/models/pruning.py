"""Bounds on what is counted when items are compared, so that the cost stays affordable on large train sets."""

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import sparse

from musicrec.dataset import Int32, TrainSet
from musicrec.models.top_k import parallel_for


def affordable_items(n_items_of_user: Int32, most: int, max_pairs: int) -> int:
    """The largest number of items of a user, at most `most` and at least 1, with which all users have at most max_pairs pairs of items.

    A user with n items has n x n of them, each with itself included, which is what comparing items costs.

    >>> affordable_items(np.array([2, 5], np.int32), 300, 4 + 16)
    4
    """
    longest = min(most, int(n_items_of_user.max(initial=1)))
    users = np.bincount(np.minimum(n_items_of_user, longest), minlength=longest + 1)
    sizes = np.arange(longest + 1)
    shorter, longer = np.cumsum(users * sizes * sizes), users[::-1].cumsum()[::-1]
    pairs = shorter + (longer - users) * sizes * sizes
    affordable = int(np.searchsorted(pairs, max_pairs, side="right")) - 1
    return most if affordable == longest else max(affordable, 1)


def pruned(train: TrainSet, matrix: sparse.csr_matrix, min_listeners: int, max_items_of_user: int,
           max_pairs: int | None = None) -> sparse.csr_matrix:
    """`matrix` (pattern of train.matrix) without items below min_listeners and without all but each user's latest max_items_of_user items.

    max_pairs: fewer items of a user stay where all users would have more pairs of items than that (see affordable_items).
    The latest items are those with the latest last play, ties by higher item index. The shape stays, zeros are dropped. O(nnz), and a sort
    for each user above the bound.
    """
    if max_pairs is not None:
        max_items_of_user = affordable_items(train.n_items_of_user, max_items_of_user, max_pairs)
    keep = among_largest(matrix.indptr, train.last_played, max_items_of_user)
    keep &= matrix.data != 0
    if min_listeners > 1:
        keep &= (train.n_listeners >= min_listeners)[matrix.indices]
    return only(matrix, keep)


def among_largest(indptr: NDArray[np.integer], values: Int32, most: int) -> NDArray[np.bool_]:
    """Whether each value is one of the `most` largest of its row, bool (nnz,), ties by higher position.

    >>> among_largest(np.array([0, 3]), np.array([7, 9, 7], np.int32), 2).tolist()
    [False, True, True]
    """
    keep, starts = np.ones(len(values), np.bool_), indptr.astype(np.int64)
    if len(starts) > 1 and np.diff(starts).max() > most:
        parallel_for(len(starts) - 1, lambda start, stop: _drop_smallest(starts, values, most, keep, start, stop))
    return keep


def only(matrix: sparse.csr_matrix, keep: NDArray[np.bool_]) -> sparse.csr_matrix:
    """The matrix with these of its entries, bool (nnz,), in the same shape; `matrix` itself where all stay."""
    if keep.all():
        return matrix
    n, before = matrix.shape[0], matrix.indptr.astype(np.int64)
    indptr = np.zeros(n + 1, np.int64)
    parallel_for(n, lambda start, stop: _count_kept(before, keep, indptr, start, stop))
    np.cumsum(indptr, out=indptr)
    indices, data = (np.empty(indptr[-1], values.dtype) for values in (matrix.indices, matrix.data))
    parallel_for(n, lambda start, stop: _copy_kept(before, keep, matrix.indices, matrix.data, indptr, indices, data, start, stop))
    return sparse.csr_matrix((data, indices, indptr), shape=matrix.shape)


@njit(cache=True, nogil=True)
def _count_kept(before: NDArray[np.int64], keep: NDArray[np.bool_], counts: NDArray[np.int64], start: int, stop: int) -> None:
    for row in range(start, stop):
        for entry in range(before[row], before[row + 1]):
            counts[row + 1] += keep[entry]


@njit(cache=True, nogil=True)
def _copy_kept(before, keep, indices, data, indptr, kept_indices, kept_data, start, stop):  # type: ignore[no-untyped-def]
    for row in range(start, stop):
        place = indptr[row]
        for entry in range(before[row], before[row + 1]):
            if keep[entry]:
                kept_indices[place], kept_data[place] = indices[entry], data[entry]
                place += 1


@njit(cache=True, nogil=True)
def _drop_smallest(indptr: NDArray[np.int64], values: Int32, most: int, keep: NDArray[np.bool_], start: int, stop: int) -> None:
    for row in range(start, stop):
        first, last = indptr[row], indptr[row + 1]
        if last - first > most:
            for position in np.argsort(values[first:last], kind="mergesort")[:last - first - most]:
                keep[first + position] = False
