"""User-based collaborative filtering against dense numpy and scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.metrics.pairwise import cosine_similarity

from musicrec.dataset import TrainSet
from musicrec.errors import ModelError
from musicrec.models.user_knn import UserKNN, user_vectors
from musicrec.models.weights import presence
from tests.worlds import random_world, train_set

PLAIN = {"shrinkage": 0, "idf_power": 0, "half_life_days": 0}


def _with_shares(world: TrainSet, seed: int = 0) -> TrainSet:
    shares = np.random.default_rng(seed).integers(0, 101, world.matrix.nnz).astype(np.float32) / 100
    matrix = sparse.csr_matrix((shares, world.matrix.indices, world.matrix.indptr), shape=world.matrix.shape)
    return TrainSet(world.user_ids, matrix, world.last_played, catalog=world.catalog, cutoff=world.cutoff)


def _everyone(world: TrainSet) -> np.ndarray:
    return np.arange(len(world.user_ids), dtype=np.int32)


def _centered(world: TrainSet) -> np.ndarray:
    dense = np.zeros(world.matrix.shape)
    for user in range(len(dense)):
        row = world.matrix[user]
        dense[user, row.indices] = row.data - row.data.mean()
    return dense


def _reference_scores(taste: np.ndarray) -> np.ndarray:
    similarity = cosine_similarity(taste)
    np.fill_diagonal(similarity, 0)
    return similarity @ taste


def _assert_same(lists: tuple[np.ndarray, np.ndarray], dense: np.ndarray, seen: np.ndarray, k: int) -> None:
    items, scores = lists
    dense = np.where(seen | (dense < 1e-7), 0, dense)
    there = scores > 1e-7
    np.testing.assert_allclose(np.where(there, scores, 0), -np.sort(-dense, axis=1)[:, :k], rtol=1e-4, atol=2e-7)
    np.testing.assert_allclose(scores[there], np.take_along_axis(dense, np.maximum(items, 0), 1)[there], rtol=1e-4, atol=2e-7)


def _seen(world: TrainSet) -> np.ndarray:
    seen = np.zeros(world.matrix.shape, bool)
    seen[np.repeat(_everyone(world), np.diff(world.matrix.indptr)), world.matrix.indices] = True
    return seen


@settings(max_examples=15)
@given(seed=st.integers(0, 10_000), shares=st.booleans())
def test_all_neighbors_give_the_dense_formula(seed: int, shares: bool) -> None:
    """Mode "all" equals cosine_similarity with a zero diagonal times the matrix, centered where there are shares, binary otherwise."""
    world = random_world(seed, 25, 40, 300)
    world = _with_shares(world, seed) if shares else world
    taste = _centered(world) if shares else (world.matrix.toarray() > 0).astype(float)
    _assert_same(UserKNN(mode="all").fit(world).recommend(_everyone(world), 40), _reference_scores(taste), _seen(world), 40)


@pytest.mark.parametrize("shares", [False, True])
def test_nearest_neighbors_without_a_bound_differ_only_by_dissimilar_users(shares: bool) -> None:
    """Mode "nearest" with room for everybody equals the dense formula with negative similarities set to 0."""
    world = _with_shares(random_world()) if shares else random_world()
    taste = _centered(world) if shares else (world.matrix.toarray() > 0).astype(float)
    similarity = np.maximum(cosine_similarity(taste), 0)
    np.fill_diagonal(similarity, 0)
    ours = UserKNN(**{**PLAIN, "neighbors": len(world.user_ids)}).fit(world).recommend(_everyone(world), 80)
    _assert_same(ours, similarity @ taste, _seen(world), 80)


def test_neighbors_are_the_most_similar_users() -> None:
    """Similarities with shrinkage equal dot / (norm x norm + shrinkage), sorted, and no user is their own neighbor."""
    world = random_world(8)
    dense = (world.matrix.toarray() > 0).astype(float)
    norms = np.linalg.norm(dense, axis=1)
    truth = dense @ dense.T / (np.outer(norms, norms) + 3)
    np.fill_diagonal(truth, 0)
    users, similarity = UserKNN(**{**PLAIN, "neighbors": 7, "shrinkage": 3}).fit(world).nearest(_everyone(world))
    assert not (users == _everyone(world)[:, None]).any()
    np.testing.assert_allclose(np.where(users >= 0, similarity, 0), -np.sort(-truth, axis=1)[:, :7], rtol=1e-5)


def test_whole_weights_are_read_as_counts_and_not_as_shares() -> None:
    """A second play of a track does not turn the others into dislikes."""
    assert user_vectors(sparse.csr_matrix(np.array([[2, 1, 0]], np.float32)), "auto").data.tolist() == [1, 1]
    np.testing.assert_allclose(user_vectors(sparse.csr_matrix(np.array([[1, 0.5, 0]], np.float32)), "auto").data, [0.25, -0.25])


def test_recency_prefers_the_neighbors_of_recent_plays() -> None:
    """An old and a new taste: with a short half-life the new one wins, without recency the one that is larger."""
    rows = [(1, 0, 1), (1, 1, 1), (1, 2, 900), (2, 0, 1), (2, 1, 1), (2, 3, 1), (3, 2, 1), (3, 4, 1)]
    world = train_set(rows, 5, cutoff_day=901)
    me = np.array([0], np.int32)
    assert UserKNN(**PLAIN).fit(world).recommend(me, 1)[0][0, 0] == 3
    assert UserKNN(**{**PLAIN, "half_life_days": 10}, min_weight=0).fit(world).recommend(me, 1)[0][0, 0] == 4


def test_rare_shared_items_make_closer_neighbors() -> None:
    """Sharing one rare item beats sharing one that most users have seen, unless idf_power is 0."""
    rows = [(1, 0, 1), (1, 1, 1), (2, 0, 1), (2, 2, 1), (3, 1, 1), (3, 3, 1), (4, 0, 1), (4, 4, 1), (5, 0, 1), (5, 5, 1)]
    world = train_set(rows, 6)
    me = np.array([0], np.int32)
    assert UserKNN(neighbors=1).fit(world).nearest(me)[0].tolist() == [[2]]
    assert UserKNN(neighbors=1, **PLAIN).fit(world).nearest(me)[0].tolist() == [[1]]


def test_recent_plays_of_neighbors_come_first() -> None:
    """Of two items of the same neighbor, recency prefers the one played later."""
    world = train_set([(1, 0, 1), (2, 0, 1), (2, 1, 1), (2, 2, 900), (3, 3, 1)], 4, cutoff_day=901)
    me = np.array([0], np.int32)
    assert UserKNN(half_life_days=0).fit(world).recommend(me, 2)[0].tolist() == [[1, 2]]
    assert UserKNN(half_life_days=90).fit(world).recommend(me, 2)[0].tolist() == [[2, 1]]


def test_items_count_one_each_where_every_user_has_seen_every_item() -> None:
    """Where idf would be 0 for all items it is 1, so neighbors are still found."""
    world = train_set([(1, 0, 1), (2, 0, 1)], 1)
    assert UserKNN().fit(world).nearest(np.array([0], np.int32))[0][0, 0] == 1


@pytest.mark.parametrize("settings_", [{"neighbors": 0}, {"shrinkage": -1}, {"idf_power": float("nan")}, {"min_weight": -1}])
def test_settings_out_of_range_are_refused(settings_: dict[str, float]) -> None:
    """The message names the setting."""
    with pytest.raises(ModelError, match=next(iter(settings_))):
        UserKNN(**settings_).fit(random_world())  # type: ignore[arg-type]


def test_a_bounded_search_finds_true_similarities() -> None:
    """With a small budget some neighbors may be missed, but each one found has its exact similarity, and single users get the same."""
    world = random_world(2, 150, 60, 3000)
    exact, bounded = (UserKNN(neighbors=n, search_budget=b).fit(world) for n, b in ((150, 10**9), (5, 40)))
    truth = np.zeros((len(world.user_ids), len(world.user_ids)))
    users, similarity = exact.nearest(_everyone(world))
    truth[np.nonzero(users >= 0)[0], users[users >= 0]] = similarity[users >= 0]
    found, values = bounded.nearest(_everyone(world))
    there = found >= 0
    np.testing.assert_allclose(values[there], np.take_along_axis(truth, np.maximum(found, 0), 1)[there], rtol=1e-6)
    assert (np.diff(np.where(there, values, 0), axis=1) <= 0).all()
    best = users[:, :5]
    recall = np.mean([len(np.intersect1d(a[a >= 0], b[b >= 0])) / max((b >= 0).sum(), 1) for a, b in zip(found, best)])
    assert 0.5 < recall < 1
    for user in (0, 70):
        np.testing.assert_array_equal(bounded.nearest(np.array([user], np.int32))[0][0], found[user])


def test_a_large_budget_is_exact() -> None:
    """Where the budget suffices nothing is cut, to the last bit."""
    world = random_world(2, 150, 60, 3000)
    few, many = (UserKNN(neighbors=5, search_budget=budget).fit(world).nearest(_everyone(world)) for budget in (5000, 10**9))
    np.testing.assert_array_equal(few[0], many[0])
    np.testing.assert_array_equal(few[1], many[1])


def test_presence_costs_nothing_where_all_weights_are_one() -> None:
    """The matrix itself comes back where every weight is 1; else its pattern with 1 for weights above 0, and the matrix stays as it was."""
    plain = random_world(5).matrix
    plain.data[:] = 1
    assert presence(plain) is plain
    blended = plain.copy()
    blended.data[:3] = (0, 0.5, 2)
    before = blended.data.copy()
    assert presence(blended).data[:4].tolist() == [0, 1, 1, 1]
    np.testing.assert_array_equal(blended.data, before)
