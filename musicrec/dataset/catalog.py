"""The items, and their genres, artists and albums as sparse matrices."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy import sparse

from musicrec.dataset.arrays import Int32
from musicrec.dataset.times import SINCE_1970


@dataclass(frozen=True)
class Catalog:
    """The items: ascending ids, and a binary CSR matrix (n_items, n_names) each for genres, artists and albums.

    added_at: int32 (n_items,), seconds since 2000-01-01 UTC at which an item was added to the catalog, the largest int32 where that is
    unknown; None where it is unknown for all items.
    """

    item_ids: Int32
    genres: sparse.csr_matrix
    artists: sparse.csr_matrix
    albums: sparse.csr_matrix
    added_at: Int32 | None = None

    def __len__(self) -> int:
        return len(self.item_ids)

    def where(self, keep: NDArray[np.bool_]) -> "Catalog":
        """The items for which `keep` (n_items,) is true, with the names that these items have and no others."""
        if keep.all():
            return self
        genres, artists, albums = (_without_unused(links[keep]) for links in (self.genres, self.artists, self.albums))
        return Catalog(self.item_ids[keep], genres, artists, albums, None if self.added_at is None else self.added_at[keep])


def catalog(items: pa.Table) -> Catalog:
    """The Catalog of an items table (columns item_id, genre_ids, artist_ids, album_ids, optional added_at), sorted by item_id.

    Columns of the three matrices follow the ascending ids of genres, artists and albums.
    """
    has_dates = "added_at" in items.column_names
    items = items.select(["item_id", "genre_ids", "artist_ids", "album_ids", *(["added_at"] if has_dates else [])])
    items = items.sort_by("item_id").combine_chunks()
    genres, artists, albums = (_links(items.column(f"{name}_ids")) for name in ("genre", "artist", "album"))
    item_ids = items.column("item_id").to_numpy().astype(np.int32)
    return Catalog(item_ids, genres, artists, albums, _seconds(items.column("added_at")) if has_dates else None)


def _seconds(moments: pa.ChunkedArray) -> Int32:
    # A missing date becomes the latest one: such an item exists from its first play on.
    since_1970 = moments.cast(pa.timestamp("s"), safe=False).cast(pa.int64()).fill_null(np.iinfo(np.int64).max // 2).to_numpy()
    bounds = np.iinfo(np.int32)
    seconds: Int32 = np.clip(since_1970 - SINCE_1970, bounds.min, bounds.max).astype(np.int32)
    return seconds


def _without_unused(links: sparse.csr_matrix) -> sparse.csr_matrix:
    used = np.unique(links.indices)
    columns = np.searchsorted(used, links.indices).astype(np.int32)
    return sparse.csr_matrix((links.data, columns, links.indptr), shape=(links.shape[0], max(len(used), 1)))


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
