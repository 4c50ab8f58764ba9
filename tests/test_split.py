"""Splits of a log by time, by users and at random."""

from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from musicrec.dataset import Dataset, Interactions, TrainSet, catalog, interactions, of_users, random_holdout, second, train_set_of_users
from musicrec.dataset.events import whole_users
from musicrec.errors import SourceError, SplitError
from tests.worlds import random_world, train_set

WORLD = train_set([], 3).catalog
ROWS = [(1, 10, "2022-01-01"), (1, 20, "2022-01-03"), (2, 30, "2022-01-02"), (2, 30, "2022-01-02T23:59"), (5, 10, "2022-01-03T00:01")]


def _table(rows: list[tuple[int, int, datetime]]) -> pa.Table:
    users, items, moments = zip(*rows) if rows else ((), (), ())
    return pa.table({"user_id": pa.array(users, pa.int32()), "item_id": pa.array(items, pa.int32()),
                     "started_at": pa.array(moments, pa.timestamp("us"))})


def _events(**more: list[Any]) -> pa.Table:
    table = _table([(user, item, datetime.fromisoformat(moment)) for user, item, moment in ROWS])
    for name, values in more.items():
        table = table.append_column(name, [values])
    return table


def _written(table: pa.Table, folder: Path, row_group_size: int = 2) -> Path:
    pq.write_table(table, folder / "events.parquet", row_group_size=row_group_size)
    return folder / "events.parquet"


@pytest.fixture
def events(tmp_path: Path) -> Path:
    """The rows above as events.parquet."""
    return _written(_events(), tmp_path)


def _day(text: str) -> int:
    return second(datetime.fromisoformat(text))


def _plays(made: Interactions) -> set[tuple[int, int, int]]:
    """(user id, column, time) of every play."""
    indptr, items, times = made.sequences(np.arange(len(made.user_ids), dtype=np.int32))
    return set(zip(np.repeat(made.user_ids, np.diff(indptr)).tolist(), items.tolist(), times.tolist()))


def _repeated_world(seed: int = 0) -> TrainSet:
    """A random train set of 40 users and 12 items in which most pairs are played several times."""
    rng = np.random.default_rng(seed)
    made = interactions(rng.integers(1, 41, 1500), rng.integers(0, 12, 1500), rng.permutation(100_000)[:1500], None, 12)
    return TrainSet(made.user_ids, made.matrix, made.last_played, made.repeats, catalog=train_set([], 12).catalog, cutoff=100_000)


def test_the_cutoff_belongs_to_the_test_set(events: Path) -> None:
    """The train set ends before the cutoff, the test set begins with it; together they are all plays."""
    train, test = Dataset(events, WORLD).split(_day("2022-01-03"), new_items=True)
    assert train.user_ids.tolist() == [1, 2]
    assert test.user_ids.tolist() == [1, 5]
    assert train.matrix.toarray().tolist() == [[1, 0, 0], [0, 0, 2]]
    assert train.cutoff == _day("2022-01-03")
    assert train.last_played.max() < train.cutoff <= test.last_played.min()
    assert train.matrix.sum() + test.matrix.sum() == len(ROWS)


def test_a_test_set_ends_before_its_end(events: Path) -> None:
    """The end of a test set is exclusive."""
    assert Dataset(events, WORLD).split(_day("2022-01-02"), _day("2022-01-03"))[1].user_ids.tolist() == [2]


def test_a_table_and_its_file_give_the_same_train_set(events: Path) -> None:
    """A table of the engine, in any order, and the parquet file give the same plays and times."""
    shuffled = ibis.memtable(_events().take([4, 2, 0, 3, 1]))
    from_table, from_file = (Dataset(source, WORLD).train_set() for source in (shuffled, events))
    np.testing.assert_array_equal(from_table.matrix.toarray(), from_file.matrix.toarray())
    assert _plays(from_table) == _plays(from_file)
    assert from_table.cutoff == from_file.cutoff == from_file.last_played.max() + 1


