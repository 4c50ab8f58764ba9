"""Results computed ahead: in order, bounded, errors in their place; and lists for many users."""

import threading
import time

import numpy as np
import pytest

from musicrec.models import MODELS
from musicrec.prefetching import ahead, prefetched
from musicrec.recommender import TwoStageRecommender
from musicrec.runners import recommended
from tests.worlds import random_world


def test_results_come_in_the_order_of_the_arguments() -> None:
    """A call that takes longer than those behind it still comes first."""
    assert list(prefetched(lambda wait: time.sleep(wait) or wait, [0.05, 0.0, 0.02, 0.0], 2)) == [0.05, 0.0, 0.02, 0.0]


def test_calls_run_at_the_same_time() -> None:
    """Two calls wait for each other, which they could not do one after the other."""
    meeting = threading.Barrier(2, timeout=5)
    assert len(list(prefetched(lambda _: meeting.wait(), range(4), 2))) == 4


def test_no_more_than_threads_plus_one_calls_begin() -> None:
    """Before the first result is taken, calls beyond threads + 1 have not begun."""
    begun: list[int] = []
    results = prefetched(begun.append, range(100), 2)
    next(results)
    time.sleep(0.05)
    assert len(begun) <= 3
    results.close()


def test_an_error_is_raised_in_the_place_of_its_result() -> None:
    """Results before the failed call arrive, then its error, and nothing after it."""
    results = prefetched(lambda n: 1 // (2 - n), range(50), 2)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert list(results) == []


def test_values_made_ahead_come_before_their_error() -> None:
    """An error while the next value is made is raised when that value is asked for."""
    results = ahead(1 // (2 - n) for n in range(50))
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)


@pytest.mark.parametrize("threads", [1, 3])
def test_all_users_get_the_lists_that_each_gets_alone(threads: int) -> None:
    """Batches come in the order of the users, and each user has the same lists as when asked for alone."""
    world = random_world(n_users=400, n_plays=4000)
    fitted = TwoStageRecommender({"item_knn": MODELS["item_knn"](), "popular": MODELS["popular"]()}).fit(world)
    users = np.concatenate([world.user_ids[::-1], [-1]]).astype(np.int32)
    batches = list(recommended(fitted, users, 7, ["rrf", "popular"], 1, threads))
    assert len(batches) > 1
    for order in ("rrf", "popular"):
        assert np.concatenate([one[order].user_ids for one in batches]).tolist() == users.tolist()
        items = np.concatenate([one[order].items for one in batches])
        for row in range(0, len(users), 37):
            np.testing.assert_array_equal(items[row], fitted.lists(users[row:row + 1], 7)[order].items[0])
