"""Plays as a sparse user x item matrix with its two id maps, and the catalogue that its columns follow.

The item axis is the whole catalogue (items.parquet), so an item index means the same in every history and in its labels.
The user axis is made of the users who occur in these plays and of nobody else: later users cannot shift anything.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray
from scipy import sparse

from musicrec.errors import DataError

Int32 = NDArray[np.int32]
Float32 = NDArray[np.float32]


def index_of(ids: Int32, wanted: NDArray[np.integer]) -> Int32:
    """Positions (int32) of `wanted` in the ascending array `ids`; -1 where an id is unknown. O(log n) an id.

    >>> index_of(np.array([3, 7, 9], np.int32), np.array([9, 4, 3])).tolist()
    [2, -1, 0]
    """
    if len(ids) == 0:
        return np.full(len(wanted), -1, np.int32)
    place = np.minimum(np.searchsorted(ids, wanted), len(ids) - 1)
    found: Int32 = np.where(ids[place] == wanted, place, -1).astype(np.int32)
    return found


def parts(n: int, size: int = 1 << 24) -> list[slice]:
    """Slices of `size` places, the last one shorter, that cover n: what is computed by them needs no temporary as long as all plays.

    >>> parts(5, 2)
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]


@dataclass(frozen=True)
class Catalogue:
    """The tracks: ascending ids, and one binary CSR matrix each (n_items, n_names) for genres, artists and albums."""

    item_ids: Int32
    genres: sparse.csr_matrix
    artists: sparse.csr_matrix
    albums: sparse.csr_matrix

    def __len__(self) -> int:
        return len(self.item_ids)


def catalogue(items: pa.Table) -> Catalogue:
    """The Catalogue of an items table (columns item_id, genre_ids, artist_ids, album_ids), sorted by item_id.

    Columns of the three matrices follow the ascending ids of genres, artists and albums.
    """
    items = items.select(["item_id", "genre_ids", "artist_ids", "album_ids"]).sort_by("item_id").combine_chunks()
    links = {name: _links(items.column(f"{name}_ids")) for name in ("genre", "artist", "album")}
    ids = items.column("item_id").to_numpy().astype(np.int32)
    return Catalogue(ids, links["genre"], links["artist"], links["album"])


def _links(lists: pa.ChunkedArray) -> sparse.csr_matrix:
    flat = lists.combine_chunks() if isinstance(lists, pa.ChunkedArray) else lists
    lengths = np.asarray(flat.value_lengths().fill_null(0))
    ids, codes = np.unique(np.asarray(flat.flatten()).astype(np.int64), return_inverse=True)
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    shape = (len(flat), max(len(ids), 1))
    matrix = sparse.csr_matrix((np.ones(len(codes), np.float32), codes.astype(np.int32), indptr), shape=shape)
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix


@dataclass(frozen=True)
class Plays:
    """Who played what: one row a user, one column an item of the catalogue, one entry a (user, item) pair.

    user_ids: ascending int32 (n_users,). matrix: CSR float32 (n_users, n_items), item indices ascending within a row, the
    value is the weight of the pair (plays, or the sum of played shares). minutes: int32 (nnz,), aligned with matrix.data:
    minutes since 1970-01-01 UTC of the latest play of the pair.
    """

    user_ids: Int32
    matrix: sparse.csr_matrix
    minutes: Int32

    def user_index(self, user_ids: NDArray[np.integer]) -> Int32:
        """Rows of these users; -1 for users without plays."""
        return index_of(self.user_ids, user_ids)

    @cached_property
    def n_listeners(self) -> Int32:
        """Users per item, int32 (n_items,)."""
        indices, counts = self.matrix.indices, np.zeros(self.matrix.shape[1], np.int64)
        # bincount copies what it counts into int64.
        for part in parts(len(indices)):
            counts += np.bincount(indices[part], minlength=len(counts))
        return counts.astype(np.int32)

    @cached_property
    def n_items_of_user(self) -> Int32:
        """Items per user, int32 (n_users,)."""
        counts: Int32 = np.diff(self.matrix.indptr).astype(np.int32)
        return counts


@dataclass(frozen=True)
class History(Plays):
    """All plays before `cutoff` (minutes since 1970-01-01 UTC, exclusive) and the catalogue: all that generators and features see."""

    catalogue: Catalogue
    cutoff: int

    @property
    def item_ids(self) -> Int32:
        """Ascending ids of the item axis, int32 (n_items,)."""
        return self.catalogue.item_ids


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


class Places:
    """index_of for one ascending array and very many look-ups, in a fifteenth of the time: a table where ids are below 2^28."""

    def __init__(self, ids: Int32) -> None:
        self.ids, self.table = ids, None
        if len(ids) and ids[0] >= 0 and ids[-1] < 1 << 28:
            self.table = np.full(ids[-1] + 2, -1, np.int32)
            self.table[ids] = np.arange(len(ids), dtype=np.int32)

    def of(self, wanted: Int32) -> Int32:
        """Positions (int32) of `wanted`; -1 where an id is unknown."""
        if self.table is None:
            return index_of(self.ids, wanted)
        # The last place of the table belongs to no id: whatever lies outside the range ends there.
        inside = (wanted >= 0) & (wanted < len(self.table))
        found: Int32 = self.table[np.where(inside, wanted, len(self.table) - 1)]
        return found


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
