"""ALS: implicit is the oracle for lists and for the loss, algebra for the factors."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from implicit.cpu.als import AlternatingLeastSquares
from scipy import sparse
from threadpoolctl import threadpool_limits

from musicrec.dataset import Catalog, TrainSet, interactions
from musicrec.errors import ArtifactError, ModelError
from musicrec.models.als import ALS, FittedALS, Start
from musicrec.models.als_kernel import BLOCK, improve
from musicrec.models.mips import MipsIndex
from tests.worlds import DAY, checkerboard, random_world, train_set

SMALL = ALS(factors=8, iterations=5, genre_weight=0, artist_weight=0, spread=1)


def test_lists_are_those_of_implicit() -> None:
    """The same factors give the lists of implicit's own recommend, up to equal scores, seen items removed."""
    world = random_world(n_users=200, n_items=3000, n_plays=9000)
    fitted, rows = SMALL.fit(world), np.arange(len(random_world(n_users=200, n_items=3000, n_plays=9000).user_ids), dtype=np.int32)
    with threadpool_limits(1, user_api="blas"):
        oracle = AlternatingLeastSquares(factors=8)
        oracle.user_factors, oracle.item_factors = fitted.user_factors, fitted.item_factors
        items, scores = oracle.recommend(rows, world.matrix, N=50)
    ours, our_scores = fitted.recommend(rows, 50)
    np.testing.assert_allclose(our_scores, scores, rtol=1e-4, atol=1e-6)
    assert (ours == items).mean() > 0.95


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6), n_items=st.integers(1, 3000), n=st.integers(1, 60), k=st.integers(1, 40), scale=st.floats(0, 3))
def test_pruned_search_is_exact(seed: int, n_items: int, n: int, k: int, scale: float) -> None:
    """Lists equal a full sort of float64 products, for norms of any spread and for repeated item vectors."""
    rng = np.random.default_rng(seed)
    items = rng.normal(size=(n_items, 6)) * np.exp(scale * rng.normal(size=(n_items, 1)))
    items[rng.integers(0, n_items, n_items // 3)] = items[0]
    items, users = items.astype(np.float32), rng.normal(size=(n, 6)).astype(np.float32)
    seen = sparse.random(n, n_items, 0.1, format="csr", random_state=seed)
    seen.sort_indices()
    found, scores = MipsIndex(items).top_k(users, seen, k)
    # The same order of additions as in the kernel, so that equal vectors have equal products.
    exact = np.zeros((n, n_items))
    for factor in range(6):
        exact += users[:, factor, None].astype(np.float64) * items[None, :, factor].astype(np.float64)
    exact = exact.astype(np.float32)
    exact[seen.toarray() != 0] = -np.inf
    for row in range(n):
        order = np.argsort(-exact[row], kind="stable")[:k]
        order = order[exact[row, order] > -np.inf]
        np.testing.assert_array_equal(found[row, : len(order)], order)
        np.testing.assert_array_equal(scores[row, : len(order)], exact[row, order])
        assert (found[row, len(order):] == -1).all()


def test_the_missing_item_of_the_checkerboard_comes_first() -> None:
    """On the checkerboard nearly every user gets the one missing item of their kind first."""
    world = checkerboard()
    first = ALS(factors=4, iterations=10).fit(world).recommend(np.arange(40, dtype=np.int32), 1)[0][:, 0]
    assert (first == (world.user_ids + 2) % 40).mean() > 0.95


def test_confidence_is_one_plus_alpha_times_weight() -> None:
    """Each trained item vector solves the normal equations of its column."""
    world = random_world(n_plays=4000)
    model = ALS(factors=5, iterations=60, tolerance=0, alpha=3.0, regularization=0.7, genre_weight=0, artist_weight=0, spread=1).fit(world)
    x, weights = model.user_factors.astype(np.float64), world.matrix.toarray()
    for item in (0, 5, 20):
        confidence = np.where(weights[:, item] > 0, 1 + 3 * weights[:, item], 1)
        left = (x.T * confidence) @ x + 0.7 * np.eye(5)
        np.testing.assert_allclose(model.item_factors[item], np.linalg.solve(left, x.T @ (confidence * (weights[:, item] > 0))), atol=5e-3)


@pytest.mark.parametrize("n_items", [30, 3 * BLOCK])
def test_half_an_iteration_solves_the_normal_equations(n_items: int) -> None:
    """With enough steps each row is the dense solution, also where it has more pairs than a block; one without pairs is 0."""
    rng = np.random.default_rng(0)
    confidence = sparse.random(12, n_items, 0.7, format="csr", random_state=1, dtype=np.float32)
    confidence.data = 1 + 4 * confidence.data
    confidence = sparse.vstack([confidence, sparse.csr_matrix((1, n_items), dtype=np.float32)], format="csr")
    others, rows = rng.normal(size=(n_items, 6)).astype(np.float32), rng.normal(size=(13, 6)).astype(np.float32)
    improve(rows, confidence, others, 0.5, 12)
    played, y = confidence.toarray().astype(np.float64), others.astype(np.float64)
    for row in range(12):
        weights = np.where(played[row] > 0, played[row], 1)
        exact = np.linalg.solve((y.T * weights) @ y + 0.5 * np.eye(6), y.T @ played[row])
        np.testing.assert_allclose(rows[row], exact, rtol=2e-4, atol=2e-5)
    assert not rows[12].any()


def test_training_reaches_the_loss_of_implicit() -> None:
    """After the same number of iterations the loss is at most that of implicit's factors, up to a thousandth."""
    world = random_world(n_users=300, n_items=200, n_plays=9000)
    settings_ = ALS(factors=8, iterations=15, tolerance=0, genre_weight=0, artist_weight=0, spread=1)
    with threadpool_limits(1, user_api="blas"):
        oracle = AlternatingLeastSquares(8, settings_.regularization, iterations=15, random_state=0, num_threads=1)
        confidence = world.matrix.copy()
        confidence.data = 1 + settings_.alpha * confidence.data
        oracle.fit(confidence, show_progress=False)
    theirs = FittedALS(world, oracle.user_factors, oracle.item_factors, settings_)
    assert _loss(settings_.fit(world), world) < 1.001 * _loss(theirs, world)


def test_training_ends_when_item_factors_hardly_change() -> None:
    """With a tolerance of 0.9 training ends after the second iteration, since the first one starts from factors that are almost 0."""
    world = random_world(n_users=80, n_items=60, n_plays=2000)
    early, twice = (ALS(factors=8, iterations=iterations, tolerance=tolerance, genre_weight=0, artist_weight=0, spread=1).fit(world)
                    for iterations, tolerance in ((10, 0.9), (2, 0.0)))
    np.testing.assert_array_equal(early.item_factors, twice.item_factors)


def test_nothing_is_learned_from_pairs_of_weight_zero() -> None:
    """Item factors are those of a train set without the pair, and the pair stays seen."""
    world = random_world()
    world.matrix.data[::7] = 0
    taught = sparse.csr_matrix(world.matrix.toarray())
    without = type(world)(world.user_ids, taught, world.last_played[world.matrix.data > 0], catalog=world.catalog, cutoff=world.cutoff)
    np.testing.assert_array_equal(SMALL.fit(world).item_factors, SMALL.fit(without).item_factors)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1])
