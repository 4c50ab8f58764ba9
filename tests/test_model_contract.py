"""One contract for every model: a new one is tested by being listed in MODELS."""

import dataclasses

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from musicrec.dataset import TrainSet, interactions
from musicrec.errors import ModelError
from musicrec.models import MODELS, Storable, WithSeenItems
from tests.worlds import DAY, checkerboard, random_world, train_set

pytestmark = pytest.mark.parametrize("name", MODELS)


def _seen(world: TrainSet, row: int) -> set[int]:
    return set(world.matrix[row].indices.tolist()) if row >= 0 else set()


def _everyone(world: TrainSet) -> np.ndarray:
    return np.arange(-1, len(world.user_ids), dtype=np.int32)


@pytest.mark.parametrize("world", [checkerboard(), random_world()], ids=["checkerboard", "random"])
@pytest.mark.parametrize("k", [1, 7, 79, 500])
def test_lists_are_well_formed(name: str, world: TrainSet, k: int) -> None:
    """Shapes, dtypes, order, uniqueness, padding at the end only, nothing seen."""
    rows = _everyone(world)
    items, scores = MODELS[name]().fit(world).recommend(rows, k)
    assert items.shape == scores.shape == (len(rows), k)
    assert items.dtype == np.int32
    assert scores.dtype == np.float32
    for row, its, values in zip(rows, items, scores):
        there = its >= 0
        assert not there[np.argmin(there):].any() or there.all(), "a gap inside a list"
        its, kept = its[there], values[there]
        assert len(set(its.tolist())) == len(its)
        assert its.max(initial=0) < len(world.catalog)
        assert not _seen(world, row) & set(its.tolist())
        assert np.isfinite(kept).all()
        assert (values[~there] == -np.inf).all()
        order = np.lexsort((its, -kept))
        assert (order == np.arange(len(its))).all(), "not by descending score, then ascending item"


def test_fewer_asked_is_a_prefix_of_more_asked(name: str) -> None:
    """The first k of a longer list are the list of length k."""
    fitted, rows = MODELS[name]().fit(random_world()), np.arange(20, dtype=np.int32)
    np.testing.assert_array_equal(fitted.recommend(rows, 30)[0][:, :5], fitted.recommend(rows, 5)[0])


def test_items_beyond_the_bound_count_for_nothing(name: str) -> None:
    """Where only a user's latest items count, an older one changes nothing but that it is not recommended."""
    if "max_items_of_user" not in {one.name for one in dataclasses.fields(MODELS[name])}:
        pytest.skip("the model has no such bound")
    latest, older = [(5, 991), (6, 992), (7, 993)], [(20, 1), (21, 2), (40, 990)]
    others = [(user, item, int(day)) for user in range(30) for item, day in zip((5 + user % 9, 20 + user % 7, 40, 44, user), range(5))]
    plays = [*others, *((user, *play) for user in (98, 99) for play in latest), *((99, *play) for play in older)]
    world = train_set(plays, 45, *([[item // size] for item in range(45)] for size in (9, 5, 3)))
    items, scores = MODELS[name](max_items_of_user=3).fit(world).recommend(np.array([30, 31], np.int32), 45)
    remaining = ~np.isin(items[0], [item for item, _ in older])
    np.testing.assert_array_equal(items[0][remaining][:20], items[1][:20])
    np.testing.assert_array_equal(scores[0][remaining][:20], scores[1][:20])
    assert (items[1] >= 0).any()


def test_a_batch_answers_like_single_users(name: str) -> None:
    """Who else is in the batch changes nothing."""
    world = random_world()
    fitted, rows = MODELS[name]().fit(world), np.array([3, -1, 11, 0], np.int32)
    together = fitted.recommend(rows, 10)[0]
    for place, row in enumerate(rows):
        np.testing.assert_array_equal(fitted.recommend(np.array([row], np.int32), 10)[0][0], together[place])


def test_fitting_twice_gives_the_same_lists(name: str) -> None:
    """Random states are fixed by the settings."""
    rows = np.arange(30, dtype=np.int32)
    first, second = (MODELS[name]().fit(random_world()).recommend(rows, 20) for _ in range(2))
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])


def test_inputs_are_not_changed(name: str) -> None:
    """The train set after fitting and answering is the train set before."""
    world, untouched = random_world(), random_world()
    rows = np.arange(10, dtype=np.int32)
    MODELS[name]().fit(world).recommend(rows, 5)
    for part in ("indptr", "indices", "data"):
        np.testing.assert_array_equal(getattr(world.matrix, part), getattr(untouched.matrix, part))
    np.testing.assert_array_equal(world.last_played, untouched.last_played)
    np.testing.assert_array_equal(rows, np.arange(10))


@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10_000))
def test_order_of_event_rows_does_not_matter(name: str, seed: int) -> None:
    """Shuffled events give the same lists."""
    rng = np.random.default_rng(seed)
    users, items, days = rng.integers(1, 12, 90), rng.integers(0, 15, 90), rng.integers(0, 900, 90)
    lists = []
    for order in (np.arange(90), rng.permutation(90)):
        made = interactions(users[order], items[order], days[order] * DAY, None, 15)
        world = TrainSet(made.user_ids, made.matrix, made.last_played, catalog=train_set([], 15).catalog, cutoff=1000 * DAY)
        lists.append(MODELS[name]().fit(world).recommend(np.arange(len(made.user_ids), dtype=np.int32), 8)[0])
    np.testing.assert_array_equal(*lists)


