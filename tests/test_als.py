"""ALS: implicit itself is the oracle for lists, algebra for the factors."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from implicit.cpu.als import AlternatingLeastSquares
from scipy import sparse
from threadpoolctl import threadpool_limits

from musicrec.candidates.als import Als, AlsRecommender, load
from musicrec.candidates.inner_product import NormOrder
from musicrec.errors import ArtifactError, GeneratorError
from musicrec.matrix import History
from tests.worlds import checkerboard, history, random_world

SMALL = Als(factors=8, iterations=5, genre_weight=0, artist_weight=0)


def test_lists_are_those_of_implicit() -> None:
    """The same factors give the lists of implicit's own recommend, up to equal scores, heard items removed."""
    world = random_world(n_users=200, n_items=3000, n_plays=9000)
    fitted, rows = SMALL.fit(world), np.arange(len(random_world(n_users=200, n_items=3000, n_plays=9000).user_ids), dtype=np.int32)
    with threadpool_limits(1, user_api="blas"):
        oracle = AlternatingLeastSquares(factors=8)
        oracle.user_factors, oracle.item_factors = fitted.user_factors, fitted.item_factors
        items, scores = oracle.recommend(rows, world.matrix, N=50)
    ours, our_scores = fitted.recommend(rows, 50)
    np.testing.assert_allclose(our_scores, scores, rtol=1e-4, atol=1e-6)
    assert (ours == items).mean() > 0.95


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), n_items=st.integers(1, 3000), n=st.integers(1, 60), k=st.integers(1, 40), scale=st.floats(0, 3))
def test_pruned_search_is_exact(seed: int, n_items: int, n: int, k: int, scale: float) -> None:
    """Lists equal a full sort of float64 products, for norms of any spread and for repeated item vectors."""
    rng = np.random.default_rng(seed)
    items = rng.normal(size=(n_items, 6)) * np.exp(scale * rng.normal(size=(n_items, 1)))
    items[rng.integers(0, n_items, n_items // 3)] = items[0]
    items, users = items.astype(np.float32), rng.normal(size=(n, 6)).astype(np.float32)
    heard = sparse.random(n, n_items, 0.1, format="csr", random_state=seed)
    heard.sort_indices()
    found, scores = NormOrder(items).top_k(users, heard, k)
    # The same order of additions as in the kernel, so that equal vectors have equal products.
    exact = np.zeros((n, n_items))
    for factor in range(6):
        exact += users[:, factor, None].astype(np.float64) * items[None, :, factor].astype(np.float64)
    exact = exact.astype(np.float32)
    exact[heard.toarray() != 0] = -np.inf
    for row in range(n):
        order = np.argsort(-exact[row], kind="stable")[:k]
        order = order[exact[row, order] > -np.inf]
        np.testing.assert_array_equal(found[row, : len(order)], order)
        np.testing.assert_array_equal(scores[row, : len(order)], exact[row, order])
        assert (found[row, len(order):] == -1).all()


def test_the_left_out_item_comes_first() -> None:
    """On the checkerboard nearly every user gets the one item of his colour that he has not heard."""
    world = checkerboard()
    first = Als(factors=4, iterations=10).fit(world).recommend(np.arange(40, dtype=np.int32), 1)[0][:, 0]
    assert (first == (world.user_ids + 2) % 40).mean() > 0.95


def test_confidence_is_one_plus_alpha_times_weight() -> None:
    """Each trained item vector solves the normal equations of its column."""
    world = random_world(n_plays=4000)
    model = Als(factors=5, iterations=60, alpha=3.0, regularization=0.7, genre_weight=0, artist_weight=0).fit(world)
    x, weights = model.user_factors.astype(np.float64), world.matrix.toarray()
    for item in (0, 5, 20):
        confidence = np.where(weights[:, item] > 0, 1 + 3 * weights[:, item], 1)
        left = (x.T * confidence) @ x + 0.7 * np.eye(5)
        np.testing.assert_allclose(model.item_factors[item], np.linalg.solve(left, x.T @ (confidence * (weights[:, item] > 0))), atol=5e-3)


def test_pairs_of_weight_zero_teach_nothing() -> None:
    """Item factors are those of a history without the pair, and the pair stays heard."""
    world = random_world()
    world.matrix.data[::7] = 0
    taught = sparse.csr_matrix(world.matrix.toarray())
    without = type(world)(world.user_ids, taught, world.minutes[world.matrix.data > 0], world.catalogue, world.cutoff)
    np.testing.assert_array_equal(SMALL.fit(world).item_factors, SMALL.fit(without).item_factors)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1])
def test_weights_that_are_no_numbers_are_refused(bad: float) -> None:
    """NaN, infinite and negative weights raise."""
    world = random_world()
    world.matrix.data[0] = bad
    with pytest.raises(GeneratorError, match="weights of the history"):
        SMALL.fit(world)


@pytest.mark.parametrize("fields", [{"factors": 0}, {"iterations": 0}, {"alpha": 0}, {"regularization": -1}, {"alpha": np.inf}])
def test_settings_without_sense_are_refused(fields: dict[str, float]) -> None:
    """No factor, no iteration, no confidence, negative regularization."""
    with pytest.raises(GeneratorError, match="als needs"):
        Als(**fields).fit(random_world())  # type: ignore[arg-type]


