"""What a fitted feature group of items or of users is: one table, looked up by index; and the counts such tables are made of."""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import sparse

from musicrec.matrix import Float32, History, Int32

DAY = 24 * 60
NEVER = np.iinfo(np.int32).max
Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class ItemTable:
    """Values that depend on the item alone: table float32 (n_items, f), one column a name."""

    names: tuple[str, ...]
    table: Float32

    def values(self, user_index: Int32, item_index: Int32) -> Float32:
        """Rows of the table, float32 (m, f); users do not matter."""
        return self.table[item_index]


@dataclass(frozen=True)
class UserTable:
    """Values that depend on the user alone: table float32 (n_users + 1, f), the last row is for users without history (index -1)."""

    names: tuple[str, ...]
    table: Float32

    def values(self, user_index: Int32, item_index: Int32) -> Float32:
        """Rows of the table, float32 (m, f); items do not matter."""
        return self.table[user_index]


def columns(*parts: NDArray[np.generic]) -> Float32:
    """The parts side by side as float32 (n, len(parts)).

    >>> columns(np.array([1, 2]), np.array([3, 4])).tolist()
    [[1.0, 3.0], [2.0, 4.0]]
    """
    return np.stack([part.astype(np.float32) for part in parts], axis=1)


def with_cold_row(table: Float32, cold: float = np.nan) -> Float32:
    """`table` and one more row, filled with `cold`: the row that index -1 finds."""
    return np.concatenate([table, np.full((1, table.shape[1]), cold, np.float32)])


def days_before(cutoff: int, minutes: NDArray[np.integer]) -> Float32:
    """Days from `minutes` to the cutoff, float32; NaN where minutes is NEVER.

    >>> days_before(3 * DAY, np.array([DAY, NEVER])).tolist()
    [2.0, nan]
    """
    days: Float32 = np.where(minutes == NEVER, np.nan, (cutoff - minutes.astype(np.float64)) / DAY).astype(np.float32)
    return days


def listeners_within(history: History, days: int) -> Int32:
    """Users whose latest play of the item lies in the last `days` days, int32 (n_items,)."""
    recent = history.minutes >= history.cutoff - days * DAY
    counts: Int32 = np.bincount(history.matrix.indices[recent], minlength=len(history.catalogue)).astype(np.int32)
    return counts


def plays_of_user_within(history: History, days: int) -> Int32:
    """Tracks whose latest play by the user lies in the last `days` days, int32 (n_users,)."""
    recent = history.minutes >= history.cutoff - days * DAY
    if len(recent) == 0:
        return np.zeros(len(history.user_ids), np.int32)
    counts: Int32 = np.add.reduceat(recent, history.matrix.indptr[:-1], dtype=np.int32)
    return counts


def first_and_last(history: History) -> tuple[Int32, Int32]:
    """Minutes of the earliest and of the latest play of each item, int32 (n_items,) each; NEVER where nobody has heard it."""
    first, last = _extremes(history.matrix.indices, history.minutes, len(history.catalogue))
    return first, last


@njit(cache=True, nogil=True)
def _extremes(keys: Int32, minutes: Int32, size: int) -> tuple[Int32, Int32]:
    first = np.full(size, NEVER, np.int32)
    last = np.full(size, NEVER, np.int32)
    for place in range(len(keys)):
        key, minute = keys[place], minutes[place]
        if minute < first[key]:
            first[key] = minute
        if last[key] == NEVER or minute > last[key]:
            last[key] = minute
    return first, last


def best_of_names(links: sparse.csr_matrix, of_name: NDArray[np.floating | np.integer]) -> Float32:
    """For each item the largest value among its names, float32 (n_items,); NaN for items without names or with NaN alone.

    >>> best_of_names(sparse.csr_matrix(np.array([[1, 1], [0, 0]])), np.array([3, 8], np.float32)).tolist()
    [8.0, nan]
    """
    best: Float32 = _best(links.indptr, links.indices, of_name.astype(np.float32))
    return best


@njit(cache=True, nogil=True)
def _best(indptr: Int32, indices: Int32, of_name: Float32) -> Float32:
    best = np.full(len(indptr) - 1, np.nan, np.float32)
    for item in range(len(indptr) - 1):
        for place in range(indptr[item], indptr[item + 1]):
            value = of_name[indices[place]]
            if not value <= best[item] and not np.isnan(value):
                best[item] = value
    return best


def mean_of_names(links: sparse.csr_matrix, of_name: NDArray[np.floating]) -> Float32:
    """For each item the mean over its names, float32 (n_items,); 0 for items without names."""
    count = np.maximum(np.diff(links.indptr), 1)
    mean: Float32 = ((links @ of_name) / count).astype(np.float32)
    return mean
