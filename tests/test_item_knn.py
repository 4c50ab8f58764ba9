"""Item-kNN against implicit and against brute force."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from implicit.nearest_neighbours import BM25Recommender, CosineRecommender, TFIDFRecommender
from scipy import sparse

from musicrec.dataset import TrainSet
from musicrec.errors import ModelError
from musicrec.models.item_knn import ItemKNN
from musicrec.models.pruning import affordable_items, pruned
from tests.worlds import random_world, train_set

ORACLES = {
    "bm25": lambda k: BM25Recommender(K=k, K1=0.7, B=0.4, num_threads=1),
    "tfidf": lambda k: TFIDFRecommender(K=k, num_threads=1),
    "cosine": lambda k: CosineRecommender(K=k, num_threads=1),
}


def _without_diagonal(similarity: sparse.csr_matrix) -> np.ndarray:
    dense = similarity.toarray()
    np.fill_diagonal(dense, 0)
    return dense


def _with_weight(world: TrainSet, weight: float) -> TrainSet:
    data = world.matrix.data.copy()
    data[0] = weight
    matrix = sparse.csr_matrix((data, world.matrix.indices, world.matrix.indptr), shape=world.matrix.shape)
    return TrainSet(world.user_ids, matrix, world.last_played, catalog=world.catalog, cutoff=world.cutoff)


@pytest.mark.parametrize("weighting", ORACLES)
def test_similarities_are_those_of_implicit(weighting: str) -> None:
    """All similarities of all three weightings equal implicit's, apart from items with themselves, which ours leaves out."""
    world = random_world()
    n_items = len(world.catalog)
    model = ORACLES[weighting](n_items)
    with warnings.catch_warnings(action="ignore"):  # it warns of its own conversions to CSR
        model.fit(world.matrix.astype(np.float64), show_progress=False)
    ours = ItemKNN(weighting=weighting, neighbors=n_items, k1=0.7, b=0.4).fit(world).similarity  # type: ignore[arg-type]
    np.testing.assert_allclose(ours.toarray(), _without_diagonal(model.similarity), rtol=2e-5, atol=1e-7)


@pytest.mark.parametrize("weighting", ORACLES)
def test_each_item_keeps_its_best_neighbors(weighting: str) -> None:
    """With few neighbors, what remains of a row are its largest similarities."""
    world = random_world(3)
    full, few = (ItemKNN(weighting=weighting, neighbors=n).fit(world).similarity.toarray() for n in (80, 5))  # type: ignore[arg-type]
    np.testing.assert_array_equal(-np.sort(-few, axis=1)[:, :5], -np.sort(-full, axis=1)[:, :5])
    assert ((few > 0).sum(axis=1) <= 5).all()


def test_scores_are_weights_times_similarities() -> None:
    """The lists are those of the dense product of weights and similarities without seen items."""
    world = random_world(5)
    fitted = ItemKNN(neighbors=20, half_life_days=0).fit(world)
    dense = world.matrix.toarray().astype(np.float64) @ fitted.similarity.toarray()
    dense[world.matrix.toarray() > 0] = 0
    items, scores = fitted.recommend(np.arange(len(world.user_ids), dtype=np.int32), 10)
    there = items >= 0
    np.testing.assert_allclose(scores[there], np.take_along_axis(dense, np.maximum(items, 0), 1)[there], rtol=1e-5)
    np.testing.assert_allclose(np.where(there, scores, 0), -np.sort(-dense, axis=1)[:, :10], rtol=1e-5)


def test_the_latest_play_decides_with_a_short_half_life() -> None:
    """With recency, neighbors of what was played last come first; without, those of what was played more."""
    rows = [(1, 0, 10), (1, 1, 900), (1, 5, 10), (2, 0, 1), (2, 2, 1), (2, 5, 1), (3, 1, 1), (3, 3, 1), (4, 0, 1), (4, 2, 1), (4, 4, 2)]
    world = train_set(rows, 6, cutoff_day=901)
    user = np.array([0], np.int32)
    settings = {"weighting": "cosine", "neighbors": 6}
    assert ItemKNN(**settings, half_life_days=0).fit(world).recommend(user, 1)[0][0, 0] == 2
    assert ItemKNN(**settings, half_life_days=30, min_weight=0).fit(world).recommend(user, 1)[0][0, 0] == 3


def test_rare_items_are_left_out() -> None:
    """min_listeners leaves rarer items without neighbors and out of every list."""
    world = random_world()
    fitted = ItemKNN(min_listeners=6).fit(world)
    items, _ = fitted.recommend(np.arange(len(world.user_ids), dtype=np.int32), 80)
    assert world.n_listeners[items[items >= 0]].min() >= 6
    assert np.diff(fitted.similarity.indptr)[world.n_listeners < 6].sum() == 0


def test_users_with_many_items_count_by_their_latest_items() -> None:
    """pruned keeps the latest items of a user above the bound and all of the others."""
    world = train_set([(1, 0, 5), (1, 1, 3), (1, 2, 4), (2, 0, 1), (2, 3, 1)], 4)
    kept = pruned(world, world.matrix, 1, 2)
    assert kept.toarray().astype(bool).tolist() == [[True, False, True, False], [True, False, False, True]]


@given(st.lists(st.integers(0, 40), max_size=30), st.integers(1, 50), st.integers(0, 5000))
def test_fewer_items_of_a_user_count_where_pairs_are_too_many(sizes: list[int], most: int, max_pairs: int) -> None:
    """The bound is the largest one up to `most` with at most max_pairs pairs, but never below 1."""
    lengths = np.array(sizes, np.int32)
    affordable = [bound for bound in range(1, most + 1) if (np.minimum(lengths, bound).astype(int) ** 2).sum() <= max_pairs]
    assert affordable_items(lengths, most, max_pairs) == max(affordable, default=1)


def test_similarities_are_those_of_the_counted_items() -> None:
    """With max_pairs for two items of each user the neighbors are those of a model that counts two items."""
    world = random_world()
    pairs = int((np.minimum(world.n_items_of_user, 2) ** 2).sum())
    bounded, two = ItemKNN(max_pairs=pairs).fit(world), ItemKNN(max_items_of_user=2).fit(world)
    assert (bounded.similarity != two.similarity).nnz == 0


def test_nothing_is_learned_from_a_weight_of_zero_and_the_item_stays_seen() -> None:
    """Zeroing one play gives the scores of a train set without it, and the item is still not recommended."""
    world = train_set([(1, 0, 5), (1, 1, 5), (2, 0, 5), (2, 2, 5), (3, 1, 5), (3, 3, 5)], 4)
    silent = ItemKNN(weighting="cosine").fit(_with_weight(world, 0))
    assert silent.recommend(np.array([0], np.int32), 3)[0].tolist() == [[3, -1, -1]]


@pytest.mark.parametrize("weight", [np.nan, np.inf, -1])
def test_impossible_weights_are_refused(weight: float) -> None:
    """NaN, infinite and negative weights raise one sentence that names user and item."""
    with pytest.raises(ModelError, match="for user 7 and item 10"):
        ItemKNN().fit(_with_weight(random_world(), weight))


@pytest.mark.parametrize("settings", [{"neighbors": 0}, {"half_life_days": -1}, {"min_weight": 2}, {"half_life_days": float("nan")}])
def test_settings_out_of_range_are_refused(settings: dict[str, float]) -> None:
    """The message names the setting."""
    with pytest.raises(ModelError, match=next(iter(settings))):
        ItemKNN(**settings).fit(random_world())  # type: ignore[arg-type]
