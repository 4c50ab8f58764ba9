"""How much of a user's history carries the names (artists, albums, genres) of an item."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numba import njit
from scipy import sparse

from musicrec.features.tables import DAY
from musicrec.matrix import Float32, History, Int32

MEASURES = ("tracks", "share", "lift", "heard_of", "days")


@dataclass(frozen=True)
class ArtistAffinity:
    """The user's tracks by the item's artists; of several artists the best counts.

    artist_tracks_heard: the user's tracks by the artist. artist_affinity: as a share of the user's tracks. artist_lift: that share by
    the artist's share of all plays. artist_heard_of: as a share of the artist's tracks in the catalogue. artist_days: days from the
    user's latest track by the artist to the cutoff. Zeros and NaN days where the user has heard nothing of them.
    """

    key: ClassVar[str] = "user x item"
    names: ClassVar[tuple[str, ...]] = ("artist_tracks_heard", "artist_affinity", "artist_lift", "artist_heard_of", "artist_days")

    def fit(self, history: History) -> "Affinity":
        """Looks at a user's plays when asked. Memory O(artists)."""
        return Affinity(self.names, history, history.catalogue.artists)


@dataclass(frozen=True)
class AlbumAffinity:
    """The user's tracks on the item's albums: as ArtistAffinity, for albums. An album begun shows as 0 < album_heard_of < 1."""

    key: ClassVar[str] = "user x item"
    names: ClassVar[tuple[str, ...]] = ("album_tracks_heard", "album_affinity", "album_lift", "album_heard_of", "album_days")

    def fit(self, history: History) -> "Affinity":
        """Looks at a user's plays when asked. Memory O(albums)."""
        return Affinity(self.names, history, history.catalogue.albums)


@dataclass(frozen=True)
class GenreAffinity:
    """The user's tracks of the item's genres: as ArtistAffinity, for genres."""

    key: ClassVar[str] = "user x item"
    names: ClassVar[tuple[str, ...]] = ("genre_tracks_heard", "genre_affinity", "genre_lift", "genre_heard_of", "genre_days")

    def fit(self, history: History) -> "Affinity":
        """Looks at a user's plays when asked. Memory O(genres)."""
        return Affinity(self.names, history, history.catalogue.genres)


class Affinity:
    """The five measures for one kind of names."""

    def __init__(self, names: tuple[str, ...], history: History, links: sparse.csr_matrix) -> None:
        self.names, self.history, self.links = names, history, links
        plays_of_name = links.T @ history.n_listeners.astype(np.float64)
        self.name_share: Float32 = (plays_of_name / max(int(history.n_listeners.sum()), 1)).astype(np.float32)
        self.name_tracks: Int32 = np.bincount(links.indices, minlength=links.shape[1]).astype(np.int32)

    def values(self, user_index: Int32, item_index: Int32) -> Float32:
        """Measures float32 (m, 5). Cost: plays of the users, once per run of equal users, times names of an item."""
        matrix = self.history.matrix
        out = np.zeros((len(user_index), len(MEASURES)), np.float32)
        _fill(user_index, item_index, matrix.indptr, matrix.indices, self.history.minutes, self.links.indptr, self.links.indices,
              self.name_share, self.name_tracks, self.history.cutoff, out)
        return out


@njit(cache=True, nogil=True)
def _fill(users: Int32, items: Int32, indptr: Int32, indices: Int32, minutes: Int32, link_ptr: Int32, links: Int32,
          name_share: Float32, name_tracks: Int32, cutoff: int, out: Float32) -> None:
    heard = np.zeros(len(name_share), np.int32)
    latest = np.zeros(len(name_share), np.int32)
    current = -1
    for row in range(len(users)):
        user = users[row]
        if user != current:
            if current >= 0:
                _count(current, indptr, indices, minutes, link_ptr, links, heard, latest, False)
            if user >= 0:
                _count(user, indptr, indices, minutes, link_ptr, links, heard, latest, True)
            current = user
        _measure(row, items[row], 0 if user < 0 else indptr[user + 1] - indptr[user], link_ptr, links, heard, latest,
                 name_share, name_tracks, cutoff, out)


@njit(cache=True, nogil=True)
def _count(user: int, indptr: Int32, indices: Int32, minutes: Int32, link_ptr: Int32, links: Int32,
           heard: Int32, latest: Int32, add: bool) -> None:
    for play in range(indptr[user], indptr[user + 1]):
        for place in range(link_ptr[indices[play]], link_ptr[indices[play] + 1]):
            name = links[place]
            if add:
                heard[name] += 1
                latest[name] = max(latest[name], minutes[play])
            else:
                heard[name] = 0
                latest[name] = 0


@njit(cache=True, nogil=True)
def _measure(row: int, item: int, n_tracks: int, link_ptr: Int32, links: Int32, heard: Int32, latest: Int32,
             name_share: Float32, name_tracks: Int32, cutoff: int, out: Float32) -> None:
    out[row, 4] = np.nan
    for place in range(link_ptr[item], link_ptr[item + 1]):
        name = links[place]
        if heard[name] == 0:
            continue
        share = heard[name] / n_tracks
        days = (cutoff - latest[name]) / DAY
        out[row, 0] = max(out[row, 0], heard[name])
        out[row, 1] = max(out[row, 1], share)
        out[row, 2] = max(out[row, 2], share / name_share[name])
        out[row, 3] = max(out[row, 3], heard[name] / name_tracks[name])
        if not out[row, 4] <= days:
            out[row, 4] = days
