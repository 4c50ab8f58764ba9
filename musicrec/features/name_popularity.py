"""How popular and how new the artists and albums of an item are, also for items that nobody has played."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy import sparse

from musicrec.dataset import Float32, Int32, TrainSet
from musicrec.features.item_popularity import per_thousand
from musicrec.features.tables import NEVER, ItemTable, best_of_names, columns, days_before, first_and_last, listeners_within


@dataclass(frozen=True)
class ArtistPopularity:
    """Listeners of the item's artists; the largest value where there are several.

    artist_share_30, artist_share_all: listeners of all items of the artist in the last 30 days and over all days, per thousand of all.
    artist_age: days from the first play of the artist to the cutoff. artist_fresh: days from the cutoff to the first play of the artist's
    newest item, a negative number. artist_never_played: share of the artist's items that nobody has played. NaN without artists, and NaN
    days where nobody has played the artist.
    """

    key: ClassVar[str] = "item"
    names: ClassVar[tuple[str, ...]] = ("artist_share_30", "artist_share_all", "artist_age", "artist_fresh", "artist_never_played")

    def fit(self, train: TrainSet) -> ItemTable:
        """O(nnz + links of the catalog)."""
        return ItemTable(self.names, _of_names(train, train.catalog.artists))


@dataclass(frozen=True)
class AlbumPopularity:
    """Listeners of the item's albums, as ArtistPopularity."""

    key: ClassVar[str] = "item"
    names: ClassVar[tuple[str, ...]] = ("album_share_30", "album_share_all", "album_age", "album_fresh", "album_never_played")

    def fit(self, train: TrainSet) -> ItemTable:
        """O(nnz + links of the catalog)."""
        return ItemTable(self.names, _of_names(train, train.catalog.albums))


def _of_names(train: TrainSet, links: sparse.csr_matrix) -> Float32:
    first, _ = first_and_last(train)
    to_items = links.T.tocsr()
    earliest, newest = _extremes_of_names(to_items, first)
    unseen = (to_items @ (first == NEVER)) / np.maximum(np.diff(to_items.indptr), 1)
    shares = [per_thousand((to_items @ counts).astype(np.int32)) for counts in (listeners_within(train, 30), train.n_listeners)]
    of_name = [*shares, days_before(train.cutoff, earliest), -days_before(train.cutoff, newest), unseen]
    return columns(*(best_of_names(links, values) for values in of_name))


def _extremes_of_names(to_items: sparse.csr_matrix, first: Int32) -> tuple[Int32, Int32]:
    seen = first[to_items.indices] != NEVER
    names = np.repeat(np.arange(to_items.shape[0]), np.diff(to_items.indptr))[seen]
    times = first[to_items.indices[seen]]
    earliest = np.full(to_items.shape[0], NEVER, np.int32)
    newest = np.full(to_items.shape[0], -NEVER, np.int32)
    np.minimum.at(earliest, names, times)
    np.maximum.at(newest, names, times)
    newest[newest == -NEVER] = NEVER
    return earliest, newest
