"""Temporal splits of a log: the cutoff at which the test set begins, and the folds of a backtest before it.

A cutoff is the first second of a day where that comes close enough to the wanted share of plays, else any second.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from musicrec.dataset.times import DAY, moment
from musicrec.errors import SplitError

# The latest whole days with at least the wanted share may have up to twice as much; beyond that the cutoff is within a day.
TOLERANCE = 2.0


@dataclass(frozen=True)
class Fold:
    """A period from start to end (exclusive), in seconds since 2000-01-01 UTC: the train set is before it, the test set within it."""

    start: int
    end: int

    def __str__(self) -> str:
        return f"{moment(self.start)} to {moment(self.end)}"


@dataclass(frozen=True)
class Timeline:
    """When plays happened: times int64, ascending seconds since 2000-01-01 UTC, and plays int64, their number at each time.

    Times may be rounded down, for example to the first second of their day.

    >>> Timeline.of(np.array([5, 3, 5])).plays.tolist()
    [1, 2]
    """

    times: NDArray[np.int64]
    plays: NDArray[np.int64]

    @staticmethod
    def of(times: NDArray[np.integer], plays: NDArray[np.integer] | None = None) -> "Timeline":
        """The Timeline of plays at these times, in any order; plays: their number at each, 1 when None."""
        unique, inverse = np.unique(times, return_inverse=True)
        counts = np.bincount(inverse, plays, minlength=len(unique))
        return Timeline(unique.astype(np.int64), counts.astype(np.int64))

    @property
    def n_plays(self) -> int:
        """The number of all plays."""
        return int(self.plays.sum())

    def before(self, end: int) -> "Timeline":
        """The part before `end`, exclusive."""
        earlier = int(np.searchsorted(self.times, end))
        return Timeline(self.times[:earlier], self.plays[:earlier])

    def by_day(self) -> "Timeline":
        """The same plays with every time rounded down to the first second of its day."""
        if not len(self.times):
            return self
        days = self.times // DAY * DAY
        starts = np.flatnonzero(np.diff(days, prepend=days[0] - DAY))
        return Timeline(days[starts], np.add.reduceat(self.plays, starts))

    def start_of_latest(self, n_plays: float) -> int | None:
        """The latest time from which on there are at least `n_plays` plays; None where no play is before it."""
        plays_from = np.cumsum(self.plays[::-1])[::-1]
        enough = np.flatnonzero(plays_from >= n_plays)
        return int(self.times[enough[-1]]) if len(enough) and enough[-1] > 0 else None


def cutoff(timeline: Timeline, share: float) -> int:
    """The time, in seconds since 2000-01-01 UTC, from which on there are `share` of the plays, or slightly more.

    The first second of a day where at most TOLERANCE x share of the plays follow, else any second; at the earliest the second time with
    a play. Raises SplitError when all plays have the same time.

    >>> cutoff(Timeline.of(np.arange(100) * DAY), 0.06) == 94 * DAY
    True
    """
    if len(timeline.times) < 2:
        when = f"all plays have the same time ({moment(int(timeline.times[0]))})" if len(timeline.times) else "there are no plays"
        raise SplitError(f"{when}, so the log cannot be split in time; use logs with plays at two different times at least.")
    return _start_of_latest(timeline, share * timeline.n_plays)


def folds_before(timeline: Timeline, end: int, share: float, n_folds: int) -> list[Fold]:
    """At most `n_folds` consecutive folds before `end`, the latest last, each with `share` of all plays before `end`, or slightly more.

    So folds are longer where there are fewer plays. There are fewer folds where the plays do not suffice: the first time with a play is
    never in a fold, because every fold needs a train set before it.

    >>> [fold.start // DAY for fold in folds_before(Timeline.of(np.arange(10) * DAY), 10 * DAY, 0.2, 3)]
    [4, 6, 8]
    """
    remaining, edges = timeline.before(end), [end]
    wanted = share * remaining.n_plays
    while len(edges) <= n_folds and len(remaining.times) > 1 and remaining.plays[1:].sum() >= wanted:
        edges.append(_start_of_latest(remaining, wanted))
        remaining = remaining.before(edges[-1])
    return [Fold(start, stop) for start, stop in pairwise(reversed(edges))]


def folds_of_days(end: int, days: int, n_folds: int) -> list[Fold]:
    """`n_folds` consecutive folds of `days` days before `end`, the latest last.

    >>> [fold.start // DAY for fold in folds_of_days(100 * DAY, 15, 2)]
    [70, 85]
    """
    edges = [end - days * DAY * back for back in range(n_folds, -1, -1)]
    return [Fold(start, stop) for start, stop in pairwise(edges)]


def latest_folds(folds: Sequence[Fold], users: Sequence[int], n_users: int) -> list[Fold]:
    """The fewest latest folds that have `n_users` users together, counted fold by fold; at least two where there are two.

    users: the number of users of each fold. Each fold costs one fit of all models, and more folds than these add no training users.

    >>> three = folds_of_days(100 * DAY, 15, 3)
    >>> [len(latest_folds(three, [70, 80, 90], n_users)) for n_users in (50, 200, 900)]
    [2, 3, 3]
    """
    kept = min(2, len(folds))
    while kept < len(folds) and sum(users[-kept:]) < n_users:
        kept += 1
    return list(folds[len(folds) - kept:])


def _start_of_latest(timeline: Timeline, n_plays: float) -> int:
    day = timeline.by_day().start_of_latest(n_plays)
    if day is not None and timeline.n_plays - timeline.before(day).n_plays <= TOLERANCE * n_plays:
        return day
    exact = timeline.start_of_latest(n_plays)
    return int(timeline.times[1]) if exact is None else exact
