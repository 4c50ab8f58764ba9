"""Fitted feature groups of items or users, which are tables looked up by index, and functions that compute their columns."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import sparse

from musicrec.dataset import DAY, Float32, Int32, TrainSet

NEVER = np.iinfo(np.int32).max
Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class _Table:
    names: tuple[str, ...]
    table: Float32

    def arrays(self) -> dict[str, Float32]:
        """The table."""
        return {"table": self.table}

    @classmethod
    def restored(cls, train: TrainSet, settings: Any, arrays: Mapping[str, Any]) -> Self:
        """The group with this table."""
        return cls(settings.names, arrays["table"])


@dataclass(frozen=True)
class ItemTable(_Table):
    """Values that depend on the item only: table float32 (n_items, f), one column per name."""

    def values(self, user_index: Int32, item_index: Int32) -> Float32:
        """Rows of the table by item, float32 (m, f)."""
        return self.table[item_index]


@dataclass(frozen=True)
class UserTable(_Table):
    """Values that depend on the user only: table float32 (n_users + 1, f), whose last row is that of cold users (index -1)."""

    def values(self, user_index: Int32, item_index: Int32) -> Float32:
        """Rows of the table by user, float32 (m, f)."""
        return self.table[user_index]


def columns(*arrays: NDArray[np.generic]) -> Float32:
    """The arrays (n,) as the columns of one, float32 (n, len(arrays)).

    >>> columns(np.array([1, 2]), np.array([3, 4])).tolist()
    [[1.0, 3.0], [2.0, 4.0]]
    """
    return np.stack([array.astype(np.float32) for array in arrays], axis=1)


def with_cold_row(table: Float32, cold: float = np.nan) -> Float32:
    """`table` with a last row, index -1, filled with `cold`."""
    return np.concatenate([table, np.full((1, table.shape[1]), cold, np.float32)])


def days_before(cutoff: int, times: NDArray[np.integer]) -> Float32:
    """Days from `times` to the cutoff, float32; NaN for NEVER.

    >>> days_before(3 * DAY, np.array([DAY, NEVER])).tolist()
    [2.0, nan]
    """
    days: Float32 = np.where(times == NEVER, np.nan, (cutoff - times.astype(np.float64)) / DAY).astype(np.float32)
    return days


def listeners_within(train: TrainSet, days: int) -> Int32:
    """Number of users whose latest play of the item lies in the last `days` days, int32 (n_items,)."""
    recent = train.last_played >= train.cutoff - days * DAY
    counts: Int32 = np.bincount(train.matrix.indices[recent], minlength=len(train.catalog)).astype(np.int32)
    return counts


def items_of_user_within(train: TrainSet, days: int) -> Int32:
    """Number of items whose latest play by the user lies in the last `days` days, int32 (n_users,)."""
    recent = train.last_played >= train.cutoff - days * DAY
    if len(recent) == 0:
        return np.zeros(len(train.user_ids), np.int32)
    counts: Int32 = np.add.reduceat(recent, train.matrix.indptr[:-1], dtype=np.int32)
    return counts


def first_and_last(train: TrainSet) -> tuple[Int32, Int32]:
    """The earliest and the latest time in last_played of each item, int32 (n_items,) each; NEVER where nobody has seen it."""
    first, last = _extremes(train.matrix.indices, train.last_played, len(train.catalog))
    return first, last


@njit(cache=True, nogil=True)
def _extremes(keys: Int32, times: Int32, size: int) -> tuple[Int32, Int32]:
    first = np.full(size, NEVER, np.int32)
    last = np.full(size, NEVER, np.int32)
    for key, time in zip(keys, times):
        if time < first[key]:
            first[key] = time
        if last[key] == NEVER or time > last[key]:
            last[key] = time
    return first, last


def best_of_names(links: sparse.csr_matrix, of_name: NDArray[np.floating | np.integer]) -> Float32:
    """The largest value among each item's names, float32 (n_items,); NaN for items without names and where all values are NaN.

    >>> best_of_names(sparse.csr_matrix(np.array([[1, 1], [0, 0]])), np.array([3, 8], np.float32)).tolist()
    [8.0, nan]
    """
    best: Float32 = _best(links.indptr, links.indices, of_name.astype(np.float32))
    return best


@njit(cache=True, nogil=True)
def _best(indptr: Int32, indices: Int32, of_name: Float32) -> Float32:
    best = np.full(len(indptr) - 1, np.nan, np.float32)
    for item in range(len(indptr) - 1):
        for link in range(indptr[item], indptr[item + 1]):
            value = of_name[indices[link]]
            if not value <= best[item] and not np.isnan(value):
                best[item] = value
    return best


def mean_of_names(links: sparse.csr_matrix, of_name: NDArray[np.floating]) -> Float32:
    """The mean over each item's names, float32 (n_items,); 0 for items without names."""
    count = np.maximum(np.diff(links.indptr), 1)
    mean: Float32 = ((links @ of_name) / count).astype(np.float32)
    return mean
