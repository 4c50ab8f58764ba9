"""Cutoffs and folds in time."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from musicrec.dataset import DAY, Fold, Timeline, cutoff, folds_before, folds_of_days, latest_folds
from musicrec.dataset.cutoffs import TOLERANCE
from musicrec.errors import SplitError

MONTHS = st.lists(st.integers(0, 200 * DAY), min_size=2, max_size=300, unique=True)
SHARES = st.floats(0.02, 0.5)


def _plays(times: np.ndarray, start: int, end: int) -> int:
    return int(((times >= start) & (times < end)).sum())


@given(end=st.integers(-10**8, 10**8), days=st.integers(1, 40), n_folds=st.integers(1, 8))
def test_folds_of_days_are_consecutive_and_equally_long(end: int, days: int, n_folds: int) -> None:
    """There are n_folds of them, each of so many days, each ends where the next one starts, and the last one ends at `end`."""
    folds = folds_of_days(end, days, n_folds)
    assert len(folds) == n_folds
    assert folds[-1].end == end
    assert {fold.end - fold.start for fold in folds} == {days * DAY}
    assert all(left.end == right.start for left, right in pairwise(folds))


@given(times=MONTHS, share=SHARES)
def test_a_cutoff_leaves_the_share_behind_it_and_something_before_it(times: list[int], share: float) -> None:
    """At least the share of the plays lies from the cutoff on, unless the first time has too many, and at least one play before it."""
    at = cutoff(Timeline.of(np.array(times)), share)
    plays = np.sort(times)
    behind = _plays(plays, at, 2**31)
    assert behind >= share * len(plays) or at == plays[1]
    assert plays[0] < at


@given(times=MONTHS, share=SHARES)
def test_a_cutoff_is_a_day_where_days_are_fine_enough(times: list[int], share: float) -> None:
    """It is the first second of a day, unless that leaves more than twice the share, or no play, on the wrong side."""
    at, plays = cutoff(Timeline.of(np.array(times)), share), np.sort(times)
    days = np.unique(plays // DAY * DAY)
    fitting = [day for day in days[1:] if share * len(plays) <= _plays(plays, day, 2**31) <= TOLERANCE * share * len(plays)]
    assert at == max(fitting) if fitting else at in times


def test_a_log_of_an_hour_is_cut_to_the_second() -> None:
    """With one play a second for an hour, the latest tenth begins at a second within the hour and holds exactly a tenth."""
    start = 5000 * DAY + 12 * 3600
    assert cutoff(Timeline.of(start + np.arange(3600)), 0.1) == start + 3240


def test_a_log_of_months_is_cut_by_day() -> None:
    """With plays at all hours of 100 days, the cutoff is the first second of a day."""
    assert cutoff(Timeline.of(np.arange(0, 100 * DAY, 3601)), 0.1) == 90 * DAY


def test_one_time_for_all_plays_is_refused() -> None:
    """All plays at one time, and no plays at all, are one sentence each; the first one names the time."""
    with pytest.raises(SplitError, match=r"^all plays have the same time \(2000-01-02 00:00:00\), so the log cannot be split[^.]*\.$"):
        cutoff(Timeline.of(np.array([DAY, DAY])), 0.1)
    with pytest.raises(SplitError, match=r"^there are no plays, so the log cannot be split[^.]*\.$"):
        cutoff(Timeline.of(np.empty(0, np.int64)), 0.1)


@given(times=MONTHS, end=st.integers(0, 201 * DAY), share=SHARES, n_folds=st.integers(1, 6))
def test_folds_are_consecutive_and_hold_their_share(times: list[int], end: int, share: float, n_folds: int) -> None:
    """The last fold ends at `end`, each holds at least the share of the plays before, at most twice as much or one time too many, and
    something lies before the first; plays from `end` on change nothing."""
    timeline, plays = Timeline.of(np.array(times)), np.sort(times)
    folds = folds_before(timeline, end, share, n_folds)
    assert folds == folds_before(timeline.before(end), end, share, n_folds)
    assert len(folds) <= n_folds
    assert not folds or folds[-1].end == end
    assert all(left.end == right.start for left, right in pairwise(folds))
    wanted = share * _plays(plays, -1, end)
    for fold in folds:
        held = _plays(plays, fold.start, fold.end)
        assert wanted <= held <= max(TOLERANCE * wanted, wanted + 1)
        assert _plays(plays, -1, fold.start)


@given(counts=st.lists(st.integers(1, 50), min_size=3, max_size=60), share=SHARES, n_folds=st.integers(1, 6))
def test_folds_of_a_log_with_dates_hold_the_fewest_whole_days(counts: list[int], share: float, n_folds: int) -> None:
    """Where times are days, each fold holds at least its share, and less without its first day."""
    days = np.arange(len(counts)) * DAY
    for fold in folds_before(Timeline.of(days, np.array(counts)), len(counts) * DAY, share, n_folds):
        held = np.array(counts)[(days >= fold.start) & (days < fold.end)]
        assert held[1:].sum() < share * sum(counts) <= held.sum()


@given(sizes=st.lists(st.integers(0, 100), max_size=6), n_users=st.integers(0, 400))
def test_the_latest_folds_suffice_and_none_is_superfluous(sizes: list[int], n_users: int) -> None:
    """They are the end of the list, have n_users users unless all folds have fewer, and without the earliest one they have fewer."""
    folds = [Fold(start, start + 1) for start in range(len(sizes))]
    kept = latest_folds(folds, sizes, n_users)
    assert kept == folds[len(folds) - len(kept):]
    assert len(kept) >= min(2, len(folds))
    assert sum(sizes[len(sizes) - len(kept):]) >= n_users or kept == folds
    assert len(kept) <= 2 or sum(sizes[len(sizes) - len(kept) + 1:]) < n_users


@given(times=st.lists(st.integers(-3 * DAY, 3 * DAY), max_size=40))
def test_a_timeline_counts_plays_by_time_and_by_day(times: list[int]) -> None:
    """Of each time and of each day as many plays as it has, in any order of the log, also before 2000."""
    timeline = Timeline.of(np.array(times, np.int64))
    assert dict(zip(timeline.times.tolist(), timeline.plays.tolist())) == {time: times.count(time) for time in times}
    days = [time // DAY * DAY for time in times]
    by_day = timeline.by_day()
    assert dict(zip(by_day.times.tolist(), by_day.plays.tolist())) == {day: days.count(day) for day in days}
    assert by_day.times.tolist() == sorted(set(days))