@pytest.mark.parametrize("rows", [[(1, 0, 5)], [(1, 0, 5), (2, 0, 6)], [(1, 0, 5), (1, 1, 5), (1, 2, 6)]],
                         ids=["one", "one item", "one user"])
def test_tiny_worlds_are_answered(name: str, rows: list[tuple[int, int, int]]) -> None:
    """A single user or item is no error."""
    world = train_set(rows, 3)
    items, _ = MODELS[name]().fit(world).recommend(_everyone(world), 5)
    for row, its in zip(_everyone(world), items):
        assert not _seen(world, row) & set(its[its >= 0].tolist())


def test_an_empty_train_set_is_answered(name: str) -> None:
    """No event at all: lists may be empty, nothing fails."""
    items, scores = MODELS[name]().fit(train_set([], 4)).recommend(np.array([-1], np.int32), 3)
    assert items.shape == scores.shape == (1, 3)


def test_cold_row_of_no_users(name: str) -> None:
    """An empty batch gives an empty answer of width k."""
    items, scores = MODELS[name]().fit(random_world()).recommend(np.empty(0, np.int32), 4)
    assert items.shape == scores.shape == (0, 4)


def test_pairs_of_weight_zero_stay_seen(name: str) -> None:
    """A train set whose weights are partly zero is answered with unseen items only."""
    world, rows = random_world(), np.arange(30, dtype=np.int32)
    world.matrix.data[::3] = 0
    items, scores = MODELS[name]().fit(world).recommend(rows, 10)
    assert np.isfinite(scores[items >= 0]).all()
    for row, its in zip(rows, items):
        assert not _seen(world, row) & set(its.tolist())


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1.0])
def test_weights_that_are_no_numbers_never_reach_a_list(name: str, bad: float) -> None:
    """NaN, infinite and negative weights are refused, or the method does not look at weights and its lists stay the same."""
    world, rows = random_world(), np.arange(30, dtype=np.int32)
    before = MODELS[name]().fit(world).recommend(rows, 10)
    world.matrix.data[::5] = bad
    refused = ""
    try:
        after = MODELS[name]().fit(world).recommend(rows, 10)
    except ModelError as error:
        after, refused = before, str(error)
    assert refused == "" or "weights of the train set" in refused
    np.testing.assert_array_equal(before[0], after[0])
    np.testing.assert_array_equal(before[1], after[1])


def test_no_item_wanted(name: str) -> None:
    """k = 0 gives arrays of width 0."""
    items, scores = MODELS[name]().fit(random_world()).recommend(np.arange(3, dtype=np.int32), 0)
    assert items.shape == scores.shape == (3, 0)


def test_a_model_restored_from_its_arrays_answers_bit_for_bit_the_same(name: str) -> None:
    """Lists of several lengths, and lists with seen items, equal those of the fitted model in items and in every bit of the scores."""
    world, chosen = random_world(), MODELS[name]()
    fitted = chosen.fit(world)
    if not isinstance(fitted, Storable):
        pytest.skip("is fitted again when a recommender is loaded")
    restored = type(fitted).restored(random_world(), chosen, fitted.arrays())
    for k in (3, 50):
        for rows in (_everyone(world), np.array([-1], np.int32)):
            _assert_equal_bits(fitted.recommend(rows, k), restored.recommend(rows, k))
            if isinstance(fitted, WithSeenItems):
                assert isinstance(restored, WithSeenItems)
                _assert_equal_bits(fitted.recommend_with_seen(rows, k), restored.recommend_with_seen(rows, k))


def _assert_equal_bits(first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray]) -> None:
    for one, other in zip(first, second):
        assert one.dtype == other.dtype
        assert one.tobytes() == other.tobytes()


def test_a_model_of_seen_items_recommends_all_of_them_and_nothing_else(name: str) -> None:
    """A class that declares only_seen has no unseen item for anybody, and among seen items exactly those of the user; others have some."""
    world, rows = random_world(), _everyone(random_world())
    fitted, n = MODELS[name]().fit(world), len(world.catalog)
    unseen = fitted.recommend(rows, n)[0] >= 0
    if not getattr(MODELS[name], "only_seen", False):
        assert unseen.any()
        return
    assert not unseen.any()
    assert isinstance(fitted, WithSeenItems)
    items, scores = fitted.recommend_with_seen(rows, n)
    for row, its, values in zip(rows, items, scores):
        kept = its[its >= 0]
        assert sorted(kept.tolist()) == sorted(_seen(world, row))
        assert (np.lexsort((kept, -values[its >= 0])) == np.arange(len(kept))).all()
    np.testing.assert_array_equal(fitted.recommend_with_seen(rows[1:4], 5)[0], items[1:4, :5])


def test_only_lists_with_seen_items_hold_seen_items(name: str) -> None:
    """A model that can keep seen items in its lists gives the best of all items: without the seen ones they are its usual lists."""
    world, rows = random_world(), np.arange(30, dtype=np.int32)
    fitted = MODELS[name]().fit(world)
    if not isinstance(fitted, WithSeenItems):
        pytest.skip("recommends unseen items only")
    items, scores = fitted.recommend_with_seen(rows, len(world.catalog))
    assert any(_seen(world, row) & set(its[its >= 0].tolist()) for row, its in zip(rows, items))
    for row, its, values, usual, expected in zip(rows, items, scores, *fitted.recommend(rows, len(world.catalog))):
        unseen = (its >= 0) & ~np.isin(its, world.matrix[row].indices)
        assert its[unseen].tolist() == usual[usual >= 0].tolist()
        np.testing.assert_array_equal(values[unseen], expected[usual >= 0])
