"""Content recommendations against the reference notebook's computation in dense numpy and scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.preprocessing import normalize

from musicrec.dataset import TrainSet
from musicrec.errors import ModelError
from musicrec.models.content import Content, popularity_levels
from tests.worlds import DAY, random_world, train_set


def _reference_cosines(world: TrainSet, links: sparse.csr_matrix) -> np.ndarray:
    """User x item cosines as the reference notebook computes them, one user after the other."""
    vectors = normalize(links.astype(np.float64), norm="l1", axis=1)
    rows = []
    for user in range(len(world.user_ids)):
        profile = np.asarray(vectors[world.matrix[user].indices].mean(axis=0)).reshape(1, -1)
        rows.append(cosine_similarity(vectors, profile).ravel())
    return np.array(rows)


def _assert_same(world: TrainSet, cosines: np.ndarray, chosen: Content, k: int) -> None:
    levels = popularity_levels(np.bincount(world.matrix.indices, 0.5 ** ((world.cutoff - world.last_played) / DAY / 60),
                                           minlength=len(world.catalog)).astype(np.float32))
    items, scores = chosen.fit(world).recommend(np.arange(len(world.user_ids), dtype=np.int32), k)
    for user, (its, values) in enumerate(zip(items, scores)):
        steps = np.floor(4096 * cosines[user] + 0.5).clip(0, 4095)
        steps[world.matrix[user].indices] = 0
        wanted = np.lexsort((np.arange(len(steps)), -levels, -steps))[: int((steps > 0).sum())][:k]
        assert its[its >= 0].tolist() == wanted.tolist()
        assert (np.abs(values[its >= 0] - cosines[user][wanted]) < 1 / 2048).all()


@settings(max_examples=15)
@given(seed=st.integers(0, 10_000))
def test_genres_alone_are_the_reference_method(seed: int) -> None:
    """With genres alone: the reference cosines without seen tracks, equal ones by decayed popularity."""
    world = random_world(seed, 20, 50, 250)
    _assert_same(world, _reference_cosines(world, world.catalog.genres), Content(1, 0, 0), 50)


@settings(max_examples=15)
@given(seed=st.integers(0, 10_000), shares=st.tuples(*[st.sampled_from([0.0, 0.3, 1.0, 2.0])] * 3).filter(any))
def test_fields_are_blended_by_their_weights(seed: int, shares: tuple[float, float, float]) -> None:
    """With all fields: the weighted mean of the three cosines."""
    world = random_world(seed, 20, 50, 250)
    fields = (world.catalog.genres, world.catalog.artists, world.catalog.albums)
    cosines = sum(share / sum(shares) * _reference_cosines(world, links) for share, links in zip(shares, fields))
    assert isinstance(cosines, np.ndarray)
    _assert_same(world, cosines, Content(*shares), 50)


def test_equal_genres_come_by_recent_popularity() -> None:
    """Among tracks with the same genres the one seen recently precedes the one seen by more users long ago; unseen ones come last."""
    rows = [(1, 0, 999), (2, 1, 1), (3, 1, 1), (4, 2, 999)]
    world = train_set(rows, 4, genres=[[0]] * 4)
    assert Content(1, 0, 0).fit(world).recommend(np.array([0], np.int32), 3)[0].tolist() == [[2, 1, 3]]


def test_a_track_of_a_seen_artist_beats_others_of_its_genres() -> None:
    """The two unseen tracks differ only in their artist, and the one of a seen artist comes first."""
    world = train_set([(1, 0, 1), (2, 1, 999)], 3, genres=[[0]] * 3, artists=[[0], [1], [0]], albums=[[0], [1], [2]])
    assert Content(1, 1, 0).fit(world).recommend(np.array([0], np.int32), 2)[0].tolist() == [[2, 1]]


def test_recency_moves_the_profile() -> None:
    """Two old tracks of one genre and a new one of another: the half-life decides which genre leads."""
    world = train_set([(1, 0, 1), (1, 1, 1), (1, 2, 999)], 5, genres=[[0], [0], [1], [0], [1]])
    me = np.array([0], np.int32)
    assert Content(1, 0, 0).fit(world).recommend(me, 1)[0][0, 0] == 3
    assert Content(1, 0, 0, half_life_days=30, min_weight=0).fit(world).recommend(me, 1)[0][0, 0] == 4


def test_a_user_of_tracks_without_names_gets_nothing() -> None:
    """No genre, no artist, no album: there is nothing to compare."""
    world = train_set([(1, 0, 1), (2, 1, 1)], 3, genres=[[], [0], [0]], artists=[[], [0], [0]], albums=[[], [0], [0]])
    assert Content().fit(world).recommend(np.array([0], np.int32), 2)[0].tolist() == [[-1, -1]]


@pytest.mark.parametrize("bad", [Content(-1, 1, 1), Content(0, 0, 0), Content(float("nan"), 1, 1), Content(popularity_half_life_days=0)])
def test_settings_out_of_range_are_refused(bad: Content) -> None:
    """The message has all values."""
    with pytest.raises(ModelError, match="content has genres"):
        bad.fit(random_world())
