"""SLIM against scikit-learn's elastic net."""

import numpy as np
import pytest
from sklearn.linear_model import ElasticNet

from musicrec.errors import ModelError
from musicrec.models.slim import SLIM, most_seen
from tests.worlds import checkerboard, random_world, train_set


@pytest.mark.parametrize(("l1", "l2"), [(0.5, 5), (1.5, 0.5), (0.01, 20)])
def test_weights_solve_the_elastic_net_of_each_item(l1: float, l2: float) -> None:
    """With room for all candidates, every column equals scikit-learn's positive elastic net on the binary matrix."""
    world = random_world(4, 50, 30, 700)
    binary = (world.matrix.toarray() > 0).astype(np.float64)
    n, n_items = binary.shape
    weights = SLIM(l1=l1, l2=l2, candidates=n_items, min_listeners=1).fit(world).similarity.toarray()
    assert (weights >= 0).all()
    for item in np.flatnonzero(binary.any(axis=0)):
        others = binary.copy()
        others[:, item] = 0
        model = ElasticNet(alpha=(l1 + l2) / n, l1_ratio=l1 / (l1 + l2), positive=True, fit_intercept=False, tol=1e-9, max_iter=100_000)
        np.testing.assert_allclose(weights[:, item], model.fit(others, binary[:, item]).coef_, atol=2e-3)


def test_the_missing_item_of_the_checkerboard_comes_first() -> None:
    """On the checkerboard every user gets the one missing item of their kind first."""
    world = checkerboard()
    items, _ = SLIM().fit(world).recommend(np.arange(40, dtype=np.int32), 1)
    assert items[:, 0].tolist() == [(user + 2) % 40 for user in range(40)]


def test_only_the_most_seen_items_take_part() -> None:
    """max_items keeps the items with most listeners, ties to the lower index; min_listeners drops the rare ones."""
    world = train_set([(1, 3, 1), (2, 3, 1), (1, 2, 1), (1, 0, 1), (2, 0, 1), (3, 1, 1), (3, 0, 1), (1, 1, 1)], 5)
    assert most_seen(world, 1, 2).tolist() == [0, 1]
    assert most_seen(world, 2, 9).tolist() == [0, 1, 3]
    fitted = SLIM(l1=0.1, l2=1, min_listeners=1, max_items=2).fit(world)
    assert set(fitted.similarity.indices.tolist()) <= {0, 1}


@pytest.mark.parametrize("bad", [SLIM(l1=-1), SLIM(l1=0, l2=0), SLIM(candidates=0), SLIM(max_items=0), SLIM(l2=float("nan"))])
def test_settings_out_of_range_are_refused(bad: SLIM) -> None:
    """The message has all values."""
    with pytest.raises(ModelError, match="slim has l1"):
        bad.fit(random_world())


def test_nothing_is_learned_from_a_log_that_is_too_large() -> None:
    """Above max_interactions the model recommends nothing, and below it the bound changes nothing."""
    world, users = random_world(), np.arange(5, dtype=np.int32)
    assert (SLIM(max_interactions=world.matrix.nnz - 1).fit(world).recommend(users, 3)[0] == -1).all()
    assert (SLIM(max_interactions=world.matrix.nnz).fit(world).similarity != SLIM().fit(world).similarity).nnz == 0
