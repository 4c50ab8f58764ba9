"""Plays read from events.parquet, with the order of plays in the same second kept in their times."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from musicrec.dataset.arrays import Float32, Int32
from musicrec.dataset.building import EventBatch
from musicrec.dataset.feedback import strengths
from musicrec.dataset.times import SINCE_1970

_MICROSECONDS = 1_000_000
_BOUNDS = np.iinfo(np.int32).min + 1, np.iinfo(np.int32).max - 1


def whole_users(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """The same rows in tables that end where a user ends."""
    pending: list[pa.RecordBatch] = []
    for batch in batches:
        users = batch.column("user_id").to_numpy()
        last = int(np.searchsorted(users, users[-1])) if len(users) else 0
        if last:
            yield pa.Table.from_batches([*pending, batch.slice(0, last)])
            pending = []
        pending.append(batch.slice(last))
    if pending:
        yield pa.Table.from_batches(pending)


@dataclass(frozen=True)
class UserEvents:
    """All plays of some users, as aligned arrays.

    logged: int64, seconds since 2000-01-01 UTC as in the log. times: int64, the same with the plays of a user at least one second apart.
    weights: see feedback.strengths. was_recommended: whether a list has brought the play, bool; None where the log does not say.
    """

    user_ids: Int32
    item_ids: Int32
    logged: NDArray[np.int64]
    times: NDArray[np.int64]
    weights: Float32 | None
    was_recommended: NDArray[np.bool_] | None = None

    @staticmethod
    def of(table: pa.Table) -> "UserEvents":
        """The plays of a table with columns user_id, item_id, started_at and optionally played_share and feedback."""
        users, items = (table.column(name).to_numpy().astype(np.int32, copy=False) for name in ("user_id", "item_id"))
        micros = table.column("started_at").cast(pa.timestamp("us")).to_numpy().view(np.int64)
        # A time that int32 cannot hold becomes the nearest one that it can.
        logged = np.clip(micros // _MICROSECONDS - SINCE_1970, *_BOUNDS)
        times = logged.copy()
        _separate(users, times)
        brought = table.column("was_recommended").to_numpy() == 1 if "was_recommended" in table.column_names else None
        return UserEvents(users, items, logged, times, strengths(table), brought)

    def judged(self) -> "UserEvents":
        """The same plays, those that a list has brought without a weight: they say what was shown, not what the user would have chosen."""
        if self.was_recommended is None:
            return self
        weights = np.ones(len(self.times), np.float32) if self.weights is None else self.weights
        return replace(self, weights=np.where(self.was_recommended, np.float32(np.nan), weights))

    def between(self, start: int | None, end: int | None) -> EventBatch:
        """The plays logged from `start` to before `end`, with times in the same period."""
        chosen = np.ones(len(self.logged), bool)
        if start is not None:
            chosen &= self.logged >= start
        if end is not None:
            chosen &= self.logged < end
        users, times = self.user_ids[chosen], self.times[chosen]
        _limit(users, times, _BOUNDS[0] if start is None else start, _BOUNDS[1] if end is None else end - 1)
        return EventBatch(users, self.item_ids[chosen], times.astype(np.int32), None if self.weights is None else self.weights[chosen])


@njit(cache=True, nogil=True)
def _separate(users: Int32, times: NDArray[np.int64]) -> None:
    """Move each play that is not later than the play before it by the same user to the second after that one."""
    for row in range(1, len(users)):
        if users[row] == users[row - 1]:
            times[row] = max(times[row], times[row - 1] + 1)


@njit(cache=True, nogil=True)
def _limit(users: Int32, times: NDArray[np.int64], first: int, last: int) -> None:
    """Move plays after `last` back to it and those before them out of the way; none is moved before `first`."""
    for row in range(len(users) - 1, -1, -1):
        latest = last
        if row + 1 < len(users) and users[row] == users[row + 1]:
            latest = times[row + 1] - 1
        times[row] = max(min(times[row], latest), first)