def test_weights_that_are_no_numbers_are_refused(bad: float) -> None:
    """NaN, infinite and negative weights raise."""
    world = random_world()
    world.matrix.data[0] = bad
    with pytest.raises(ModelError, match="weights of the train set"):
        SMALL.fit(world)


@pytest.mark.parametrize("fields", [{"factors": 0}, {"iterations": 0}, {"tolerance": -1}, {"alpha": 0}, {"regularization": -1},
                                    {"alpha": np.inf}, {"spread": 0.5}, {"spread": np.nan}])
def test_settings_out_of_range_are_refused(fields: dict[str, float]) -> None:
    """No factor, no iteration, no confidence, negative regularization."""
    with pytest.raises(ModelError, match="als needs"):
        ALS(**fields).fit(random_world())  # type: ignore[arg-type]


def test_diverging_factors_are_refused() -> None:
    """Weights near the largest float32 overflow in training, which raises an error instead of giving lists of NaN."""
    world = random_world()
    world.matrix.data[:] = 1e30
    with pytest.raises(ModelError, match="als"):
        ALS(factors=4, iterations=5, alpha=1e8).fit(world)


def test_a_model_restored_from_its_file_answers_the_same(tmp_path: Path) -> None:
    """The arrays of the published file give the same lists, without pickle and without a partial file beside it."""
    world, rows = random_world(), np.arange(-1, 20, dtype=np.int32)
    fitted = SMALL.fit(world)
    fitted.save_npz(tmp_path / "als_model.npz")
    with np.load(tmp_path / "als_model.npz", allow_pickle=False) as stored:
        again = FittedALS.restored(world, SMALL, dict(stored))
        np.testing.assert_array_equal(stored["user_ids"], world.user_ids)
        np.testing.assert_array_equal(stored["item_ids"], world.item_ids)
    for one, other in zip(fitted.recommend(rows, 10), again.recommend(rows, 10)):
        np.testing.assert_array_equal(one, other)
    assert [file.name for file in tmp_path.iterdir()] == ["als_model.npz"]


