"""Plays as a sparse user x item matrix with its two id maps, and the catalogue that its columns follow.

The item axis is the whole catalogue (items.parquet), so an item index means the same in every history and in its labels.
The user axis is made of the users who occur in these plays and of nobody else: later users cannot shift anything.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy import sparse

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
        return np.bincount(self.matrix.indices, minlength=self.matrix.shape[1]).astype(np.int32)

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
