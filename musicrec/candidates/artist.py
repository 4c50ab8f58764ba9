"""Unheard tracks of the artists and albums that a user has played, by affinity and popularity."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from musicrec.candidates.evidence import check_recency, query
from musicrec.candidates.product import top_of_chain
from musicrec.candidates.top_k import rows_of
from musicrec.candidates.weights import checked
from musicrec.lists import empty
from musicrec.matrix import Float32, History, Int32


@dataclass(frozen=True)
class Artist:
    """Score of a track: (the user's affinity to its artists and albums) x log(2 + listeners of the track).

    Affinity to a name is the share of the user's weight on its tracks; a track adds up its artists, and its albums times
    `album_weight`. half_life_days lets old plays count less, down to the share `floor`; 0 counts all alike.
    """

    album_weight: float = 0.5
    half_life_days: float = 0.0
    floor: float = 0.1

    def fit(self, history: History) -> "ArtistAffinity":
        """Keeps the catalogue's links and the listeners. O(links). Raises GeneratorError for bad weights, half-life or floor."""
        checked(history)
        check_recency(self.half_life_days, self.floor)
        return ArtistAffinity(history, self)


class ArtistAffinity:
    """Sparse products: user x item x name x item."""

    def __init__(self, history: History, settings: Artist) -> None:
        artists, albums = history.catalogue.artists, history.catalogue.albums
        self.history, self.settings = history, settings
        self.names = sparse.hstack([artists, albums * np.float32(settings.album_weight)], format="csr")
        popularity = sparse.diags(np.log(2.0 + history.n_listeners).astype(np.float32))
        self.tracks = sparse.csr_matrix((popularity @ sparse.hstack([artists, albums], format="csr")).T)

    def recommend(self, user_index: Int32, k: int) -> tuple[Int32, Float32]:
        """Items int32 (n, k), fewer where the user's artists have no more tracks, and scores float32 (n, k). Row -1 is empty.

        O(tracks of the user's artists and albums) a user.
        """
        if not len(user_index):
            return empty(0, k)
        played = query(self.history, self.history.matrix, user_index, self.settings.half_life_days, self.settings.floor)
        total = np.maximum(np.asarray(played.sum(axis=1)).ravel(), np.finfo(np.float32).tiny)
        played.data /= np.repeat(total, np.diff(played.indptr))
        everybody = np.full(len(user_index), -1, np.int32)
        return top_of_chain(played, self.names, self.tracks, everybody, rows_of(self.history.matrix, user_index), k)
