"""One contract for every candidate generator: a new one is tested by being listed in GENERATORS."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from musicrec.candidates import GENERATORS
from musicrec.errors import GeneratorError
from musicrec.matrix import History, plays
from tests.worlds import DAY, checkerboard, history, random_world

pytestmark = pytest.mark.parametrize("name", GENERATORS)


def _heard(world: History, row: int) -> set[int]:
    return set(world.matrix[row].indices.tolist()) if row >= 0 else set()


def _everyone(world: History) -> np.ndarray:
    return np.arange(-1, len(world.user_ids), dtype=np.int32)


@pytest.mark.parametrize("world", [checkerboard(), random_world()], ids=["checkerboard", "random"])
@pytest.mark.parametrize("k", [1, 7, 79, 500])
def test_lists_are_well_formed(name: str, world: History, k: int) -> None:
    """Shapes, dtypes, order, uniqueness, padding at the end only, nothing heard."""
    rows = _everyone(world)
    items, scores = GENERATORS[name]().fit(world).recommend(rows, k)
    assert items.shape == scores.shape == (len(rows), k)
    assert items.dtype == np.int32
    assert scores.dtype == np.float32
    for row, its, values in zip(rows, items, scores):
        there = its >= 0
        assert not there[np.argmin(there):].any() or there.all(), "a gap inside a list"
        its, kept = its[there], values[there]
        assert len(set(its.tolist())) == len(its)
        assert its.max(initial=0) < len(world.catalogue)
        assert not _heard(world, row) & set(its.tolist())
        assert np.isfinite(kept).all()
        assert (values[~there] == -np.inf).all()
        order = np.lexsort((its, -kept))
        assert (order == np.arange(len(its))).all(), "not by descending score, then ascending item"


def test_fewer_asked_is_a_prefix_of_more_asked(name: str) -> None:
    """The first k of a longer list are the list of length k."""
    fitted, rows = GENERATORS[name]().fit(random_world()), np.arange(20, dtype=np.int32)
    np.testing.assert_array_equal(fitted.recommend(rows, 30)[0][:, :5], fitted.recommend(rows, 5)[0])


def test_a_batch_answers_like_single_users(name: str) -> None:
    """Who else is in the batch changes nothing."""
    world = random_world()
    fitted, rows = GENERATORS[name]().fit(world), np.array([3, -1, 11, 0], np.int32)
    together = fitted.recommend(rows, 10)[0]
    for place, row in enumerate(rows):
        np.testing.assert_array_equal(fitted.recommend(np.array([row], np.int32), 10)[0][0], together[place])


def test_fitting_twice_gives_the_same_lists(name: str) -> None:
    """Seeds are fixed."""
    rows = np.arange(30, dtype=np.int32)
    first, second = (GENERATORS[name]().fit(random_world()).recommend(rows, 20) for _ in range(2))
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])


def test_inputs_are_not_changed(name: str) -> None:
    """The history after fitting and answering is the history before."""
    world, untouched = random_world(), random_world()
    rows = np.arange(10, dtype=np.int32)
    GENERATORS[name]().fit(world).recommend(rows, 5)
    for part in ("indptr", "indices", "data"):
        np.testing.assert_array_equal(getattr(world.matrix, part), getattr(untouched.matrix, part))
    np.testing.assert_array_equal(world.minutes, untouched.minutes)
    np.testing.assert_array_equal(rows, np.arange(10))


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10_000))
def test_order_of_event_rows_does_not_matter(name: str, seed: int) -> None:
    """Shuffled events give the same lists."""
    rng = np.random.default_rng(seed)
    users, items, days = rng.integers(1, 12, 90), rng.integers(0, 15, 90), rng.integers(0, 900, 90)
    lists = []
    for order in (np.arange(90), rng.permutation(90)):
        made = plays(users[order], items[order], days[order] * DAY, None, 15)
        world = History(made.user_ids, made.matrix, made.minutes, history([], 15).catalogue, 1000 * DAY)
        lists.append(GENERATORS[name]().fit(world).recommend(np.arange(len(made.user_ids), dtype=np.int32), 8)[0])
    np.testing.assert_array_equal(*lists)


@pytest.mark.parametrize("rows", [[(1, 0, 5)], [(1, 0, 5), (2, 0, 6)], [(1, 0, 5), (1, 1, 5), (1, 2, 6)]],
                         ids=["one", "one item", "one user"])
def test_tiny_worlds_are_answered(name: str, rows: list[tuple[int, int, int]]) -> None:
    """A single user or item is no error."""
    world = history(rows, 3)
    items, _ = GENERATORS[name]().fit(world).recommend(_everyone(world), 5)
    for row, its in zip(_everyone(world), items):
        assert not _heard(world, row) & set(its[its >= 0].tolist())


def test_an_empty_history_is_answered(name: str) -> None:
    """No event at all: lists may be empty, nothing fails."""
    items, scores = GENERATORS[name]().fit(history([], 4)).recommend(np.array([-1], np.int32), 3)
    assert items.shape == scores.shape == (1, 3)


def test_cold_row_of_no_users(name: str) -> None:
    """An empty batch gives an empty answer of width k."""
    items, scores = GENERATORS[name]().fit(random_world()).recommend(np.empty(0, np.int32), 4)
    assert items.shape == scores.shape == (0, 4)


def test_pairs_of_weight_zero_stay_heard(name: str) -> None:
    """A history whose weights are partly zero is answered, and none of its items is offered."""
    world, rows = random_world(), np.arange(30, dtype=np.int32)
    world.matrix.data[::3] = 0
    items, scores = GENERATORS[name]().fit(world).recommend(rows, 10)
    assert np.isfinite(scores[items >= 0]).all()
    for row, its in zip(rows, items):
        assert not _heard(world, row) & set(its.tolist())


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1.0])
def test_weights_that_are_no_numbers_never_reach_a_list(name: str, bad: float) -> None:
    """NaN, infinite and negative weights are refused, or the method does not look at weights and its lists stay the same."""
    world, rows = random_world(), np.arange(30, dtype=np.int32)
    before = GENERATORS[name]().fit(world).recommend(rows, 10)
    world.matrix.data[::5] = bad
    refused = ""
    try:
        after = GENERATORS[name]().fit(world).recommend(rows, 10)
    except GeneratorError as error:
        after, refused = before, str(error)
    assert refused == "" or "weights of the history" in refused
    np.testing.assert_array_equal(before[0], after[0])
    np.testing.assert_array_equal(before[1], after[1])


def test_no_item_wanted(name: str) -> None:
    """k = 0 gives arrays of width 0."""
    items, scores = GENERATORS[name]().fit(random_world()).recommend(np.arange(3, dtype=np.int32), 0)
    assert items.shape == scores.shape == (3, 0)