def test_an_empty_train_set_is_refused_with_the_span_of_the_log(events: Path) -> None:
    """The message has the first and the last time of the log."""
    with pytest.raises(SplitError, match=r"2022-01-01 00:00:00, so .* \(from 2022-01-01 00:00:00 to 2022-01-03 00:01:00\)\."):
        Dataset(events, WORLD).train_set(_day("2022-01-01"))


def test_a_test_set_may_be_empty(events: Path) -> None:
    """A cutoff after the last play leaves a test set without users."""
    train, test = Dataset(events, WORLD).split(_day("2022-02-01"))
    assert len(train.user_ids) == 3
    assert len(test.user_ids) == 0


def test_a_missing_file_is_a_sentence(tmp_path: Path) -> None:
    """The path is named."""
    with pytest.raises(SourceError, match=r"none\.parquet cannot be read"):
        Dataset(tmp_path / "none.parquet", WORLD).train_set()


PLAYS_OF_SECONDS = st.lists(st.tuples(st.integers(1, 3), st.integers(0, 9), st.sampled_from([10, 20, 30])), min_size=1, max_size=40)
START = datetime(2022, 1, 1)


@settings(max_examples=60)
@given(plays=PLAYS_OF_SECONDS, cut=st.integers(1, 10))
def test_plays_of_a_second_keep_their_order_and_their_side(plays: list[tuple[int, int, int]], cut: int,
                                                           tmp_path_factory: pytest.TempPathFactory) -> None:
    """A play is in the train set exactly where its logged second lies before the cutoff, and the plays of a user there follow each other
    in the order of events.parquet, at least a second apart and before the cutoff."""
    plays = sorted(plays, key=lambda play: play[:2])
    path = _written(_table([(user, item, START + timedelta(seconds=at)) for user, at, item in plays]), tmp_path_factory.mktemp("log"))
    before = [play for play in plays if play[1] < cut]
    if not before:
        with pytest.raises(SplitError):
            Dataset(path, WORLD).train_set(second(START) + cut)
        return
    train, test = Dataset(path, WORLD).split(second(START) + cut, new_items=True)
    for made, logged in ((train, before), (test, [play for play in plays if play[1] >= cut])):
        indptr, items, times = made.sequences(np.arange(len(made.user_ids), dtype=np.int32))
        assert made.user_ids.tolist() == sorted({user for user, _, _ in logged})
        for row, user in enumerate(made.user_ids.tolist()):
            own = slice(indptr[row], indptr[row + 1])
            assert WORLD.item_ids[items[own]].tolist() == [item for one, _, item in logged if one == user]
            assert (np.diff(times[own]) >= 1).all()
    assert train.last_played.max() < train.cutoff
    assert not len(test.user_ids) or test.first_played.min() >= train.cutoff


@given(users=st.lists(st.integers(0, 5), max_size=30), cuts=st.lists(st.integers(0, 30), max_size=8))
def test_batches_are_regrouped_so_that_no_user_is_divided(users: list[int], cuts: list[int]) -> None:
    """However a table is cut into batches, the regrouped tables hold the same rows and share no user."""
    table = pa.table({"user_id": pa.array(sorted(users), pa.int32()), "row": pa.array(range(len(users)), pa.int32())})
    edges = [0, *sorted(min(cut, len(users)) for cut in cuts), len(users)]
    batches = [batch for start, end in pairwise(edges) for batch in table.slice(start, end - start).to_batches()]
    regrouped = list(whole_users(batches))
    assert [row for part in regrouped for row in part["row"].to_pylist()] == list(range(len(users)))
    owners = [user for part in regrouped for user in set(part["user_id"].to_pylist())]
    assert len(owners) == len(set(owners)) == len(set(users))


LATER = [(1, 20, datetime(2022, 1, 1)), (1, 10, datetime(2022, 2, 1)), (1, 20, datetime(2022, 2, 2)), (2, 30, datetime(2022, 2, 1))]


def test_items_of_later_are_no_columns_of_the_train_set(tmp_path: Path) -> None:
    """The train set has the item played before the cutoff as its only column; in the test set it comes first, then the others by id."""
    train, test = Dataset(_written(_table(LATER), tmp_path), WORLD).split(_day("2022-01-15"))
    assert train.item_ids.tolist() == [20]
    assert train.matrix.toarray().tolist() == [[1]]
    assert test.matrix.toarray().tolist() == [[1, 1, 0], [0, 0, 1]]
    assert _plays(test) == {(1, 0, _day("2022-02-02")), (1, 1, _day("2022-02-01")), (2, 2, _day("2022-02-01"))}


