"""Plays from events: at once from arrays that fit in memory, or streamed batch by batch into a matrix of full size."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import sparse

from musicrec.errors import DataError
from musicrec.matrix.arrays import Float32, Int32, Places
from musicrec.matrix.history import Plays


def plays(user_ids: NDArray[np.integer], item_index: NDArray[np.integer], minutes: NDArray[np.integer],
          weights: NDArray[np.floating] | None, n_items: int) -> Plays:
    """Plays from four aligned arrays, one entry an event, in any order. Repeats of a pair add their weights and keep the latest minute.

    weights None means 1 an event. For tables that fit in memory several times; large ones stream through plays_from_batches.
    """
    users, rows = np.unique(user_ids, return_inverse=True)
    order = np.lexsort((minutes, item_index, rows))
    rows, cols, late = rows[order], item_index[order], minutes[order].astype(np.int32)
    value = np.ones(len(order), np.float32) if weights is None else weights[order].astype(np.float32)
    last = np.ones(len(order), bool)
    last[:-1] = (rows[1:] != rows[:-1]) | (cols[1:] != cols[:-1])
    ends = np.flatnonzero(last)
    starts = np.concatenate([[0], ends[:-1] + 1]) if len(ends) else ends
    summed = np.add.reduceat(value, starts).astype(np.float32) if len(ends) else value
    indptr = np.searchsorted(rows[ends], np.arange(len(users) + 1)).astype(np.int64)
    matrix = sparse.csr_matrix((summed, cols[ends].astype(np.int32), indptr), shape=(len(users), n_items))
    return Plays(users.astype(np.int32), matrix, late[ends])


@dataclass(frozen=True)
class Batch:
    """Some events as aligned arrays: user and item ids, minutes since 1970-01-01 UTC, and weights or None for 1 an event."""

    user_ids: Int32
    item_ids: Int32
    minutes: Int32
    weights: Float32 | None = None


def plays_from_batches(batches: Iterable[Batch], item_ids: Int32, expected: int = 1 << 20) -> Plays:
    """Plays from a stream of events whose user ids ascend over all batches; within a user any order. The same result as plays().

    item_ids: the ascending item axis. expected: how many events come, when known; the arrays grow when more do.
    Holds the matrix (12 bytes an entry), one batch, and 4 bytes for each number up to the largest item id when that is below 2^28;
    a growing array is enlarged in place where the system can.
    Raises DataError when user ids descend or an event names an item that item_ids lacks.
    """
    rows = _Rows(max(expected, 1), item_ids)
    waiting: list[Batch] = []
    for batch in batches:
        if len(batch.user_ids) == 0:
            continue
        # The last user of a batch may go on in the next one, so it waits.
        whole = int(np.searchsorted(batch.user_ids, batch.user_ids[-1]))
        if whole:
            rows.add(_joined([*waiting, _part(batch, slice(0, whole))]))
            waiting = []
        waiting.append(_part(batch, slice(whole, None)))
    if waiting:
        rows.add(_joined(waiting))
    return rows.plays(len(item_ids))


def _part(batch: Batch, part: slice) -> Batch:
    return Batch(batch.user_ids[part], batch.item_ids[part], batch.minutes[part], None if batch.weights is None else batch.weights[part])


def _joined(parts: list[Batch]) -> Batch:
    if len(parts) == 1:
        return parts[0]
    weights = [part.weights for part in parts if part.weights is not None]
    return Batch(np.concatenate([part.user_ids for part in parts]), np.concatenate([part.item_ids for part in parts]),
                 np.concatenate([part.minutes for part in parts]), np.concatenate(weights) if weights else None)


class _Rows:
    """The matrix while it is made: arrays with room at their end, and the end of every row."""

    def __init__(self, room: int, item_ids: Int32) -> None:
        self.places = Places(item_ids)
        self.columns, self.minutes, self.values = np.empty(room, np.int32), np.empty(room, np.int32), np.empty(room, np.float32)
        self.users: list[Int32] = []
        self.ends: list[NDArray[np.int64]] = [np.zeros(1, np.int64)]
        self.filled = 0

    def add(self, batch: Batch) -> None:
        """Append the rows of whole users."""
        self._check_order(batch.user_ids)
        columns = self._columns(batch.item_ids)
        self._make_room(len(columns))
        starts = np.flatnonzero(np.concatenate([[True], batch.user_ids[1:] != batch.user_ids[:-1]])).astype(np.int64)
        ends = np.append(starts[1:], len(columns))
        weights = np.ones(1, np.float32) if batch.weights is None else batch.weights.astype(np.float32, copy=False)
        room = slice(self.filled, self.filled + len(columns))
        _merge_repeats(ends, columns, batch.minutes, weights, self.columns[room], self.minutes[room], self.values[room])
        self.users.append(batch.user_ids[starts].astype(np.int32))
        self.ends.append(self.filled + ends)
        self.filled = int(self.ends[-1][-1])

    def plays(self, n_items: int) -> Plays:
        """What was added, without a copy."""
        for array in (self.columns, self.minutes, self.values):
            array.resize(self.filled, refcheck=False)
        users = np.concatenate(self.users) if self.users else np.empty(0, np.int32)
        matrix = sparse.csr_matrix((self.values, self.columns, np.concatenate(self.ends)), shape=(len(users), n_items))
        return Plays(users, matrix, self.minutes)

    def _columns(self, items: Int32) -> Int32:
        columns = self.places.of(items)
        if columns.min() < 0:
            stray = items[columns.argmin()]
            raise DataError(f"events: item id {stray} is not in the catalogue; prepare items and events together.")
        return columns

    def _check_order(self, user_ids: Int32) -> None:
        before = self.users[-1][-1] if self.users else -1
        if user_ids[0] <= before or (user_ids[1:] < user_ids[:-1]).any():
            raise DataError("events: user ids do not ascend; sort the table by user_id.")

    def _make_room(self, more: int) -> None:
        if self.filled + more > len(self.columns):
            room = max(self.filled + more, len(self.columns) * 3 // 2)
            for array in (self.columns, self.minutes, self.values):
                array.resize(room, refcheck=False)


@njit(cache=True, nogil=True)
def _merge_repeats(ends: NDArray[np.int64], columns: Int32, minutes: Int32, weights: Float32, out_columns: Int32, out_minutes: Int32,
                   out_values: Float32) -> None:
    """Sort each row by column, add the weights of repeats and keep their latest minute; turns `ends` into the ends of merged rows."""
    filled, start = 0, 0
    for row in range(len(ends)):
        end = ends[row]
        # Column and place in one number: sorting plain numbers is several times faster than argsort.
        keys = np.empty(end - start, np.int64)
        for place in range(start, end):
            keys[place - start] = np.int64(columns[place]) << 32 | place
        keys.sort()
        first = filled
        for key in keys:
            column, place = np.int32(key >> 32), key & 0xFFFFFFFF
            value = weights[place] if len(weights) == len(columns) else np.float32(1)
            if filled > first and out_columns[filled - 1] == column:
                out_values[filled - 1] += value
                out_minutes[filled - 1] = max(out_minutes[filled - 1], minutes[place])
            else:
                out_columns[filled], out_values[filled], out_minutes[filled] = column, value, minutes[place]
                filled += 1
        ends[row] = filled
        start = end
