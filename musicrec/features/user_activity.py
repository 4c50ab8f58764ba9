"""How long, how much and how recently a user has listened."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numba import njit

from musicrec.dataset import DAY, Int32, TrainSet
from musicrec.features.tables import UserTable, columns, days_before, items_of_user_within, with_cold_row


@dataclass(frozen=True)
class UserActivity:
    """Number and times of a user's plays; for cold users numbers are 0 and days NaN.

    listening_month: calendar months (UTC) with at least one play. tracks_listened: number of tracks. tracks_per_month: tracks_listened /
    listening_month. tracks_7, tracks_30: tracks of the last 7 and 30 days. user_age, user_days_since_last_play: days from the user's first
    and last play to the cutoff. Of several plays of a track only the latest counts.
    """

    key: ClassVar[str] = "user"
    names: ClassVar[tuple[str, ...]] = ("listening_month", "tracks_listened", "tracks_per_month", "tracks_7", "tracks_30",
                                        "user_age", "user_days_since_last_play")

    def fit(self, train: TrainSet) -> UserTable:
        """O(nnz)."""
        months, tracks = months_with_plays(train), train.n_items_of_user
        if len(tracks):
            starts = train.matrix.indptr[:-1]
            first, last = np.minimum.reduceat(train.last_played, starts), np.maximum.reduceat(train.last_played, starts)
        else:
            first = last = np.empty(0, np.int32)
        days = [days_before(train.cutoff, times) for times in (first, last)]
        within = [items_of_user_within(train, window) for window in (7, 30)]
        table = with_cold_row(columns(months, tracks, tracks / np.maximum(months, 1), *within, *days))
        table[-1, :5] = 0
        return UserTable(self.names, table)


def months_with_plays(train: TrainSet) -> Int32:
    """Number of calendar months (UTC) in each user's last_played, int32 (n_users,)."""
    if len(train.last_played) == 0:
        return np.zeros(len(train.user_ids), np.int32)
    first, last = int(train.last_played.min()) // DAY, int(train.last_played.max()) // DAY
    month = (np.datetime64("2000-01-01") + np.arange(first, last + 1)).astype("datetime64[M]").astype(np.int32)
    months: Int32 = _distinct_months(train.matrix.indptr, train.last_played, month - month[0], first)
    return months


@njit(cache=True, nogil=True)
def _distinct_months(indptr: Int32, times: Int32, month_of_day: Int32, first_day: int) -> Int32:
    counts = np.zeros(len(indptr) - 1, np.int32)
    seen_by = np.full(month_of_day[-1] + 1, -1, np.int64)
    for user in range(len(indptr) - 1):
        for play in range(indptr[user], indptr[user + 1]):
            month = month_of_day[times[play] // DAY - first_day]
            if seen_by[month] != user:
                seen_by[month] = user
                counts[user] += 1
    return counts