def test_an_unplayed_item_that_was_added_before_the_cutoff_is_there(tmp_path: Path) -> None:
    """Of three items without a play before the cutoff the one dated before it is a column, the one dated later and the undated one are
    none; a played item is one whatever its date."""
    moments = [datetime(2022, 1, 14), datetime(2022, 3, 1), datetime(2022, 1, 15), None]
    dated = catalog(pa.table({"item_id": [10, 20, 30, 40], **{f"{name}_ids": [[1]] * 4 for name in ("genre", "artist", "album")},
                              "added_at": pa.array(moments, pa.timestamp("us"))}))
    assert Dataset(_written(_table(LATER), tmp_path), dated).train_set(_day("2022-01-15")).item_ids.tolist() == [10, 20]


def test_all_items_are_there_where_new_ones_are_wanted(tmp_path: Path) -> None:
    """With new_items=True train set and test set have the whole catalog as columns, in its order."""
    train, test = Dataset(_written(_table(LATER), tmp_path), WORLD).split(_day("2022-01-15"), new_items=True)
    assert train.catalog is WORLD
    assert train.matrix.toarray().tolist() == [[0, 1, 0]]
    assert test.matrix.toarray().tolist() == [[1, 1, 0], [0, 0, 1]]


def _arrays(train: TrainSet) -> dict[str, np.ndarray]:
    matrices = {"matrix": train.matrix, "genres": train.catalog.genres, "artists": train.catalog.artists, "albums": train.catalog.albums}
    parts = ("indptr", "indices", "data", "shape")
    arrays = {f"{name}.{part}": getattr(matrix, part) for name, matrix in matrices.items() for part in parts}
    repeats = {part: getattr(train.repeats, part) for part in ("pairs", "starts", "times")}
    return {**arrays, **repeats, "users": train.user_ids, "items": train.item_ids, "last": train.last_played}


@pytest.mark.parametrize("later", [[], [[5], [9], [7]], [[1, 2, 3], [], [4]]], ids=["same names", "other names", "more names"])
def test_the_catalog_row_of_a_later_item_changes_nothing(later: list[list[int]], tmp_path: Path) -> None:
    """Whether items that are first played after the cutoff are in the catalog, and with which names, changes no array of the train set."""
    def made(rows: list[tuple[int, list[list[int]]]], name: str) -> TrainSet:
        ids, names = zip(*rows)
        lists = {f"{kind}_ids": pa.array([of_item[place] for of_item in names], pa.list_(pa.int64()))
                 for place, kind in enumerate(("genre", "artist", "album"))}
        plays = [play for play in LATER if play[1] in ids]
        (tmp_path / name).mkdir()
        items = catalog(pa.table({"item_id": pa.array(ids, pa.int32()), **lists}))
        return Dataset(_written(_table(plays), tmp_path / name), items).train_set(_day("2022-02-01"))

    known = [(20, [[1, 3], [2], [4]])]
    plain, other = made([*known], "plain"), made([(10, later or [[1], [2], [4]]), *known, (30, later or [[3], [2], [4]])], "other")
    for name, array in _arrays(plain).items():
        np.testing.assert_array_equal(array, _arrays(other)[name], err_msg=name)


def test_interactions_of_some_users_are_theirs() -> None:
    """Items, weights and all plays of the users asked for, ascending; unknown ids are ignored."""
    world = random_world()
    chosen = world.user_ids[[3, 9]]
    found = of_users(world, np.array([*chosen[::-1], -5], np.int32))
    assert found.user_ids.tolist() == chosen.tolist()
    np.testing.assert_array_equal(found.matrix.toarray(), world.matrix.toarray()[[3, 9]])
    for row, whole in enumerate((3, 9)):
        own, theirs = (slice(*made.matrix.indptr[at:at + 2]) for made, at in ((found, row), (world, whole)))
        np.testing.assert_array_equal(found.last_played[own], world.last_played[theirs])


