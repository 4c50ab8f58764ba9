"""How broad and how mainstream a user's taste is."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

from musicrec.dataset import DAY, Float32, Int32, TrainSet
from musicrec.features.tables import UserTable, columns, first_and_last, with_cold_row


@dataclass(frozen=True)
class UserTaste:
    """Means and shares over the tracks that the user has seen; NaN for cold users.

    hit_share: share of hits, which are the most popular items, `hits` of all played ones. mean_popularity: mean of log(1 + listeners).
    early_share: share of tracks that the user played at most 7 days after the first play by any user. mean_item_age: mean days between
    these two plays. artists_per_track, albums_per_track, genres_per_track: number of distinct names divided by number of tracks.
    """

    hits: float = 0.01
    key: ClassVar[str] = "user"
    names: ClassVar[tuple[str, ...]] = ("hit_share", "mean_popularity", "early_share", "mean_item_age", "artists_per_track",
                                        "albums_per_track", "genres_per_track")

    def fit(self, train: TrainSet) -> UserTable:
        """O(nnz x names of an item)."""
        listeners, matrix = train.n_listeners, train.matrix
        order = np.argsort(-listeners, kind="stable")
        is_hit = np.zeros(len(listeners), np.float32)
        is_hit[order[: int(np.ceil(self.hits * (listeners > 0).sum()))]] = 1
        first, _ = first_and_last(train)
        means = _means(matrix.indptr, matrix.indices, train.last_played, is_hit, np.log1p(listeners).astype(np.float32), first)
        size = np.maximum(train.n_items_of_user, 1)
        links = (train.catalog.artists, train.catalog.albums, train.catalog.genres)
        breadth = [_distinct(matrix.indptr, matrix.indices, link.indptr, link.indices, link.shape[1]) / size for link in links]
        return UserTable(self.names, with_cold_row(np.concatenate([means, columns(*breadth)], axis=1)))


@njit(cache=True, nogil=True)
def _means(indptr: Int32, indices: Int32, times: Int32, is_hit: Float32, log_listeners: Float32, first: Int32) -> Float32:
    means = np.zeros((len(indptr) - 1, 4), np.float32)
    for user in range(len(indptr) - 1):
        hits = popularity = early = days = 0.0
        for play in range(indptr[user], indptr[user + 1]):
            item = indices[play]
            delay = (times[play] - first[item]) / DAY
            hits += is_hit[item]
            popularity += log_listeners[item]
            early += delay <= 7
            days += delay
        size = max(indptr[user + 1] - indptr[user], 1)
        means[user] = np.array([hits / size, popularity / size, early / size, days / size])
    return means


@njit(cache=True, nogil=True)
def _distinct(indptr: Int32, indices: Int32, link_ptr: Int32, links: Int32, n_names: int) -> NDArray[np.int64]:
    counts = np.zeros(len(indptr) - 1, np.int64)
    seen_by = np.full(n_names, -1, np.int32)
    for user in range(len(indptr) - 1):
        for play in range(indptr[user], indptr[user + 1]):
            for link in range(link_ptr[indices[play]], link_ptr[indices[play] + 1]):
                if seen_by[links[link]] != user:
                    seen_by[links[link]] = user
                    counts[user] += 1
    return counts
