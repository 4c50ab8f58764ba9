"""Building Interactions from plays: at once from arrays that fit in memory, or from a stream of batches."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import sparse

from musicrec.dataset.arrays import Float32, Int32, Places
from musicrec.dataset.interactions import Interactions, Repeats
from musicrec.errors import DataError


@dataclass(frozen=True)
class EventBatch:
    """Plays as aligned arrays: user and item ids, times in seconds since 2000-01-01 UTC, and weights, None for 1 each."""

    user_ids: Int32
    item_ids: Int32
    times: Int32
    weights: Float32 | None = None


def interactions(user_ids: NDArray[np.integer], item_index: NDArray[np.integer], times: NDArray[np.integer],
                 weights: NDArray[np.floating] | None, n_items: int) -> Interactions:
    """Interactions from four aligned arrays with one entry per play, in any order. The weights of repeated plays of a pair are added.

    weights: None for 1 each. Takes several times the memory of the arrays; use interactions_from_batches for large logs.
    """
    order = np.argsort(user_ids, kind="stable")
    users, items, seconds = (np.asarray(column)[order].astype(np.int32) for column in (user_ids, item_index, times))
    batch = EventBatch(users, items, seconds, None if weights is None else np.asarray(weights)[order].astype(np.float32))
    return interactions_from_batches([batch], np.arange(n_items, dtype=np.int32), max(len(order), 1))


def interactions_from_batches(batches: Iterable[EventBatch], item_ids: Int32, expected: int = 1 << 20) -> Interactions:
    """Interactions from a stream of plays whose user ids ascend over all batches; the plays of a user may come in any order.

    item_ids: the ascending ids of the columns. expected: the number of plays where it is known; the arrays grow when there are more.
    Needs memory for the result, one batch, and 4 bytes times the largest item id where that is below 2^28.
    Raises DataError when user ids do not ascend or an item is not in item_ids.
    """
    rows = Builder(item_ids, expected)
    for batch in batches:
        rows.add(batch)
    return rows.interactions()


class Builder:
    """Builds Interactions from batches of plays; the plays of a user may extend over several batches."""

    def __init__(self, item_ids: Int32, expected: int = 1 << 20) -> None:
        self._rows, self._pending = _Rows(max(expected, 1), item_ids), list[EventBatch]()

    def add(self, batch: EventBatch) -> None:
        """Add a batch. Raises DataError as interactions_from_batches does."""
        if len(batch.user_ids) == 0:
            return
        whole = int(np.searchsorted(batch.user_ids, batch.user_ids[-1]))
        if whole:
            self._rows.add(_concatenated([*self._pending, _rows_of_batch(batch, slice(0, whole))]))
            self._pending = []
        self._pending.append(_rows_of_batch(batch, slice(whole, None)))

    def interactions(self) -> Interactions:
        """The interactions of all batches; none can be added afterwards."""
        if self._pending:
            self._rows.add(_concatenated(self._pending))
        return self._rows.interactions()


def _rows_of_batch(batch: EventBatch, rows: slice) -> EventBatch:
    return EventBatch(batch.user_ids[rows], batch.item_ids[rows], batch.times[rows], None if batch.weights is None else batch.weights[rows])


def _concatenated(batches: list[EventBatch]) -> EventBatch:
    if len(batches) == 1:
        return batches[0]
    weights = [batch.weights for batch in batches if batch.weights is not None]
    return EventBatch(np.concatenate([batch.user_ids for batch in batches]), np.concatenate([batch.item_ids for batch in batches]),
                 np.concatenate([batch.times for batch in batches]), np.concatenate(weights) if weights else None)


class _Rows:
    """The matrix under construction: arrays with spare capacity, the ends of the rows, and the earlier plays of repeated pairs."""

    def __init__(self, capacity: int, item_ids: Int32) -> None:
        self.n_items, self.positions = len(item_ids), Places(item_ids)
        self.columns, self.times = np.empty(capacity, np.int32), np.empty(capacity, np.int32)
        self.values = np.empty(capacity, np.float32)
        self.users: list[Int32] = []
        self.ends: list[NDArray[np.int64]] = [np.zeros(1, np.int64)]
        self.repeats: list[tuple[Int32, Int32, Int32]] = []
        self.filled = 0

    def add(self, batch: EventBatch) -> None:
        """Append the rows of users whose plays are all in this batch."""
        self._check_order(batch.user_ids)
        columns = self._columns(batch.item_ids)
        self._reserve(len(columns))
        starts = np.flatnonzero(np.concatenate([[True], batch.user_ids[1:] != batch.user_ids[:-1]])).astype(np.int64)
        ends = np.append(starts[1:], len(columns))
        weights = np.ones(1, np.float32) if batch.weights is None else batch.weights.astype(np.float32, copy=False)
        free = slice(self.filled, self.filled + len(columns))
        earlier, pair_of = np.empty(len(columns), np.int32), np.empty(len(columns), np.int32)
        n_repeats = _merge_repeats(ends, columns, batch.times, weights, self.columns[free], self.times[free], self.values[free],
                                   earlier, pair_of)
        pairs, counts = np.unique(pair_of[:n_repeats], return_counts=True)
        self.repeats.append(((pairs + self.filled).astype(np.int32), counts.astype(np.int32), earlier[:n_repeats].copy()))
        self.users.append(batch.user_ids[starts].astype(np.int32))
        self.ends.append(self.filled + ends)
        self.filled = int(self.ends[-1][-1])

    def interactions(self) -> Interactions:
        """The rows so far, without a copy."""
        for array in (self.columns, self.times, self.values):
            array.resize(self.filled, refcheck=False)
        users = np.concatenate(self.users) if self.users else np.empty(0, np.int32)
        matrix = sparse.csr_matrix((self.values, self.columns, np.concatenate(self.ends)), shape=(len(users), self.n_items))
        return Interactions(users, matrix, self.times, self._repeats())

    def _repeats(self) -> Repeats:
        if not self.repeats:
            return Repeats()
        pairs, counts, times = (np.concatenate(batches) for batches in zip(*self.repeats))
        return Repeats(pairs, np.concatenate([[0], np.cumsum(counts)]).astype(np.int32), times)

    def _columns(self, items: Int32) -> Int32:
        columns = self.positions.of(items)
        if columns.min() < 0:
            unknown = items[columns.argmin()]
            raise DataError(f"events: item id {unknown} is not in the catalog; preprocess items and events together.")
        return columns

    def _check_order(self, user_ids: Int32) -> None:
        before = self.users[-1][-1] if self.users else -1
        if user_ids[0] <= before or (user_ids[1:] < user_ids[:-1]).any():
            raise DataError("events: user ids do not ascend; sort the table by user_id.")

    def _reserve(self, more: int) -> None:
        if self.filled + more > len(self.columns):
            capacity = max(self.filled + more, len(self.columns) * 3 // 2)
            for array in (self.columns, self.times, self.values):
                array.resize(capacity, refcheck=False)


@njit(cache=True, nogil=True)
def _merge_repeats(ends: NDArray[np.int64], columns: Int32, times: Int32, weights: Float32, out_columns: Int32, out_times: Int32,
                   out_values: Float32, earlier: Int32, pair_of: Int32) -> int:
    """Sort each row by column, add the weights of repeated pairs and keep their latest time; `ends` becomes the ends of the merged rows.

    Fills `earlier` with the other times of repeated pairs, ascending within a pair, and `pair_of` with their pairs; returns their number.
    """
    filled, start, repeated = 0, 0, 0
    for row in range(len(ends)):
        end = ends[row]
        # Column and position in one integer: sorting integers is several times faster than argsort.
        keys = np.empty(end - start, np.int64)
        for position in range(start, end):
            keys[position - start] = np.int64(columns[position]) << 32 | position
        keys.sort()
        first = filled
        for key in keys:
            column, position = np.int32(key >> 32), key & 0xFFFFFFFF
            value = weights[position] if len(weights) == len(columns) else np.float32(1)
            if filled > first and out_columns[filled - 1] == column:
                out_values[filled - 1] += value
                repeated = _insert(times[position], filled - 1, out_times, earlier, pair_of, repeated)
            else:
                out_columns[filled], out_values[filled], out_times[filled] = column, value, times[position]
                filled += 1
        ends[row] = filled
        start = end
    return repeated


@njit(cache=True, nogil=True)
def _insert(time: int, pair: int, latest: Int32, earlier: Int32, pair_of: Int32, repeated: int) -> int:
    inserted = min(time, latest[pair])
    latest[pair] = max(time, latest[pair])
    position = repeated
    while position > 0 and pair_of[position - 1] == pair and earlier[position - 1] > inserted:
        earlier[position] = earlier[position - 1]
        position -= 1
    earlier[position], pair_of[repeated] = inserted, pair
    return repeated + 1
