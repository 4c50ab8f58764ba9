"""The random baseline."""

import numpy as np

from musicrec.models.random import Random
from tests.worlds import random_world, train_set


def test_all_items_are_recommended_once() -> None:
    """A list as long as the catalog is a permutation of the unseen items, for every size of catalog."""
    for n_items in (1, 2, 3, 5, 16, 17, 100):
        items, _ = Random().fit(train_set([], n_items)).recommend(np.array([-1], np.int32), n_items)
        assert sorted(items[0].tolist()) == list(range(n_items))


def test_items_are_recommended_evenly() -> None:
    """Over 3,000 users no item of 40 is first much more or less often than 75 times (chi-square below its 99.99 % point)."""
    world = train_set([(user, 0, 1) for user in range(3000)], 41)
    first = Random().fit(world).recommend(np.arange(3000, dtype=np.int32), 1)[0][:, 0]
    counts = np.bincount(first, minlength=41)[1:]
    assert ((counts - 75) ** 2 / 75).sum() < 80


def test_another_seed_gives_other_lists() -> None:
    """The seed matters, and so does the user."""
    world, rows = random_world(), np.arange(10, dtype=np.int32)
    one, other = (Random(seed).fit(world).recommend(rows, 10)[0] for seed in (0, 1))
    assert not np.array_equal(one, other)
    assert len({tuple(row) for row in one.tolist()}) == 10


def test_the_order_follows_the_user_id_not_the_row() -> None:
    """A user keeps the same list when other users join the train set."""
    alone, joined = train_set([(50, 0, 1)], 30), train_set([(7, 3, 1), (50, 0, 1)], 30)
    one = Random().fit(alone).recommend(np.array([0], np.int32), 9)[0]
    np.testing.assert_array_equal(one, Random().fit(joined).recommend(np.array([1], np.int32), 9)[0])
