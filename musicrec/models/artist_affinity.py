"""Artist affinity: unseen tracks of the artists and albums that a user has played."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy import sparse

from musicrec.dataset import Float32, Int32, TrainSet
from musicrec.lists import empty
from musicrec.models.protocols import Range, SearchSpace
from musicrec.models.pruning import among_largest, only
from musicrec.models.sparse_top_k import chained_top_k
from musicrec.models.top_k import rows_of
from musicrec.models.weights import check_history, checked_weights, profiles


@dataclass(frozen=True)
class ArtistAffinity:
    """The score of a track is the user's affinity to its artists and albums x log(2 + listeners of the track).

    The affinity to an artist or album is the share of its tracks in the weights of the user's plays. A track's affinity is the sum over
    its artists, plus album_weight times the sum over its albums. max_tracks: of an artist or album only the tracks with most listeners are
    recommended, which bounds the time. max_items_of_user, half_life_days, min_weight: what of a user's plays counts, see
    weights.History.
    """

    search_space: ClassVar[SearchSpace] = {"album_weight": Range(0.0, 3.0), "half_life_days": Range(20.0, 3000.0, log=True)}
    album_weight: float = 0.5
    max_tracks: int = 100
    max_items_of_user: int = 300
    half_life_days: float = 0.0
    min_weight: float = 0.1

    def fit(self, train: TrainSet) -> "FittedArtistAffinity":
        """O(links of the catalog). Raises ModelError for bad weights (weights.checked_weights) and settings out of range."""
        checked_weights(train)
        check_history(self)
        return FittedArtistAffinity(train, self)


class FittedArtistAffinity:
    """Sparse products of the matrices user x item, item x name and name x item."""

    def __init__(self, train: TrainSet, settings: ArtistAffinity) -> None:
        artists, albums = train.catalog.artists, train.catalog.albums
        self.train, self.settings = train, settings
        self.names = sparse.hstack([artists, albums * np.float32(settings.album_weight)], format="csr")
        popularity = sparse.diags(np.log(2.0 + train.n_listeners).astype(np.float32))
        tracks = sparse.csr_matrix((popularity @ sparse.hstack([artists, albums], format="csr")).T)
        self.tracks = only(tracks, among_largest(tracks.indptr, train.n_listeners[tracks.indices], settings.max_tracks))

    def recommend(self, user_index: Int32, k: int) -> tuple[Int32, Float32]:
        """Items int32 (n, k) and scores float32 (n, k), tracks of the user's artists and albums only; nothing for row -1.

        O(tracks of the user's artists and albums) per user.
        """
        if not len(user_index):
            return empty(0, k)
        counted = profiles(self.train, self.train.matrix, user_index, self.settings)
        total = np.maximum(np.asarray(counted.sum(axis=1)).ravel(), np.finfo(np.float32).tiny)
        counted.data /= np.repeat(total, np.diff(counted.indptr))
        nothing_skipped = np.full(len(user_index), -1, np.int32)
        return chained_top_k(counted, self.names, self.tracks, nothing_skipped, rows_of(self.train.matrix, user_index), k)
