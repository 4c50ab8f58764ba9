"""The tracks and their names as matrices."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from scipy import sparse

from musicrec.matrix.arrays import Int32


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
