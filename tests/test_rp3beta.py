"""RP3beta against dense matrices of transition probabilities."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from musicrec.dataset import TrainSet
from musicrec.errors import ModelError
from musicrec.models import RP3Beta
from tests.worlds import random_world


def _walks(world: TrainSet, alpha: float, beta: float) -> np.ndarray:
    weights = world.matrix.toarray().astype(np.float64)
    item_to_user = (weights / np.maximum(weights.sum(axis=0), 1)).T ** alpha
    user_to_item = (weights / np.maximum(weights.sum(axis=1, keepdims=True), 1)) ** alpha
    item_to_user[weights.T == 0] = user_to_item[weights == 0] = 0  # 0 ** 0 is 1
    walks = item_to_user @ user_to_item / np.maximum(world.n_listeners, 1) ** beta
    np.fill_diagonal(walks, 0)
    return walks


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 1000), alpha=st.sampled_from([0.0, 0.5, 1.0, 1.7]), beta=st.sampled_from([0.0, 0.6, 1.0]))
def test_similarities_are_those_of_dense_matrices(seed: int, alpha: float, beta: float) -> None:
    """Every kept value is the product of two matrices of probabilities, divided by listeners ** beta."""
    world = random_world(seed, 15, 20, 150)
    found = RP3Beta(alpha=alpha, beta=beta).fit(world).similarity.toarray()
    np.testing.assert_allclose(found, _walks(world, alpha, beta), rtol=1e-4, atol=1e-7)


def test_scores_are_sums_over_the_items_of_the_user() -> None:
    """Without decay a score is the row of the dense product, seen items left out."""
    world = random_world(3, 15, 20, 150)
    items, scores = RP3Beta(half_life_days=0).fit(world).recommend(np.arange(15, dtype=np.int32), 20)
    dense = world.matrix.toarray() @ _walks(world, 1.0, 0.6)
    for row in range(15):
        there = items[row] >= 0
        np.testing.assert_allclose(scores[row][there], dense[row][items[row][there]], rtol=1e-4)


def test_beta_prefers_rare_items() -> None:
    """With more penalty on listeners, the items of the lists have fewer of them."""
    world = random_world()
    listeners = [world.n_listeners[RP3Beta(beta=beta).fit(world).recommend(np.arange(30, dtype=np.int32), 5)[0]].mean()
                 for beta in (0.0, 1.0)]
    assert listeners[1] < listeners[0]


@pytest.mark.parametrize("bad", [{"alpha": -1}, {"beta": float("nan")}, {"neighbors": 0}])
def test_settings_out_of_range_are_refused(bad: dict[str, float]) -> None:
    """The message names the setting."""
    with pytest.raises(ModelError, match=next(iter(bad))):
        RP3Beta(**bad).fit(random_world())  # type: ignore[arg-type]
