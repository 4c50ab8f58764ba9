"""The five popularity models against sums computed by hand."""

import numpy as np
import pytest
from sklearn.preprocessing import MinMaxScaler

from musicrec.dataset import TrainSet
from musicrec.errors import ModelError
from musicrec.models.popularity import Popular, PopularByGenre, PopularDecayed, PopularRecent, PopularScore, favorite_genre
from tests.worlds import random_world, train_set

COLD = np.array([-1], np.int32)


def test_all_time_counts_users_not_plays() -> None:
    """Two listeners of one play each beat one listener of three plays."""
    world = train_set([(1, 0, 1), (1, 0, 2), (1, 0, 3), (1, 1, 1), (2, 1, 1)], 3)
    items, scores = Popular().fit(world).recommend(COLD, 3)
    assert items.tolist() == [[1, 0, 2]]
    assert scores.tolist() == [[2, 1, 0]]


def test_recent_counts_only_users_of_the_window() -> None:
    """A play 105 days before the cutoff counts, one of 106 days does not."""
    world = train_set([(1, 0, 894), (2, 0, 893), (1, 1, 895), (2, 1, 999)], 3, cutoff_day=1000)
    fitted = PopularRecent(days=105).fit(world)
    assert fitted.listeners.tolist() == [0, 2, 0]
    assert PopularRecent(days=106).fit(world).listeners.tolist() == [1, 2, 0]


def test_a_play_one_half_life_ago_counts_half() -> None:
    """Decayed scores are sums of powers of two."""
    world = train_set([(1, 0, 990), (2, 0, 980), (1, 1, 1000)], 2, cutoff_day=1000)
    _, scores = PopularDecayed(half_life_days=10).fit(world).recommend(COLD, 2)
    assert scores.tolist() == [[1.0, 0.75]]


def test_a_half_life_of_zero_days_is_refused() -> None:
    """Nothing can fade in no time."""
    with pytest.raises(ModelError, match="half_life_days of popular_decayed is 0"):
        PopularDecayed(half_life_days=0).fit(random_world())


def test_score_is_that_of_the_reference_notebook() -> None:
    """Scores equal MinMaxScaler's columns of users and plays, multiplied."""
    world = random_world()
    played = world.n_listeners > 0
    plays = np.asarray(world.matrix.sum(axis=0)).ravel()
    scaled = MinMaxScaler().fit_transform(np.column_stack([world.n_listeners, plays])[played])
    np.testing.assert_allclose(PopularScore().fit(world).scores[played], scaled[:, 0] * scaled[:, 1], atol=1e-6)


def test_weights_that_are_no_numbers_are_refused() -> None:
    """A NaN weight is named with its user and item."""
    world = random_world()
    world.matrix.data[5] = np.nan
    with pytest.raises(ModelError, match=rf"user {world.user_ids[0]} and item {world.item_ids[world.matrix.indices[5]]}"):
        PopularScore().fit(world)


def test_favorite_genre_is_the_most_frequent_one() -> None:
    """Each user's genre is the argmax of a dense count; users of items without genres have none."""
    world = random_world(3)
    counts = (world.matrix.toarray() > 0) @ world.catalog.genres.toarray()
    expected = np.where(counts.max(axis=1) > 0, counts.argmax(axis=1), -1)
    np.testing.assert_array_equal(favorite_genre(world), expected)


def _group_shares(world: TrainSet, group: np.ndarray, one: int, shrinkage: float) -> np.ndarray:
    played = world.matrix.toarray() > 0
    if one < 0:
        return played.mean(axis=0)
    members = played[group == one]
    return (members.sum(axis=0) + shrinkage * played.mean(axis=0)) / (len(members) + shrinkage)


def test_scores_by_genre_are_shares_of_the_group() -> None:
    """Every user's list is the dense, shrunk share of listeners in their group, sorted, without seen items."""
    world = random_world(1)
    group, rows = favorite_genre(world), np.arange(len(world.user_ids), dtype=np.int32)
    fitted = PopularByGenre(shrinkage=5).fit(world)
    items, scores = fitted.recommend(rows, 10)
    for row in rows:
        shares = _group_shares(world, group, group[row], 5)
        np.testing.assert_allclose(scores[row], shares[items[row]], rtol=1e-5)
        unseen = np.setdiff1d(np.arange(len(shares)), world.matrix[row].indices)
        np.testing.assert_allclose(scores[row], np.sort(shares[unseen])[::-1][:10], rtol=1e-5)


def test_a_longer_question_later_does_not_change_the_order() -> None:
    """Orders that were cut for a short question are extended, not mixed."""
    world, rows = random_world(2), np.arange(30, dtype=np.int32)
    fitted = PopularByGenre().fit(world)
    short, long = fitted.recommend(rows, 3)[0], fitted.recommend(rows, 60)[0]
    np.testing.assert_array_equal(long[:, :3], short)
    np.testing.assert_array_equal(PopularByGenre().fit(world).recommend(rows, 60)[0], long)


def test_groups_with_different_taste_get_different_rankings() -> None:
    """Listeners of genre 0 are recommended what their group plays, not the hit of the larger group."""
    rows = [(user, item, 1) for user in range(3) for item in (0, 1)] + [(9, 0, 1)]
    rows += [(user, item, 1) for user in range(20, 30) for item in (3, 4)]
    world = train_set(rows, 6, genres=[[0], [0], [0], [1], [1], [1]])
    asked = world.user_index(np.array([9], np.int32))
    assert PopularByGenre(shrinkage=1).fit(world).recommend(asked, 1)[0].tolist() == [[1]]
    assert Popular().fit(world).recommend(asked, 1)[0].tolist() == [[3]]


