"""Plays that repeat an earlier (user, track) pair, counted in ranges of users: sorting user by user is cheaper than grouping all pairs."""

from collections.abc import Iterator

import numpy as np
from numba import njit
from numpy.typing import NDArray

from musicrec.dataset import Int32, Places
from musicrec.validation.logs import Logs

RANGE_PLAYS = 8_000_000


def repeated_pairs(logs: Logs) -> tuple[int, int]:
    """The number of plays that repeat a track of their user, and the lowest such user, -1 where there is none.

    Two columns of about eight million plays are in memory at a time. Rows without user or track are left out.
    """
    repeats, first = 0, -1
    for users in _ranges(logs):
        rows = logs.interactions
        in_range = rows.filter(rows.user_id.between(int(users[0]), int(users[-1])), rows.track_id.notnull())
        columns = in_range.select("user_id", "track_id").to_pyarrow()
        of_user = _repeats(Places(users).of(columns["user_id"].to_numpy()), columns["track_id"].to_numpy(), len(users))
        repeats += int(of_user.sum())
        first = int(users[np.argmax(of_user > 0)]) if first < 0 and of_user.any() else first
    return repeats, first


def _ranges(logs: Logs) -> Iterator[Int32]:
    known = logs.of_user.dropna(subset="user_id")
    before = (known["plays"].cumsum() - known["plays"]).to_numpy()
    users = known["user_id"].to_numpy().astype(np.int32)
    yield from (part for part in np.split(users, np.flatnonzero(np.diff(before // RANGE_PLAYS)) + 1) if len(part))


@njit(cache=True, nogil=True)
def _repeats(user: Int32, track: NDArray[np.int64], n_users: int) -> NDArray[np.int64]:
    """The number of repeats per user, int64 (n_users,); rows in any order."""
    ends = np.zeros(n_users + 1, np.int64)
    for place in user:
        ends[place + 1] += 1
    starts = np.cumsum(ends)
    at, sorted_tracks, found = starts[:-1].copy(), np.empty_like(track), np.zeros(n_users, np.int64)
    for row in range(len(user)):
        sorted_tracks[at[user[row]]] = track[row]
        at[user[row]] += 1
    for place in range(n_users):
        tracks = np.sort(sorted_tracks[starts[place]: starts[place + 1]])
        for row in range(1, len(tracks)):
            found[place] += tracks[row] == tracks[row - 1]
    return found
