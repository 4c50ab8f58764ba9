"""How broad and how mainstream a user's taste is."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

from musicrec.features.tables import DAY, UserTable, columns, first_and_last, with_cold_row
from musicrec.matrix import Float32, History, Int32


@dataclass(frozen=True)
class UserTaste:
    """Means and shares over all tracks the user has heard before the cutoff; NaN for users without history.

    hit_share: share of them among the most popular `hits` of all heard items. mean_popularity: mean of log(1 + listeners).
    early_share: share that the user heard at most 7 days after its first play by anybody; mean_item_age: mean days between
    that first play and the user's. artists_per_track, albums_per_track, genres_per_track: distinct names by tracks (breadth).
    """

    hits: float = 0.01
    key: ClassVar[str] = "user"
    names: ClassVar[tuple[str, ...]] = ("hit_share", "mean_popularity", "early_share", "mean_item_age", "artists_per_track",
                                        "albums_per_track", "genres_per_track")

    def fit(self, history: History) -> UserTable:
        """One row a user. O(plays x names of an item)."""
        listeners, matrix = history.n_listeners, history.matrix
        order = np.argsort(-listeners, kind="stable")
        is_hit = np.zeros(len(listeners), np.float32)
        is_hit[order[: int(np.ceil(self.hits * (listeners > 0).sum()))]] = 1
        first, _ = first_and_last(history)
        means = _means(matrix.indptr, matrix.indices, history.minutes, is_hit, np.log1p(listeners).astype(np.float32), first)
        size = np.maximum(history.n_items_of_user, 1)
        links = (history.catalogue.artists, history.catalogue.albums, history.catalogue.genres)
        breadth = [_distinct(matrix.indptr, matrix.indices, link.indptr, link.indices, link.shape[1]) / size for link in links]
        return UserTable(self.names, with_cold_row(np.concatenate([means, columns(*breadth)], axis=1)))


@njit(cache=True, nogil=True)
def _means(indptr: Int32, indices: Int32, minutes: Int32, is_hit: Float32, log_listeners: Float32, first: Int32) -> Float32:
    means = np.zeros((len(indptr) - 1, 4), np.float32)
    for user in range(len(indptr) - 1):
        hits = known = early = days = 0.0
        for play in range(indptr[user], indptr[user + 1]):
            item = indices[play]
            delay = (minutes[play] - first[item]) / DAY
            hits += is_hit[item]
            known += log_listeners[item]
            early += delay <= 7
            days += delay
        size = max(indptr[user + 1] - indptr[user], 1)
        means[user] = np.array([hits / size, known / size, early / size, days / size])
    return means


@njit(cache=True, nogil=True)
def _distinct(indptr: Int32, indices: Int32, link_ptr: Int32, links: Int32, n_names: int) -> NDArray[np.int64]:
    counts = np.zeros(len(indptr) - 1, np.int64)
    seen_by = np.full(n_names, -1, np.int32)
    for user in range(len(indptr) - 1):
        for play in range(indptr[user], indptr[user + 1]):
            for place in range(link_ptr[indices[play]], link_ptr[indices[play] + 1]):
                if seen_by[links[place]] != user:
                    seen_by[links[place]] = user
                    counts[user] += 1
    return counts
