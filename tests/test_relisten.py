"""Relisten against a plain loop over the plays of each user."""

import math

import numpy as np
import pytest

from musicrec.dataset import DAY, TrainSet, interactions
from musicrec.errors import ModelError
from musicrec.models import Relisten
from tests.worlds import train_set


def world(seed: int = 0, n_users: int = 25, n_items: int = 12, n_plays: int = 600) -> tuple[TrainSet, list[tuple[int, int, int]]]:
    """A train set in which most pairs are repeated, and its plays (user id, item index, second)."""
    rng = np.random.default_rng(seed)
    users, items, seconds = rng.integers(1, n_users, n_plays), rng.integers(0, n_items, n_plays), rng.integers(0, 900 * DAY, n_plays)
    made = interactions(users, items, seconds, None, n_items)
    train = TrainSet(made.user_ids, made.matrix, made.last_played, made.repeats, catalog=train_set([], n_items).catalog, cutoff=900 * DAY)
    return train, list(zip(users.tolist(), items.tolist(), seconds.tolist()))


@pytest.mark.parametrize("decay", [0.1, 0.5, 1.7])
def test_activation_is_that_of_a_loop_over_all_plays(decay: float) -> None:
    """Every own item has ln of the sum of age ** -decay as its score, and the highest comes first."""
    train, plays = world()
    assert len(train.repeats.pairs) > 100
    items, scores = Relisten(decay).fit(train).recommend_with_seen(np.arange(len(train.user_ids), dtype=np.int32), 12)
    for user, its, values in zip(train.user_ids.tolist(), items, scores):
        total: dict[int, float] = {}
        for one, item, second in plays:
            if one == user:
                total[item] = total.get(item, 0.0) + (train.cutoff - second) ** -decay
        expected = sorted(total, key=lambda item: -total[item])
        assert its[its >= 0].tolist() == expected
        np.testing.assert_allclose(values[its >= 0], [math.log(total[item]) for item in expected], rtol=2e-5)


def test_decay_weighs_often_against_lately() -> None:
    """Ten plays of long ago come before one of yesterday with a small decay, behind it with a large one."""
    rows = [(1, 0, day) for day in range(10)] + [(1, 1, 999)]
    train = train_set(rows, 2)
    first = {decay: int(Relisten(decay).fit(train).recommend_with_seen(np.zeros(1, np.int32), 1)[0][0, 0]) for decay in (0.1, 2.0)}
    assert first == {0.1: 0, 2.0: 1}


def test_what_was_skipped_is_not_offered_again() -> None:
    """In a log with feedback an item of the user's own that is not relevant is in no list."""
    train = train_set([(1, 0, 5), (1, 1, 6), (2, 1, 7)], 3)
    train = TrainSet(train.user_ids, train.matrix, train.last_played, train.repeats, np.array([0.1, 0.9, 0.2], np.float32),
                     catalog=train.catalog, cutoff=train.cutoff)
    assert Relisten().fit(train).recommend_with_seen(np.array([0, 1, -1], np.int32), 2)[0].tolist() == [[1, -1], [-1, -1], [-1, -1]]


@pytest.mark.parametrize("decay", [0.0, -1.0, float("nan"), float("inf")])
def test_a_decay_that_is_not_above_zero_is_refused(decay: float) -> None:
    """The message has the value."""
    with pytest.raises(ModelError, match="decay of relisten is"):
        Relisten(decay).fit(world()[0])
