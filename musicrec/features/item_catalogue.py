"""What the catalogue says about an item; no play is looked at."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from musicrec.features.tables import ItemTable, best_of_names, columns, mean_of_names
from musicrec.matrix import History


@dataclass(frozen=True)
class ItemCatalogue:
    """Albums, artists and genres of the item, and how large they are.

    num_albums: albums that hold the item. num_artists, num_genres: counts. genre_score_mean: mean score of its genres, where
    the score of a genre is its share of all genre mentions in the catalogue (0 without genres). album_tracks, artist_tracks:
    items of its largest album and of its most productive artist (NaN without).
    """

    key: ClassVar[str] = "item"
    names: ClassVar[tuple[str, ...]] = ("num_albums", "num_artists", "num_genres", "genre_score_mean", "album_tracks", "artist_tracks")

    def fit(self, history: History) -> ItemTable:
        """One row an item. O(links of the catalogue)."""
        known = history.catalogue
        sizes = [np.diff(links.indptr) for links in (known.albums, known.artists, known.genres)]
        tracks = [np.bincount(links.indices, minlength=links.shape[1]) for links in (known.albums, known.artists, known.genres)]
        score = mean_of_names(known.genres, tracks[2] / max(tracks[2].sum(), 1))
        largest = best_of_names(known.albums, tracks[0]), best_of_names(known.artists, tracks[1])
        return ItemTable(self.names, columns(*sizes, score, *largest))