def test_factors_of_another_train_set_are_refused() -> None:
    """Arrays with another number of users or items than the train set raise ArtifactError with the numbers."""
    arrays = SMALL.fit(random_world()).arrays()
    with pytest.raises(ArtifactError, match="and 80 items do not belong to this train set of 1 users and 3 items"):
        FittedALS.restored(train_set([(1, 0, 1)], 3), SMALL, arrays)


def test_genres_give_factors_to_tracks_that_nobody_played() -> None:
    """With a genre weight an unplayed track is recommended to those who play its genre; without, it has no factors."""
    rows = [(user, item, 1) for user in range(20) for item in range(user % 2, 10, 2) if item != user % 10]
    world = train_set(rows, 12, genres=[[item % 2] for item in range(12)])
    without, with_genres = (ALS(factors=4, genre_weight=weight, artist_weight=0).fit(world) for weight in (0.0, 10.0))
    assert not without.item_factors[10:].any()
    items, _ = with_genres.recommend(np.arange(20, dtype=np.int32), 2)
    assert all(10 + user % 2 in its for user, its in zip(range(20), items.tolist()))


def test_decay_moves_a_user_towards_recent_plays() -> None:
    """A user who moved from genre 0 to genre 1 gets genre 1 with a half-life; without one, user factors are the trained ones."""
    rows = [(user, item, 1) for user in range(40) for item in range(user % 2 * 8, user % 2 * 8 + 8) if (user // 2 + item) % 8]
    rows += [(99, item, 1) for item in range(4)] + [(99, item, 999) for item in range(8, 11)]
    world, row = train_set(rows, 16), np.array([40], np.int32)
    settings = {"factors": 4, "regularization": 0.1, "alpha": 20.0, "genre_weight": 0, "artist_weight": 0}
    plain, decayed = ALS(**settings).fit(world), ALS(**settings, half_life_days=30, min_weight=0).fit(world)  # type: ignore[arg-type]
    np.testing.assert_array_equal(plain.item_factors, decayed.item_factors)
    assert (plain.recommend(row, 3)[0] < 8).sum() > (decayed.recommend(row, 3)[0] < 8).sum()
    np.testing.assert_array_equal(plain.factors_of(row), plain.user_factors[row])


def test_an_extremely_long_half_life_changes_nothing() -> None:
    """Without noticeable decay the recomputed factors are those that solve the user's equations, the trained ones."""
    world, rows = random_world(), np.arange(-1, 25, dtype=np.int32)
    fitted = ALS(factors=5, iterations=40, tolerance=0, half_life_days=1e9, artist_weight=0, genre_weight=0,
                 spread=1).fit(world)
    np.testing.assert_allclose(fitted.factors_of(rows)[1:], fitted.user_factors[rows[1:]], atol=0.02)
    assert not fitted.factors_of(rows)[0].any()


def _loss(fitted: FittedALS, world: TrainSet) -> float:
    """The objective of Hu, Koren and Volinsky over all pairs, computed densely."""
    played, settings_ = world.matrix.toarray(), fitted.settings
    scores = fitted.user_factors.astype(np.float64) @ fitted.item_factors.T.astype(np.float64)
    errors = ((1 + settings_.alpha * played) * ((played > 0) - scores) ** 2).sum()
    return float(errors + settings_.regularization * ((fitted.user_factors ** 2).sum() + (fitted.item_factors ** 2).sum()))


def test_a_small_later_train_set_is_trained_from_scratch() -> None:
    """Below LARGE pairs the factors of an earlier train set have no influence."""
    world = random_world(seed=3)
    early = SMALL.fit(random_world(seed=4))
    np.testing.assert_array_equal(early.warm_start().fit(world).item_factors, SMALL.fit(world).item_factors)


def test_a_large_later_train_set_starts_from_earlier_factors(monkeypatch: pytest.MonkeyPatch) -> None:
    """From LARGE pairs on, one iteration from earlier factors has a lower loss than one from scratch, and leaves these as they were."""
    monkeypatch.setattr("musicrec.models.als.LARGE", 1)
    world = random_world(n_users=80, n_items=60, n_plays=2000)
    early = ALS(factors=8, iterations=20, genre_weight=0, artist_weight=0, spread=1).fit(world)
    before = early.item_factors.copy()
    once = ALS(factors=8, iterations=1, genre_weight=0, artist_weight=0, spread=1)
    warm = dataclasses.replace(early.warm_start(), settings=once).fit(world)
    assert _loss(warm, world) < _loss(once.fit(world), world)
    np.testing.assert_array_equal(early.item_factors, before)


def _with_items(world: TrainSet, item_ids: np.ndarray) -> TrainSet:
    """The train set with these ids as its only items, in ascending order: plays of others are dropped, others are unplayed."""
    rows = np.repeat(np.arange(len(world.user_ids)), np.diff(world.matrix.indptr))
    column = np.full(int(max(item_ids.max(), world.item_ids.max())) + 1, -1)
    column[item_ids] = np.arange(len(item_ids))
    place = column[world.item_ids[world.matrix.indices]]
    kept = place >= 0
    made = interactions(world.user_ids[rows[kept]], place[kept], world.last_played[kept], world.matrix.data[kept], len(item_ids))
    names = sparse.csr_matrix((len(item_ids), 1), dtype=np.float32)
    return TrainSet(made.user_ids, made.matrix, made.last_played, made.repeats,
                    catalog=Catalog(item_ids.astype(np.int32), names, names, names), cutoff=1000 * DAY)


def test_a_warm_start_matches_items_by_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a later train set lacks some items and users, training starts from the factors of the others, at their new indices."""
    monkeypatch.setattr("musicrec.models.als.LARGE", 1)
    world = random_world(n_users=80, n_items=60, n_plays=2000)
    early, later = SMALL.fit(world), _with_items(world, world.item_ids[7:])
    kept = np.isin(world.user_ids, later.user_ids)
    started = SMALL.fit_from(Start(early.user_factors[kept], early.item_factors[7:]), later)
    np.testing.assert_array_equal(early.warm_start().fit(later).item_factors, started.item_factors)


def test_new_items_before_known_ones_do_not_shift_their_factors(monkeypatch: pytest.MonkeyPatch) -> None:
    """With new items of lower ids, one iteration from earlier factors has a lower loss than from the same factors at wrong items."""
    monkeypatch.setattr("musicrec.models.als.LARGE", 1)
    settings_ = ALS(factors=8, iterations=1, genre_weight=0, artist_weight=0, spread=1)
    world = random_world(n_users=80, n_items=60, n_plays=2000)
    early, later = SMALL.fit(world), _with_items(world, np.concatenate([np.arange(1, 9), world.item_ids]))
    warm = dataclasses.replace(early.warm_start(), settings=settings_).fit(later)
    nobody = np.zeros((0, 8), np.float32)
    misplaced = settings_.fit_from(Start(nobody, np.concatenate([early.item_factors, np.zeros((8, 8), np.float32)])), later)
    assert _loss(warm, later) < _loss(misplaced, later)
    assert warm.item_factors.shape == (68, 8)


def test_scores_are_the_mean_of_six_fits() -> None:
    """The dense product of the factors is the mean of those of fits with half, once and twice as many factors, by two seeds each."""
    world = random_world()
    fits = [ALS(factors=size, spread=1, seed=seed).fit(world) for size in (3, 6, 12) for seed in (4, 5)]
    together = ALS(factors=6, spread=2, seed=4).fit(world)
    mean = np.mean([one.user_factors.astype(np.float64) @ one.item_factors.T for one in fits], axis=0)
    np.testing.assert_allclose(together.user_factors @ together.item_factors.T, mean, rtol=1e-4, atol=1e-5)
    assert together.item_factors.shape == (80, 42)


def test_a_spread_of_one_and_a_large_log_have_a_single_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both have the factors that fit_from gives, bit for bit."""
    world, single = random_world(), ALS(factors=6, spread=1)
    factors = single.fit_from(None, world).item_factors
    np.testing.assert_array_equal(single.fit(world).item_factors, factors)
    monkeypatch.setattr("musicrec.models.als.SMALL", world.matrix.nnz - 1)
    np.testing.assert_array_equal(ALS(factors=6, spread=2).fit(world).item_factors, factors)


def test_training_does_not_go_on_from_several_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A later train set that is large is trained from scratch where the earlier one was so small that it has several fits."""
    world, several = random_world(seed=3), ALS(factors=6, spread=2)
    warm = several.fit(random_world(seed=4)).warm_start()
    monkeypatch.setattr("musicrec.models.als.SMALL", 1)
    monkeypatch.setattr("musicrec.models.als.LARGE", 1)
    np.testing.assert_array_equal(warm.fit(world).item_factors, several.fit(world).item_factors)
