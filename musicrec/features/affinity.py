"""How much a user has listened to the artists, albums and genres of an item."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numba import njit
from scipy import sparse

from musicrec.dataset import DAY, Float32, Int32, TrainSet


@dataclass(frozen=True)
class UserArtistAffinity:
    """The user's seen tracks by the item's artists; the largest value where there are several, the smallest of artist_days.

    artist_tracks_seen: number of the user's tracks by the artist. artist_affinity: its share of all of the user's tracks. artist_lift:
    artist_affinity divided by the artist's share of all (user, item) pairs. artist_share_seen: share of the artist's tracks that the user
    has seen. artist_days: days from the user's latest play of the artist to the cutoff. 0, and NaN days, where there are no such tracks.
    """

    key: ClassVar[str] = "user x item"
    names: ClassVar[tuple[str, ...]] = ("artist_tracks_seen", "artist_affinity", "artist_lift", "artist_share_seen", "artist_days")

    def fit(self, train: TrainSet) -> "FittedAffinity":
        """A user's plays are read when values are computed. Memory O(artists)."""
        return FittedAffinity(self.names, train, train.catalog.artists)


@dataclass(frozen=True)
class UserAlbumAffinity:
    """The user's seen tracks on the item's albums, as UserArtistAffinity. On an unfinished album 0 < album_share_seen < 1."""

    key: ClassVar[str] = "user x item"
    names: ClassVar[tuple[str, ...]] = ("album_tracks_seen", "album_affinity", "album_lift", "album_share_seen", "album_days")

    def fit(self, train: TrainSet) -> "FittedAffinity":
        """A user's plays are read when values are computed. Memory O(albums)."""
        return FittedAffinity(self.names, train, train.catalog.albums)


@dataclass(frozen=True)
class UserGenreAffinity:
    """The user's seen tracks of the item's genres, as UserArtistAffinity."""

    key: ClassVar[str] = "user x item"
    names: ClassVar[tuple[str, ...]] = ("genre_tracks_seen", "genre_affinity", "genre_lift", "genre_share_seen", "genre_days")

    def fit(self, train: TrainSet) -> "FittedAffinity":
        """A user's plays are read when values are computed. Memory O(genres)."""
        return FittedAffinity(self.names, train, train.catalog.genres)


class FittedAffinity:
    """The five affinity features for artists, albums or genres."""

    def __init__(self, names: tuple[str, ...], train: TrainSet, links: sparse.csr_matrix) -> None:
        self.names, self.train, self.links = names, train, links
        pairs_of_name = links.T @ train.n_listeners.astype(np.float64)
        self.name_share: Float32 = (pairs_of_name / max(int(train.n_listeners.sum()), 1)).astype(np.float32)
        self.name_tracks: Int32 = np.bincount(links.indices, minlength=links.shape[1]).astype(np.int32)

    def values(self, user_index: Int32, item_index: Int32) -> Float32:
        """Float32 (m, 5). O(pairs x names of an item + pairs of the users x names of an item, once per run of equal users)."""
        matrix = self.train.matrix
        out = np.zeros((len(user_index), len(self.names)), np.float32)
        _fill(user_index, item_index, matrix.indptr, matrix.indices, self.train.last_played, self.links.indptr, self.links.indices,
              self.name_share, self.name_tracks, self.train.cutoff, out)
        return out


@njit(cache=True, nogil=True)
def _fill(users: Int32, items: Int32, indptr: Int32, indices: Int32, times: Int32, link_ptr: Int32, links: Int32,
          name_share: Float32, name_tracks: Int32, cutoff: int, out: Float32) -> None:
    seen = np.zeros(len(name_share), np.int32)
    latest = np.zeros(len(name_share), np.int32)
    current = -1
    for row in range(len(users)):
        user = users[row]
        if user != current:
            if current >= 0:
                _count(current, indptr, indices, times, link_ptr, links, seen, latest, False)
            if user >= 0:
                _count(user, indptr, indices, times, link_ptr, links, seen, latest, True)
            current = user
        _measure(row, items[row], 0 if user < 0 else indptr[user + 1] - indptr[user], link_ptr, links, seen, latest,
                 name_share, name_tracks, cutoff, out)


@njit(cache=True, nogil=True)
def _count(user: int, indptr: Int32, indices: Int32, times: Int32, link_ptr: Int32, links: Int32,
           seen: Int32, latest: Int32, add: bool) -> None:
    for play in range(indptr[user], indptr[user + 1]):
        for link in range(link_ptr[indices[play]], link_ptr[indices[play] + 1]):
            name = links[link]
            if add:
                seen[name] += 1
                latest[name] = times[play] if seen[name] == 1 else max(latest[name], times[play])
            else:
                seen[name] = 0
                latest[name] = 0


@njit(cache=True, nogil=True)
def _measure(row: int, item: int, n_tracks: int, link_ptr: Int32, links: Int32, seen: Int32, latest: Int32,
             name_share: Float32, name_tracks: Int32, cutoff: int, out: Float32) -> None:
    out[row, 4] = np.nan
    for link in range(link_ptr[item], link_ptr[item + 1]):
        name = links[link]
        if seen[name] == 0:
            continue
        share = seen[name] / n_tracks
        days = (cutoff - latest[name]) / DAY
        out[row, 0] = max(out[row, 0], seen[name])
        out[row, 1] = max(out[row, 1], share)
        out[row, 2] = max(out[row, 2], share / name_share[name])
        out[row, 3] = max(out[row, 3], seen[name] / name_tracks[name])
        if not out[row, 4] <= days:
            out[row, 4] = days
