"""How popular, how young and how active the artists and albums of an item are: what is known about a track nobody has heard yet."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy import sparse

from musicrec.features.item_popularity import share
from musicrec.features.tables import NEVER, ItemTable, best_of_names, columns, days_before, first_and_last, listeners_within
from musicrec.matrix import Float32, History, Int32


@dataclass(frozen=True)
class ArtistPopularity:
    """Plays of the item's artists; of several artists the largest value counts.

    artist_share_30, artist_share_all: plays of all items of the artist in the last 30 days and over all days, per thousand plays.
    artist_age: days before the cutoff of the artist's first play. artist_fresh: days before the cutoff of the youngest first
    play of any item of the artist, as a negative number, so that the largest is the youngest. artist_unheard: share of the
    artist's items that nobody has heard. NaN without artists, the days also when nobody has heard the artist.
    """

    key: ClassVar[str] = "item"
    names: ClassVar[tuple[str, ...]] = ("artist_share_30", "artist_share_all", "artist_age", "artist_fresh", "artist_unheard")

    def fit(self, history: History) -> ItemTable:
        """One row an item. O(plays + links)."""
        return ItemTable(self.names, _of_names(history, history.catalogue.artists))


@dataclass(frozen=True)
class AlbumPopularity:
    """Plays of the item's albums: as ArtistPopularity, for albums."""

    key: ClassVar[str] = "item"
    names: ClassVar[tuple[str, ...]] = ("album_share_30", "album_share_all", "album_age", "album_fresh", "album_unheard")

    def fit(self, history: History) -> ItemTable:
        """One row an item. O(plays + links)."""
        return ItemTable(self.names, _of_names(history, history.catalogue.albums))


def _of_names(history: History, links: sparse.csr_matrix) -> Float32:
    first, _ = first_and_last(history)
    to_items = links.T.tocsr()
    earliest, youngest = _extremes_of_names(to_items, first)
    unheard = (to_items @ (first == NEVER)) / np.maximum(np.diff(to_items.indptr), 1)
    plays = [share((to_items @ counts).astype(np.int32)) for counts in (listeners_within(history, 30), history.n_listeners)]
    of_name = [*plays, days_before(history.cutoff, earliest), -days_before(history.cutoff, youngest), unheard]
    return columns(*(best_of_names(links, values) for values in of_name))


def _extremes_of_names(to_items: sparse.csr_matrix, first: Int32) -> tuple[Int32, Int32]:
    heard = first[to_items.indices] != NEVER
    names = np.repeat(np.arange(to_items.shape[0]), np.diff(to_items.indptr))[heard]
    minutes = first[to_items.indices[heard]]
    earliest = np.full(to_items.shape[0], NEVER, np.int32)
    youngest = np.full(to_items.shape[0], -NEVER, np.int32)
    np.minimum.at(earliest, names, minutes)
    np.maximum.at(youngest, names, minutes)
    youngest[youngest == -NEVER] = NEVER
    return earliest, youngest
