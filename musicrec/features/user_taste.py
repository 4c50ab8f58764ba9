"""How broad and how mainstream a user's taste is."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numba import njit

from musicrec.dataset import DAY, Float32, Int32, TrainSet
from musicrec.features.tables import UserTable, first_and_last, with_cold_row
from musicrec.models.top_k import parallel_for


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
        log_listeners = np.log1p(listeners).astype(np.float32)
        links = [(of.indptr, of.indices, of.shape[1]) for of in (train.catalog.artists, train.catalog.albums, train.catalog.genres)]
        table = np.empty((len(train.user_ids), len(self.names)), np.float32)

        def fill(start: int, stop: int) -> None:
            _fill_means(matrix.indptr, matrix.indices, train.last_played, is_hit, log_listeners, first, table, start, stop)
            for column, (link_ptr, names, n_names) in enumerate(links, start=4):
                _fill_breadth(matrix.indptr, matrix.indices, link_ptr, names, n_names, table[:, column], start, stop)

        parallel_for(len(table), fill)
        return UserTable(self.names, with_cold_row(table))


@njit(cache=True, nogil=True)
def _fill_means(indptr: Int32, indices: Int32, times: Int32, is_hit: Float32, log_listeners: Float32, first: Int32, table: Float32,
                start: int, stop: int) -> None:
    for user in range(start, stop):
        hits = popularity = early = days = 0.0
        for play in range(indptr[user], indptr[user + 1]):
            item = indices[play]
            delay = (times[play] - first[item]) / DAY
            hits += is_hit[item]
            popularity += log_listeners[item]
            early += delay <= 7
            days += delay
        size = max(indptr[user + 1] - indptr[user], 1)
        table[user, 0], table[user, 1], table[user, 2], table[user, 3] = hits / size, popularity / size, early / size, days / size


@njit(cache=True, nogil=True)
def _fill_breadth(indptr: Int32, indices: Int32, link_ptr: Int32, links: Int32, n_names: int, breadth: Float32, start: int,
                  stop: int) -> None:
    """Distinct names divided by tracks, for each user."""
    seen_by = np.full(n_names, -1, np.int32)
    for user in range(start, stop):
        distinct = 0
        for play in range(indptr[user], indptr[user + 1]):
            for link in range(link_ptr[indices[play]], link_ptr[indices[play] + 1]):
                if seen_by[links[link]] != user:
                    seen_by[links[link]] = user
                    distinct += 1
        breadth[user] = distinct / max(indptr[user + 1] - indptr[user], 1)
