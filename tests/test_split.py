"""Cutoffs, windows and the random hold-out."""

from datetime import date, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from musicrec import split
from musicrec.errors import SourceError, SplitError
from tests.worlds import history, random_world

WORLD = history([], 3).catalogue
ROWS = [(1, 10, "2022-01-01"), (1, 20, "2022-01-03"), (2, 30, "2022-01-02T23:59"), (2, 30, "2022-01-02"), (5, 10, "2022-01-03T00:01")]


def _events(**more: list[float]) -> pa.Table:
    users, items, moments = zip(*ROWS)
    columns = {"user_id": pa.array(users, pa.int32()), "item_id": pa.array(items, pa.int32()),
               "started_at": pa.array([datetime.fromisoformat(m) for m in moments], pa.timestamp("us"))}
    return pa.table({**columns, **more})


@pytest.fixture
def events(tmp_path: Path) -> Path:
    """The rows above as events.parquet."""
    pq.write_table(_events(), tmp_path / "events.parquet", row_group_size=2)
    return tmp_path / "events.parquet"


@given(day=st.dates(date(2000, 1, 1), date(2030, 1, 1)), days=st.integers(1, 40), count=st.integers(1, 8))
def test_windows_touch_and_end_at_the_test(day: date, days: int, count: int) -> None:
    """Windows are equally long, back to back, and the last ends where the future begins."""
    made = split.windows(day, days, count)
    assert len(made) == count
    assert made[-1].end == day
    assert {(window.end - window.start).days for window in made} == {days}
    assert all(left.end == right.start for left, right in pairwise(made))


@given(counts=st.lists(st.integers(1, 50), min_size=3, max_size=60), share=st.floats(0.02, 0.5), count=st.integers(1, 6))
def test_windows_of_share_hold_their_share_in_whole_days(counts: list[int], share: float, count: int) -> None:
    """Back to back up to the test, each holds its share of the plays before, and less without its first day; later days do not count."""
    first, end = date(2021, 1, 1), date(2021, 1, 1) + timedelta(days=len(counts))
    plays = {first + timedelta(days=place): held for place, held in enumerate(counts)}
    made = split.windows_of_share({**plays, end: 10_000}, end, share, count)
    assert made == split.windows_of_share(plays, end, share, count)
    assert len(made) <= count
    assert not made or made[-1].end == end
    assert all(left.end == right.start for left, right in pairwise(made))
    for window in made:
        held = [plays[day] for day in sorted(plays) if window.start <= day < window.end]
        assert sum(held[1:]) < share * sum(counts) <= sum(held)


def test_plays_of_some_users_are_theirs_alone() -> None:
    """Items, weights and minutes of the users asked for, ascending; unknown ids are passed over."""
    world = random_world()
    chosen = world.user_ids[[3, 9]]
    found = split.of_users(world, np.array([*chosen[::-1], -5], np.int32))
    assert found.user_ids.tolist() == chosen.tolist()
    for row, whole in enumerate((3, 9)):
        own, theirs = (slice(*plays.matrix.indptr[at:at + 2]) for plays, at in ((found, row), (world, whole)))
        np.testing.assert_array_equal(found.matrix.indices[own], world.matrix.indices[theirs])
        np.testing.assert_array_equal(found.minutes[own], world.minutes[theirs])


def test_the_cutoff_day_belongs_to_the_future(events: Path) -> None:
    """History ends before the first instant of the cutoff, labels begin with it; together they are all events."""
    past, future = split.history(events, WORLD, date(2022, 1, 3)), split.labels(events, WORLD, date(2022, 1, 3))
    assert past.user_ids.tolist() == [1, 2]
    assert future.user_ids.tolist() == [1, 5]
    assert past.matrix.toarray().tolist() == [[1, 0, 0], [0, 0, 2]]
    assert past.cutoff == (date(2022, 1, 3) - date(1970, 1, 1)).days * 1440
    assert past.minutes.max() < past.cutoff <= future.minutes.min()


def test_labels_end_before_their_end(events: Path) -> None:
    """The end of a window is exclusive."""
    assert split.labels(events, WORLD, date(2022, 1, 2), date(2022, 1, 3)).user_ids.tolist() == [2]


def test_a_table_and_its_file_give_the_same_history(events: Path) -> None:
    """The engine's table and the parquet path are read alike, in whatever order the table lies."""
    shuffled = ibis.memtable(_events().take([4, 2, 0, 3, 1]))
    from_table, from_file = (split.history(source, WORLD, None) for source in (shuffled, events))
    np.testing.assert_array_equal(from_table.matrix.toarray(), from_file.matrix.toarray())
    assert from_table.cutoff == from_file.cutoff == from_file.minutes.max() + 1


def test_played_shares_are_summed_and_a_missing_share_counts_one() -> None:
    """The weight of a pair is the sum of its shares."""
    made = split.history(ibis.memtable(_events(played_share=[0.5, 1.0, 0.25, 0.5, None])), WORLD, None)
    assert made.matrix.toarray().tolist() == [[0.5, 1.0, 0.0], [0.0, 0.0, 0.75], [1.0, 0.0, 0.0]]


@pytest.mark.parametrize(("day", "make"), [(date(2022, 1, 1), split.history), (date(2022, 2, 1), split.labels)])
def test_an_empty_side_is_refused_with_the_span_of_the_events(events: Path, day: date, make: object) -> None:
    """Nothing to learn from and nobody to judge on are sentences that say where the events lie."""
    with pytest.raises(SplitError, match="the events run from 2022-01-01 to 2022-01-03"):
        make(events, WORLD, day)  # type: ignore[operator]


def test_a_missing_file_is_a_sentence(tmp_path: Path) -> None:
    """The path is named."""
    with pytest.raises(SourceError, match=r"none\.parquet cannot be read"):
        split.history(tmp_path / "none.parquet", WORLD, None)


def test_the_holdout_follows_the_stated_rule_draw_by_draw() -> None:
    """Per user max(1, floor(n / 5 + 0.5)) of his items by one generator, user after user; nobody with one item loses it."""
    world = random_world()
    kept, held = split.random_holdout(world, 0.2, seed=3)
    rng, taken = np.random.default_rng(3), {}
    for row, user in enumerate(world.user_ids.tolist()):
        heard = world.matrix[row].indices
        n = max(1, int(np.floor(0.2 * len(heard) + 0.5)))
        taken[user] = set(heard[rng.choice(len(heard), n, replace=False)].tolist()) if len(heard) >= 2 else set()
    assert {user: set(held.matrix[row].indices.tolist()) for row, user in enumerate(held.user_ids.tolist())} == {
        user: items for user, items in taken.items() if items}
    assert kept.matrix.nnz + held.matrix.nnz == world.matrix.nnz
    for row, user in enumerate(kept.user_ids.tolist()):
        assert not set(kept.matrix[row].indices.tolist()) & taken[user]


def test_the_holdout_is_reproducible_and_leaves_its_input_alone() -> None:
    """The same seed gives the same part, another seed another one."""
    world, untouched = random_world(), random_world()
    first, again, other = (split.random_holdout(world, seed=seed)[1] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.matrix.indices, again.matrix.indices)
    assert first.matrix.indices.tolist() != other.matrix.indices.tolist()
    np.testing.assert_array_equal(world.matrix.data, untouched.matrix.data)


def test_a_world_of_single_plays_cannot_be_held_out() -> None:
    """SplitError instead of an empty judgement."""
    with pytest.raises(SplitError, match="no user has two different items"):
        split.random_holdout(history([(1, 0, 1), (2, 1, 1)], 2))