@given(seed=st.integers(0, 1000), n=st.integers(0, 40))
def test_repeats_survive_a_choice_of_users(seed: int, n: int) -> None:
    """of_users and train_set_of_users keep every play of the chosen users, at its time, and no other."""
    world = _repeated_world(seed)
    chosen = np.random.default_rng(seed).permutation(world.user_ids)[:n]
    expected = {play for play in _plays(world) if play[0] in chosen}
    assert _plays(of_users(world, chosen)) == _plays(train_set_of_users(world, chosen)) == expected
    assert len(expected) == of_users(world, chosen).n_plays.sum()


@given(seed=st.integers(0, 1000))
def test_repeats_survive_a_random_holdout(seed: int) -> None:
    """Every play of the whole is in one of the two parts, at its time, and the plays of a pair stay together."""
    world = _repeated_world(seed)
    kept, held = random_holdout(world, seed=seed)
    new = np.setdiff1d(world.item_ids, kept.item_ids)
    columns = np.searchsorted(world.item_ids, np.concatenate([kept.item_ids, new]))
    parts = [{(user, int(columns[column]), time) for user, column, time in _plays(made)} for made in (kept, held)]
    assert parts[0] | parts[1] == _plays(world)
    assert not {play[:2] for play in parts[0]} & {play[:2] for play in parts[1]}


def test_repeats_survive_moved_columns(tmp_path: Path) -> None:
    """A pair that is played three times in the test set has its three plays there, though its column moves behind another one."""
    later = [(1, item, datetime(2022, 2, day)) for day, item in ((1, 10), (2, 20), (3, 10), (4, 20), (5, 10))]
    _, test = Dataset(_written(_table([LATER[0], *later]), tmp_path), WORLD).split(_day("2022-01-15"))
    assert test.matrix.toarray().tolist() == [[2, 3, 0]]
    assert _plays(test) == {(1, column, _day(f"2022-02-0{day}")) for day, column in ((1, 1), (2, 0), (3, 1), (4, 0), (5, 1))}


def test_the_holdout_follows_the_stated_rule_draw_by_draw() -> None:
    """Per user max(1, floor(n / 5 + 0.5)) of their items by one generator, user after user; nobody with one item loses it."""
    world = random_world()
    kept, held = random_holdout(world, 0.2, seed=3)
    ids = np.concatenate([kept.item_ids, np.setdiff1d(world.item_ids, kept.item_ids)])
    rng, taken = np.random.default_rng(3), {}
    for row, user in enumerate(world.user_ids.tolist()):
        seen = world.matrix[row].indices
        n = max(1, int(np.floor(0.2 * len(seen) + 0.5)))
        taken[user] = set(world.item_ids[seen[rng.choice(len(seen), n, replace=False)]].tolist()) if len(seen) >= 2 else set()
    assert {user: set(ids[held.matrix[row].indices].tolist()) for row, user in enumerate(held.user_ids.tolist())} == {
        user: items for user, items in taken.items() if items}
    assert kept.matrix.nnz + held.matrix.nnz == world.matrix.nnz
    for row, user in enumerate(kept.user_ids.tolist()):
        assert not set(kept.item_ids[kept.matrix[row].indices].tolist()) & taken[user]


def test_the_holdout_is_reproducible_and_leaves_its_input_unchanged() -> None:
    """The same seed gives the same part, another seed another one."""
    world, untouched = random_world(), random_world()
    first, again, other = (random_holdout(world, seed=seed)[1] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.matrix.indices, again.matrix.indices)
    assert first.matrix.indices.tolist() != other.matrix.indices.tolist()
    np.testing.assert_array_equal(world.matrix.data, untouched.matrix.data)
    np.testing.assert_array_equal(world.matrix.indices, untouched.matrix.indices)


def test_users_with_one_item_each_cannot_be_held_out() -> None:
    """SplitError instead of an empty test set."""
    with pytest.raises(SplitError, match="no user has two different items"):
        random_holdout(train_set([(1, 0, 1), (2, 1, 1)], 2))
