"""One contract for every feature group: a new one is tested by being listed in FEATURES."""

import numpy as np
import pytest

from musicrec.dataset import TrainSet, interactions
from musicrec.features import FEATURES
from musicrec.models import Storable
from tests.worlds import DAY, random_world, train_set

pytestmark = pytest.mark.parametrize("name", FEATURES)


def _all_pairs(world: TrainSet) -> tuple[np.ndarray, np.ndarray]:
    users = np.arange(-1, len(world.user_ids), dtype=np.int32)
    items = np.arange(len(world.catalog), dtype=np.int32)
    return np.repeat(users, len(items)), np.tile(items, len(users))


def test_values_are_one_float_a_pair_and_name(name: str) -> None:
    """Shape (m, names) and float32, also for the cold user and for no pairs at all."""
    fitted = FEATURES[name]().fit(random_world())
    users, items = _all_pairs(random_world())
    values = fitted.values(users, items)
    assert fitted.names == FEATURES[name].names
    assert values.shape == (len(users), len(fitted.names))
    assert values.dtype == np.float32
    assert not np.isinf(values).any()
    assert fitted.values(users[:0], items[:0]).shape == (0, len(fitted.names))


def test_values_depend_on_the_key_alone(name: str) -> None:
    """Item features are the same for all users, user features for all items."""
    world = random_world()
    users, items = _all_pairs(world)
    values = FEATURES[name]().fit(world).values(users, items).reshape(len(world.user_ids) + 1, len(world.catalog), -1)
    if FEATURES[name].key == "item":
        np.testing.assert_array_equal(values, np.broadcast_to(values[:1], values.shape))
    elif FEATURES[name].key == "user":
        np.testing.assert_array_equal(values, np.broadcast_to(values[:, :1], values.shape))
    else:
        assert FEATURES[name].key == "user x item"


def test_order_of_pairs_does_not_matter(name: str) -> None:
    """Shuffled pairs give shuffled values."""
    fitted = FEATURES[name]().fit(random_world())
    users, items = _all_pairs(random_world())
    order = np.random.default_rng(0).permutation(len(users))
    np.testing.assert_array_equal(fitted.values(users[order], items[order]), fitted.values(users, items)[order])


def test_order_of_events_does_not_matter(name: str) -> None:
    """Shuffled event rows give the same values."""
    rng = np.random.default_rng(1)
    users, items, days = rng.integers(1, 12, 90), rng.integers(0, 15, 90), rng.integers(0, 900, 90)
    found = []
    for order in (np.arange(90), rng.permutation(90)):
        made = interactions(users[order], items[order], days[order] * DAY, None, 15)
        world = TrainSet(made.user_ids, made.matrix, made.last_played, catalog=train_set([], 15).catalog, cutoff=1000 * DAY)
        found.append(FEATURES[name]().fit(world).values(*_all_pairs(world)))
    np.testing.assert_array_equal(*found)


def test_inputs_are_not_changed(name: str) -> None:
    """The train set after fitting and asking is the train set before."""
    world, untouched = random_world(), random_world()
    FEATURES[name]().fit(world).values(*_all_pairs(world))
    for part in ("indptr", "indices", "data"):
        np.testing.assert_array_equal(getattr(world.matrix, part), getattr(untouched.matrix, part))
        for links in ("genres", "artists", "albums"):
            before, after = (getattr(getattr(one.catalog, links), part) for one in (untouched, world))
            np.testing.assert_array_equal(after, before)
    np.testing.assert_array_equal(world.last_played, untouched.last_played)


@pytest.mark.parametrize("rows", [[], [(1, 0, 5)], [(1, 0, 5), (1, 1, 5), (2, 0, 6)]], ids=["none", "one", "three"])
def test_tiny_worlds_are_answered(name: str, rows: list[tuple[int, int, int]]) -> None:
    """No play, or one, is no error and gives no infinities."""
    world = train_set(rows, 3)
    assert not np.isinf(FEATURES[name]().fit(world).values(*_all_pairs(world))).any()


def test_items_without_names_are_answered(name: str) -> None:
    """A track without artist, album and genre has values, if only NaN and 0."""
    world = train_set([(1, 0, 5), (1, 1, 6), (2, 1, 7)], 3, [[0], [], []], [[0], [], []], [[0], [], []])
    assert not np.isinf(FEATURES[name]().fit(world).values(*_all_pairs(world))).any()


def test_names_are_used_once(name: str) -> None:
    """No two groups share a column name."""
    others = {column for other, group in FEATURES.items() if other != name for column in group.names}
    assert not others & set(FEATURES[name].names)
    assert len(set(FEATURES[name].names)) == len(FEATURES[name].names)


def test_a_group_restored_from_its_arrays_has_bit_for_bit_the_same_values(name: str) -> None:
    """The values of all pairs, cold user included, equal those of the fitted group in every bit."""
    world, chosen = random_world(), FEATURES[name]()
    fitted = chosen.fit(world)
    if not isinstance(fitted, Storable):
        pytest.skip("is fitted again when a recommender is loaded")
    restored = type(fitted).restored(random_world(), chosen, fitted.arrays())
    assert restored.names == fitted.names
    assert restored.values(*_all_pairs(world)).tobytes() == fitted.values(*_all_pairs(world)).tobytes()
