"""Features of an item from the catalog, independent of plays."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from musicrec.dataset import TrainSet
from musicrec.features.tables import ItemTable, best_of_names, columns, mean_of_names


@dataclass(frozen=True)
class ItemCatalog:
    """Albums, artists and genres of the item, and their sizes.

    num_albums, num_artists, num_genres: their numbers. genre_score_mean: mean score of the item's genres, where the score of a genre is its
    share of all item-genre links (0 without genres). album_tracks, artist_tracks: number of tracks of its largest album and of its artist
    with most tracks (NaN without).
    """

    key: ClassVar[str] = "item"
    names: ClassVar[tuple[str, ...]] = ("num_albums", "num_artists", "num_genres", "genre_score_mean", "album_tracks", "artist_tracks")

    def fit(self, train: TrainSet) -> ItemTable:
        """O(links of the catalog)."""
        catalog = train.catalog
        sizes = [np.diff(links.indptr) for links in (catalog.albums, catalog.artists, catalog.genres)]
        tracks = [np.bincount(links.indices, minlength=links.shape[1]) for links in (catalog.albums, catalog.artists, catalog.genres)]
        score = mean_of_names(catalog.genres, tracks[2] / max(tracks[2].sum(), 1))
        largest = best_of_names(catalog.albums, tracks[0]), best_of_names(catalog.artists, tracks[1])
        return ItemTable(self.names, columns(*sizes, score, *largest))