def test_diverging_factors_are_refused() -> None:
    """Weights near the end of float32 overflow while training: an error, no list of NaN."""
    world = random_world()
    world.matrix.data[:] = 1e30
    with pytest.raises(GeneratorError, match="als"):
        Als(factors=4, iterations=5, alpha=1e8).fit(world)


def test_a_saved_model_answers_the_same(tmp_path: Path) -> None:
    """save and load keep every list, without pickle and without a half-written file beside it."""
    world, rows = random_world(), np.arange(-1, 20, dtype=np.int32)
    fitted = SMALL.fit(world)
    fitted.save(tmp_path / "als_model.npz")
    again = load(tmp_path / "als_model.npz", world, SMALL)
    for one, other in zip(fitted.recommend(rows, 10), again.recommend(rows, 10)):
        np.testing.assert_array_equal(one, other)
    assert [file.name for file in tmp_path.iterdir()] == ["als_model.npz"]


def test_a_damaged_or_foreign_model_is_refused(tmp_path: Path) -> None:
    """Missing, cut off and belonging to other users: three sentences."""
    path = tmp_path / "als_model.npz"
    with pytest.raises(ArtifactError, match="no readable ALS model"):
        load(path, random_world(), SMALL)
    SMALL.fit(random_world()).save(path)
    with pytest.raises(ArtifactError, match="other users or items"):
        load(path, history([(1, 0, 1)], 3), SMALL)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(ArtifactError, match="no readable ALS model"):
        load(path, random_world(), SMALL)


def test_genres_give_factors_to_tracks_that_nobody_played() -> None:
    """With a genre weight an unplayed track is offered to those who play its genre; without, it has no factors."""
    rows = [(user, item, 1) for user in range(20) for item in range(user % 2, 10, 2) if item != user % 10]
    world = history(rows, 12, genres=[[item % 2] for item in range(12)])
    without, with_genres = (Als(factors=4, genre_weight=weight, artist_weight=0).fit(world) for weight in (0.0, 10.0))
    assert not without.item_factors[10:].any()
    items, _ = with_genres.recommend(np.arange(20, dtype=np.int32), 2)
    assert all(10 + user % 2 in its for user, its in zip(range(20), items.tolist()))


def test_the_faded_history_moves_a_user_towards_today() -> None:
    """A user who left genre 0 for genre 1 is offered genre 1 with a half-life, and factors without one stay the trained ones."""
    rows = [(user, item, 1) for user in range(40) for item in range(user % 2 * 8, user % 2 * 8 + 8) if (user // 2 + item) % 8]
    rows += [(99, item, 1) for item in range(4)] + [(99, item, 999) for item in range(8, 11)]
    world, row = history(rows, 16), np.array([40], np.int32)
    settings = {"factors": 4, "regularization": 0.1, "alpha": 20.0, "genre_weight": 0, "artist_weight": 0}
    plain, faded = Als(**settings).fit(world), Als(**settings, half_life_days=30, floor=0).fit(world)  # type: ignore[arg-type]
    np.testing.assert_array_equal(plain.item_factors, faded.item_factors)
    assert (plain.recommend(row, 3)[0] < 8).sum() > (faded.recommend(row, 3)[0] < 8).sum()
    np.testing.assert_array_equal(plain.factors_of(row), plain.user_factors[row])


def test_a_half_life_of_ages_changes_nothing() -> None:
    """A history that hardly fades gives the factors that solve the user's equations."""
    world, rows = random_world(), np.arange(-1, 25, dtype=np.int32)
    fitted = Als(factors=5, iterations=40, half_life_days=1e9, artist_weight=0, genre_weight=0).fit(world)
    np.testing.assert_allclose(fitted.factors_of(rows)[1:], fitted.user_factors[rows[1:]], atol=0.02)
    assert not fitted.factors_of(rows)[0].any()


def _loss(fitted: AlsRecommender, world: History) -> float:
    """The objective of Hu, Koren and Volinsky over all pairs, computed densely."""
    played, settings_ = world.matrix.toarray(), fitted.settings
    scores = fitted.user_factors.astype(np.float64) @ fitted.item_factors.T.astype(np.float64)
    errors = ((1 + settings_.alpha * played) * ((played > 0) - scores) ** 2).sum()
    return float(errors + settings_.regularization * ((fitted.user_factors ** 2).sum() + (fitted.item_factors ** 2).sum()))


def test_a_small_later_history_is_learned_anew() -> None:
    """Below LARGE plays the factors of an earlier history leave no trace."""
    world = random_world(seed=3)
    early = SMALL.fit(random_world(seed=4))
    np.testing.assert_array_equal(early.onward().fit(world).item_factors, SMALL.fit(world).item_factors)


def test_a_large_later_history_is_learned_from_earlier_factors(monkeypatch: pytest.MonkeyPatch) -> None:
    """From LARGE plays on one pass from the factors of an earlier history ends closer to the optimum than one pass from nothing, and
    leaves the earlier factors as they were."""
    monkeypatch.setattr("musicrec.candidates.als.LARGE", 1)
    world = random_world(n_users=80, n_items=60, n_plays=2000)
    early = Als(factors=8, iterations=20, refit_iterations=1, genre_weight=0, artist_weight=0).fit(world)
    before = early.item_factors.copy()
    once = Als(factors=8, iterations=1, genre_weight=0, artist_weight=0).fit(world)
    assert _loss(early.onward().fit(world), world) < _loss(once, world)
    np.testing.assert_array_equal(early.item_factors, before)
