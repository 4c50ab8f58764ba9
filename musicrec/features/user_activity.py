"""How long, how much and how lately a user has listened."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numba import njit

from musicrec.features.tables import DAY, UserTable, columns, days_before, plays_of_user_within, with_cold_row
from musicrec.matrix import History, Int32


@dataclass(frozen=True)
class UserActivity:
    """Amount and time of a user's plays before the cutoff; users without history get 0 counts and NaN days.

    listening_month: calendar months (UTC) with at least one play. tracks_listened: tracks over the whole history.
    tracks_per_month: the second by the first. tracks_7, tracks_30: tracks of the last days. user_age, user_quiet: days from
    the user's first and latest play to the cutoff.
    """

    key: ClassVar[str] = "user"
    names: ClassVar[tuple[str, ...]] = ("listening_month", "tracks_listened", "tracks_per_month", "tracks_7", "tracks_30",
                                        "user_age", "user_quiet")

    def fit(self, history: History) -> UserTable:
        """One row a user. O(plays)."""
        months, tracks = months_with_plays(history), history.n_items_of_user
        if len(tracks):
            starts = history.matrix.indptr[:-1]
            first, last = np.minimum.reduceat(history.minutes, starts), np.maximum.reduceat(history.minutes, starts)
        else:
            first = last = np.empty(0, np.int32)
        days = [days_before(history.cutoff, minutes) for minutes in (first, last)]
        within = [plays_of_user_within(history, window) for window in (7, 30)]
        table = with_cold_row(columns(months, tracks, tracks / np.maximum(months, 1), *within, *days))
        table[-1, :5] = 0
        return UserTable(self.names, table)


def months_with_plays(history: History) -> Int32:
    """Distinct calendar months (UTC) among each user's plays, int32 (n_users,)."""
    if len(history.minutes) == 0:
        return np.zeros(len(history.user_ids), np.int32)
    first, last = int(history.minutes.min()) // DAY, int(history.minutes.max()) // DAY
    month = np.arange(first, last + 1).astype("datetime64[D]").astype("datetime64[M]").astype(np.int32)
    months: Int32 = _distinct_months(history.matrix.indptr, history.minutes, month - month[0], first)
    return months


@njit(cache=True, nogil=True)
def _distinct_months(indptr: Int32, minutes: Int32, month_of_day: Int32, first_day: int) -> Int32:
    counts = np.zeros(len(indptr) - 1, np.int32)
    seen_by = np.full(month_of_day[-1] + 1, -1, np.int64)
    for user in range(len(indptr) - 1):
        for play in range(indptr[user], indptr[user + 1]):
            month = month_of_day[minutes[play] // DAY - first_day]
            if seen_by[month] != user:
                seen_by[month] = user
                counts[user] += 1
    return counts
