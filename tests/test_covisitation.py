"""Covisitation against a plain double loop."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from musicrec.dataset import TrainSet
from musicrec.errors import ModelError
from musicrec.models.covisitation import Covisitation
from tests.worlds import DAY, random_world, train_set


def _brute_force(world: TrainSet, chosen: Covisitation) -> np.ndarray:
    n = len(world.catalog)
    visits = np.zeros((n, n))
    for user in range(len(world.user_ids)):
        row = slice(world.matrix.indptr[user], world.matrix.indptr[user + 1])
        seen = sorted(zip(world.last_played[row].tolist(), world.matrix.indices[row].tolist()))
        for here, (second, item) in enumerate(seen):
            for there, (other_second, other) in enumerate(seen):
                distance = there - here
                if 0 < abs(distance) <= chosen.window:
                    age = (world.cutoff - max(second, other_second)) / DAY
                    decay = 0.5 ** (age / chosen.half_life_days) if chosen.half_life_days else 1
                    fresh = chosen.min_weight + (1 - chosen.min_weight) * decay
                    closeness = 0.5 ** (abs(second - other_second) / DAY / chosen.gap_half_life_days) / abs(distance)
                    visits[item, other] += (1 if distance > 0 else chosen.backward) * fresh * closeness
    counts = np.maximum(world.n_listeners, 1) ** chosen.normalization
    return visits / np.outer(counts, counts)


@settings(max_examples=12)
@given(seed=st.integers(0, 1000), window=st.integers(1, 6), backward=st.sampled_from([0.0, 0.3, 1.0]),
       half_life=st.sampled_from([0.0, 200.0]), normalization=st.sampled_from([0.0, 0.5]))
def test_visits_are_those_of_a_plain_loop(seed: int, window: int, backward: float, half_life: float, normalization: float) -> None:
    """Every visit equals the double loop over each user's items in order of time, then item."""
    world = random_world(seed, 15, 20, 150)
    chosen = Covisitation(window, backward, 50, normalization, neighbors=20, half_life_days=half_life)
    np.testing.assert_allclose(chosen.fit(world).similarity.toarray(), _brute_force(world, chosen), rtol=1e-4, atol=1e-7)


def test_what_follows_at_once_comes_first() -> None:
    """Of two tracks seen by the same user, the next one is closer than the one after it."""
    world = train_set([(1, 0, 1), (1, 2, 2), (1, 1, 3), (2, 0, 5), (3, 1, 1)], 3)
    assert Covisitation(normalization=0).fit(world).recommend(np.array([1], np.int32), 2)[0].tolist() == [[2, 1]]


def test_without_backward_only_followers_are_recommended() -> None:
    """backward 0 does not lead from a track to the one before it."""
    world = train_set([(1, 0, 1), (1, 1, 2), (1, 2, 3), (2, 1, 5)], 3)
    assert Covisitation(backward=0).fit(world).recommend(np.array([1], np.int32), 2)[0].tolist() == [[2, -1]]


@pytest.mark.parametrize("bad", [{"window": 0}, {"backward": -1}, {"gap_half_life_days": 0}, {"normalization": float("nan")}])
def test_settings_out_of_range_are_refused(bad: dict[str, float]) -> None:
    """The message names the setting."""
    with pytest.raises(ModelError, match=next(iter(bad))):
        Covisitation(**bad).fit(random_world())  # type: ignore[arg-type]
