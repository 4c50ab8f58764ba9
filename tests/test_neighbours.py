"""User-based collaborative filtering against dense numpy and scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.metrics.pairwise import cosine_similarity

from musicrec.candidates.neighbours import Neighbours, tastes
from musicrec.candidates.weights import presence
from musicrec.errors import GeneratorError
from musicrec.matrix import History
from tests.worlds import history, random_world

PLAIN = {"shrinkage": 0, "rarity": 0, "half_life_days": 0}


def _with_shares(world: History, seed: int = 0) -> History:
    shares = np.random.default_rng(seed).integers(0, 101, world.matrix.nnz).astype(np.float32) / 100
    matrix = sparse.csr_matrix((shares, world.matrix.indices, world.matrix.indptr), shape=world.matrix.shape)
    return History(world.user_ids, matrix, world.minutes, world.catalogue, world.cutoff)


def _everyone(world: History) -> np.ndarray:
    return np.arange(len(world.user_ids), dtype=np.int32)


def _centred(world: History) -> np.ndarray:
    dense = np.zeros(world.matrix.shape)
    for user in range(len(dense)):
        row = world.matrix[user]
        dense[user, row.indices] = row.data - row.data.mean()
    return dense


def _seed_scores(taste: np.ndarray) -> np.ndarray:
    similarity = cosine_similarity(taste)
    np.fill_diagonal(similarity, 0)
    return similarity @ taste


def _assert_same(lists: tuple[np.ndarray, np.ndarray], dense: np.ndarray, heard: np.ndarray, k: int) -> None:
    items, scores = lists
    dense = np.where(heard | (dense < 1e-7), 0, dense)
    there = scores > 1e-7
    np.testing.assert_allclose(np.where(there, scores, 0), -np.sort(-dense, axis=1)[:, :k], rtol=1e-4, atol=2e-7)
    np.testing.assert_allclose(scores[there], np.take_along_axis(dense, np.maximum(items, 0), 1)[there], rtol=1e-4, atol=2e-7)


def _heard(world: History) -> np.ndarray:
    heard = np.zeros(world.matrix.shape, bool)
    heard[np.repeat(_everyone(world), np.diff(world.matrix.indptr)), world.matrix.indices] = True
    return heard


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), shares=st.booleans())
def test_all_neighbours_give_the_dense_formula(seed: int, shares: bool) -> None:
    """Mode "all" equals cosine_similarity with a zero diagonal times the matrix, centred where there are shares, binary otherwise."""
    world = random_world(seed, 25, 40, 300)
    world = _with_shares(world, seed) if shares else world
    taste = _centred(world) if shares else (world.matrix.toarray() > 0).astype(float)
    _assert_same(Neighbours(mode="all").fit(world).recommend(_everyone(world), 40), _seed_scores(taste), _heard(world), 40)


@pytest.mark.parametrize("shares", [False, True])
def test_nearest_neighbours_without_a_bound_differ_only_by_dissimilar_users(shares: bool) -> None:
    """Mode "nearest" with room for everybody equals the dense formula with negative similarities set to 0."""
    world = _with_shares(random_world()) if shares else random_world()
    taste = _centred(world) if shares else (world.matrix.toarray() > 0).astype(float)
    similarity = np.maximum(cosine_similarity(taste), 0)
    np.fill_diagonal(similarity, 0)
    ours = Neighbours(**{**PLAIN, "neighbours": len(world.user_ids)}).fit(world).recommend(_everyone(world), 80)
    _assert_same(ours, similarity @ taste, _heard(world), 80)


def test_neighbours_are_the_most_similar_users() -> None:
    """Similarities with shrinkage equal dot / (norm x norm + shrinkage), sorted, nobody his own neighbour."""
    world = random_world(8)
    dense = (world.matrix.toarray() > 0).astype(float)
    norms = np.linalg.norm(dense, axis=1)
    truth = dense @ dense.T / (np.outer(norms, norms) + 3)
    np.fill_diagonal(truth, 0)
    users, similarity = Neighbours(**{**PLAIN, "neighbours": 7, "shrinkage": 3}).fit(world).nearest(_everyone(world))
    assert not (users == _everyone(world)[:, None]).any()
    np.testing.assert_allclose(np.where(users >= 0, similarity, 0), -np.sort(-truth, axis=1)[:, :7], rtol=1e-5)


def test_whole_weights_are_read_as_counts_and_not_as_shares() -> None:
    """A second play of a track does not turn the others into dislikes."""
    assert tastes(sparse.csr_matrix(np.array([[2, 1, 0]], np.float32)), "auto").data.tolist() == [1, 1]
    np.testing.assert_allclose(tastes(sparse.csr_matrix(np.array([[1, 0.5, 0]], np.float32)), "auto").data, [0.25, -0.25])


def test_recency_turns_to_the_neighbours_of_today() -> None:
    """An old and a new taste: with a short half-life the new one wins, without recency the one that is larger."""
    rows = [(1, 0, 1), (1, 1, 1), (1, 2, 900), (2, 0, 1), (2, 1, 1), (2, 3, 1), (3, 2, 1), (3, 4, 1)]
    world = history(rows, 5, cutoff_day=901)
    me = np.array([0], np.int32)
    assert Neighbours(**PLAIN).fit(world).recommend(me, 1)[0][0, 0] == 3
    assert Neighbours(**{**PLAIN, "half_life_days": 10}, floor=0).fit(world).recommend(me, 1)[0][0, 0] == 4


def test_rare_shared_items_make_closer_neighbours() -> None:
    """Sharing one rare item beats sharing one that most users heard, unless rarity is 0."""
    rows = [(1, 0, 1), (1, 1, 1), (2, 0, 1), (2, 2, 1), (3, 1, 1), (3, 3, 1), (4, 0, 1), (4, 4, 1), (5, 0, 1), (5, 5, 1)]
    world = history(rows, 6)
    me = np.array([0], np.int32)
    assert Neighbours(neighbours=1).fit(world).nearest(me)[0].tolist() == [[2]]
    assert Neighbours(neighbours=1, **PLAIN).fit(world).nearest(me)[0].tolist() == [[1]]


def test_what_neighbours_heard_lately_comes_first() -> None:
    """Of two items that the same neighbour heard, recency prefers the later one."""
    world = history([(1, 0, 1), (2, 0, 1), (2, 1, 1), (2, 2, 900), (3, 3, 1)], 4, cutoff_day=901)
    me = np.array([0], np.int32)
    assert Neighbours(half_life_days=0).fit(world).recommend(me, 2)[0].tolist() == [[1, 2]]
    assert Neighbours(half_life_days=90).fit(world).recommend(me, 2)[0].tolist() == [[2, 1]]


def test_an_item_that_everybody_heard_is_all_there_is() -> None:
    """Rarity is 1 throughout where it would silence everything."""
    world = history([(1, 0, 1), (2, 0, 1)], 1)
    assert Neighbours().fit(world).nearest(np.array([0], np.int32))[0][0, 0] == 1


@pytest.mark.parametrize("settings_", [{"neighbours": 0}, {"shrinkage": -1}, {"rarity": float("nan")}, {"floor": -1}])
def test_settings_out_of_range_are_refused(settings_: dict[str, float]) -> None:
    """The sentence names the setting."""
    with pytest.raises(GeneratorError, match=next(iter(settings_))):
        Neighbours(**settings_).fit(random_world())  # type: ignore[arg-type]


def test_a_bounded_search_finds_true_similarities() -> None:
    """With a small budget some neighbours may be missed, but each one found has its exact similarity, and single users get the same."""
    world = random_world(2, 150, 60, 3000)
    exact, bounded = (Neighbours(neighbours=n, search_budget=b).fit(world) for n, b in ((150, 10**9), (5, 40)))
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
    few, many = (Neighbours(neighbours=5, search_budget=budget).fit(world).nearest(_everyone(world)) for budget in (5000, 10**9))
    np.testing.assert_array_equal(few[0], many[0])
    np.testing.assert_array_equal(few[1], many[1])


def test_presence_costs_nothing_where_all_weights_are_one() -> None:
    """The matrix itself comes back where every weight is 1; else its pattern with 1 for weights above 0, and the matrix stays as it was."""
    plain = random_world(5).matrix
    plain.data[:] = 1
    assert presence(plain) is plain
    weighted = plain.copy()
    weighted.data[:3] = (0, 0.5, 2)
    before = weighted.data.copy()
    assert presence(weighted).data[:4].tolist() == [0, 1, 1, 1]
    np.testing.assert_array_equal(weighted.data, before)
