"""Candidates, training tables, the blender, the ranker and constraints."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from catboost import CatBoostClassifier
from hypothesis import given, settings
from hypothesis import strategies as st

from musicrec.dataset import Interactions, TrainSet, interactions
from musicrec.errors import ArtifactError, RankingError
from musicrec.features import FEATURES
from musicrec.models import MODELS
from musicrec.ranking import (
    Candidates,
    Constraints,
    Ranker,
    RankerSettings,
    TrainingTable,
    best_candidates,
    candidates,
    columns,
    constrained,
    feature_matrix,
    fit_blender,
    fit_ranker,
    learning_curve,
    lists_of_models,
    load_ranker,
    sampled_users,
    tail,
    training_table,
    training_users,
    tree_count,
)
from tests.worlds import random_world, train_set

QUICK = RankerSettings(iterations=60, learning_rate=0.2, depth=4)


class Stand:
    """A stand-in model: per user a fixed order of the unseen items."""

    def __init__(self, world: TrainSet, scores: np.ndarray) -> None:
        self.scores = np.where(np.vstack([world.matrix.toarray(), np.zeros((1, len(world.catalog)))]) > 0, -np.inf, scores)

    def recommend(self, user_index: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The k best by the fixed scores."""
        values = self.scores[user_index]
        order = np.argsort(-values, axis=1, kind="stable")[:, :k]
        kept = np.take_along_axis(values, order, axis=1)
        return np.where(np.isfinite(kept), order, -1).astype(np.int32), kept.astype(np.float32)


def stands(world: TrainSet, seed: int = 0) -> dict[str, Stand]:
    """Two models with random scores."""
    rng = np.random.default_rng(seed)
    return {name: Stand(world, rng.random((len(world.user_ids) + 1, len(world.catalog)))) for name in ("one", "two")}


def features(world: TrainSet, *names: str) -> dict:
    """Fitted feature groups, all without names."""
    return {name: FEATURES[name]().fit(world) for name in names or FEATURES}


def some_lists(seed: int, n: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Random lists with gaps at the end and tied scores."""
    rng = np.random.default_rng(seed)
    items = rng.permuted(np.tile(np.arange(30), (n, 1)), axis=1)[:, :k].astype(np.int32)
    scores = -np.sort(-rng.integers(0, 5, (n, k)).astype(np.float32), axis=1)
    there = np.arange(k) < rng.integers(0, k + 1, (n, 1))
    return np.where(there, items, -1).astype(np.int32), np.where(there, scores, -np.inf).astype(np.float32)


def some_candidates(world: TrainSet, users: np.ndarray, k: int = 40, models: dict | None = None) -> Candidates:
    """The candidates of these rows by both stand-ins."""
    return candidates(lists_of_models(models or stands(world), users, k), users, 300)


def rrf_lists(world: TrainSet, users: np.ndarray, k: int) -> np.ndarray:
    """The k best candidates by reciprocal rank fusion."""
    found = some_candidates(world, users)
    return best_candidates(found, found.rrf, k)[0]


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000), max_candidates=st.integers(0, 30))
def test_candidates_are_the_union_of_the_lists(seed: int, max_candidates: int) -> None:
    """Items, ranks, scores and rrf of every user equal a plain loop over the user's lists, at most max_candidates with the highest rrf."""
    lists = {"a": some_lists(seed, 6, 8), "b": some_lists(seed + 1, 6, 5)}
    found = candidates(lists, np.arange(6, dtype=np.int32), max_candidates)
    for user in range(6):
        expected: dict[int, dict[int, tuple[int, float]]] = {}
        for g, (items, scores) in enumerate(lists.values()):
            for rank, (item, score) in enumerate(zip(items[user], scores[user]), 1):
                if item >= 0:
                    expected.setdefault(int(item), {})[g] = (rank, float(score))
        rrf = {item: sum(1 / (60 + rank) for rank, _ in ranks.values()) for item, ranks in expected.items()}
        order = sorted(expected, key=lambda item: (-round(rrf[item], 9), item))
        best = sorted(order[:max_candidates])
        part = slice(found.indptr[user], found.indptr[user + 1])
        assert found.item_index[part].tolist() == best
        assert found.rrf_rank[part].tolist() == [order.index(item) + 1 for item in best]
        np.testing.assert_allclose(found.rrf[part], [rrf[item] for item in best], rtol=1e-6)
        for row, item in zip(range(part.start, part.stop), best):
            for g in range(2):
                rank, score = expected[item].get(g, (np.nan, np.nan))
                np.testing.assert_equal((found.ranks[row, g], found.scores[row, g]), (np.float32(rank), np.float32(score)))


def test_zscores_are_standard_scores_within_a_list() -> None:
    """Within each list zscores have mean 0 and deviation 1; a list of equal scores has zscores 0."""
    items = np.array([[3, 1, 2], [5, 6, 7]], np.int32)
    found = candidates({"a": (items, np.array([[9, 4, 2], [1, 1, 1]], np.float32))}, np.array([0, 1], np.int32), 9)
    zscores = found.zscores[:, 0].reshape(2, 3)
    np.testing.assert_allclose(zscores.mean(axis=1), 0, atol=1e-6)
    np.testing.assert_allclose(zscores.std(axis=1), [1, 0], atol=1e-6)


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), k=st.integers(1, 40))
def test_best_candidates_are_sorted_by_score_then_item(seed: int, k: int) -> None:
    """The k best candidates, ties by ascending item index, -1 and -inf where none is left."""
    found = candidates({"a": some_lists(seed, 5, 9), "b": some_lists(seed + 7, 5, 9)}, np.arange(5, dtype=np.int32), 99)
    scores = np.random.default_rng(seed).integers(0, 4, len(found)).astype(np.float32)
    items, values = best_candidates(found, scores, k)
    for user in range(5):
        part = slice(found.indptr[user], found.indptr[user + 1])
        best = sorted(zip(-scores[part], found.item_index[part]))[:k]
        assert items[user].tolist() == [item for _, item in best] + [-1] * (k - len(best))
        assert values[user].tolist() == [-score for score, _ in best] + [-np.inf] * (k - len(best))


def test_a_part_of_the_candidates_keeps_users() -> None:
    """Leaving out candidates keeps the rows of the others and all users, also those left without candidates."""
    found = candidates({"a": some_lists(3, 5, 9)}, np.arange(5, dtype=np.int32), 99)
    part = found.where(found.item_index % 2 == 0)
    assert len(part.indptr) == 6
    assert (part.item_index % 2 == 0).all()
    np.testing.assert_array_equal(part.user_of_candidate, found.user_of_candidate[found.item_index % 2 == 0])


def test_rrf_ignores_scores() -> None:
    """Scaling and shifting the scores of one list changes no rrf."""
    one, two, users = some_lists(1, 8, 9), some_lists(2, 8, 9), np.arange(8, dtype=np.int32)
    plain = candidates({"one": one, "two": two}, users, 12)
    scaled = candidates({"one": one, "two": (two[0], two[1] * 1000 - 5)}, users, 12)
    np.testing.assert_array_equal(plain.item_index, scaled.item_index)
    np.testing.assert_array_equal(plain.rrf, scaled.rrf)


def test_rrf_of_one_list_is_its_order() -> None:
    """A single list comes back in its order."""
    world = random_world()
    stand, users = stands(world)["one"], np.arange(-1, 20, dtype=np.int32)
    found = some_candidates(world, users, models={"one": stand})
    np.testing.assert_array_equal(best_candidates(found, found.rrf, 10)[0], stand.recommend(users, 10)[0])


def test_matrix_columns_follow_their_names() -> None:
    """Each named column holds the value of the candidates or of the feature group."""
    world = random_world()
    users = np.arange(-1, 30, dtype=np.int32)
    found, groups = some_candidates(world, users, 15), features(world)
    names, matrix = columns(found.models, groups).names, feature_matrix(found, groups)
    assert len(names) == matrix.shape[1] == len(set(names))
    assert matrix.dtype == np.float32
    np.testing.assert_array_equal(matrix[:, names.index("two_rank")], found.ranks[:, 1])
    np.testing.assert_array_equal(matrix[:, names.index("one_score")], found.scores[:, 0])
    np.testing.assert_array_equal(matrix[:, names.index("two_zscore")], found.zscores[:, 1])
    np.testing.assert_array_equal(matrix[:, names.index("n_models")], (~np.isnan(found.ranks)).sum(axis=1))
    np.testing.assert_array_equal(matrix[:, names.index("best_rank")], np.nanmin(found.ranks, axis=1))
    first = matrix[:, names.index("rrf_rank")] == 1
    np.testing.assert_array_equal(found.item_index[first], best_candidates(found, found.rrf, 1)[0][:, 0])
    activity = groups["user_activity"]
    start = names.index("listening_month")
    np.testing.assert_array_equal(matrix[:, start:start + len(activity.names)],
                                  activity.values(found.user_of_candidate, found.item_index))


def test_columns_without_a_group_are_the_others() -> None:
    """Leaving out a feature group leaves the columns of the others with the values that they had."""
    world = random_world()
    found, groups = some_candidates(world, np.arange(9, dtype=np.int32)), features(world, "item_popularity", "user_activity")
    whole = columns(found.models, groups)
    remaining, positions = whole.without("item_popularity")
    del groups["item_popularity"]
    assert remaining == columns(found.models, groups)
    np.testing.assert_array_equal(feature_matrix(found, features(world, "item_popularity", "user_activity"))[:, positions],
                                  feature_matrix(found, groups))


def later_plays(world: TrainSet, chosen: np.ndarray) -> Interactions:
    """A test set in which each user but the first plays the items of a row of `chosen`, so its rows are not those of the train set."""
    users = np.repeat(world.user_ids[1:], chosen.shape[1])
    items = chosen[1:].ravel()
    there = items >= 0
    return interactions(users[there], items[there], np.zeros(there.sum(), np.int32), None, len(world.catalog))


def rows_of_fold(world: TrainSet, test: Interactions, negatives: int = 1000, seed: int = 0) -> TrainingTable:
    """The training table of all users over both stand-ins."""
    found = some_candidates(world, np.arange(len(world.user_ids), dtype=np.int32))
    return training_table(found, world.user_ids, test, features(world, "item_popularity", "user_activity"), negatives, seed)


def top_of(world: TrainSet, name: str, k: int) -> np.ndarray:
    """The k best items of every user by one of the stand-ins."""
    return stands(world)[name].recommend(np.arange(len(world.user_ids)), k)[0]


def test_targets_are_the_later_plays_among_the_candidates() -> None:
    """Hits of a user are the candidates that the user played in the test set, nothing else."""
    world = random_world()
    chosen = top_of(world, "one", 3)
    table = rows_of_fold(world, later_plays(world, chosen))
    assert world.user_ids[0] not in table.group
    assert table.target.sum() == 3 * (len(world.user_ids) - 1)
    ranks = table.features[table.target == 1, table.columns.names.index("one_rank")]
    assert sorted(set(ranks.tolist())) == [1, 2, 3]


def test_training_rows_look_like_those_at_prediction() -> None:
    """Features of the rows kept for training are those of the same pairs among all candidates."""
    world = random_world()
    users, groups = np.arange(len(world.user_ids), dtype=np.int32), features(world, "item_popularity", "user_activity")
    test = later_plays(world, top_of(world, "one", 2))
    whole = {row.tobytes() for row in feature_matrix(some_candidates(world, users), groups)}
    assert {row.tobytes() for row in rows_of_fold(world, test, negatives=5).features} < whole


@pytest.mark.parametrize("negatives", [0, 1, 7])
def test_negatives_follow_the_positives(negatives: int) -> None:
    """Every played candidate stays, and for each of them so many of the user's others, the same ones for the same seed."""
    world = random_world()
    test = later_plays(world, top_of(world, "one", 2))
    table, again = rows_of_fold(world, test, negatives), rows_of_fold(world, test, negatives)
    _, counts = np.unique(table.group, return_counts=True)
    assert (counts == 2 * (1 + negatives)).all()
    np.testing.assert_array_equal(table.features, again.features)


def test_users_are_sampled_by_seed() -> None:
    """The sample is of the size asked, ascending, and differs between seeds."""
    test = interactions(np.arange(100) * 3, np.zeros(100, int), np.zeros(100, int), None, 2)
    first, second = sampled_users(test, 10, 0), sampled_users(test, 10, 1)
    assert len(first) == 10
    assert (np.diff(first) > 0).all()
    assert set(first.tolist()) != set(second.tolist())


def _ranked(world: TrainSet, ranker: Ranker, users: np.ndarray, k: int) -> np.ndarray:
    found = some_candidates(world, users)
    return best_candidates(found, ranker.scores(found, features(world, "item_popularity", "user_activity")), k)[0]


def _hits(found: np.ndarray, chosen: np.ndarray) -> float:
    return float(np.mean([len(set(a.tolist()) & set(b.tolist())) for a, b in zip(found[1:], chosen[1:])]))


@pytest.mark.parametrize("loss", ["Logloss", "YetiRank"])
@pytest.mark.parametrize("n_folds", [1, 3])
def test_the_ranker_finds_which_model_is_right(loss: str, n_folds: int) -> None:
    """Where one model is right and the other noise, the ranked list beats rrf and follows the right one."""
    world = random_world()
    users, chosen = np.arange(len(world.user_ids), dtype=np.int32), top_of(world, "two", 5)
    ranker = fit_ranker([rows_of_fold(world, later_plays(world, chosen))] * n_folds, dataclasses.replace(QUICK, loss=loss))
    assert _hits(_ranked(world, ranker, users, 5), chosen) > 4.9 > _hits(rrf_lists(world, users, 5), chosen)
    assert ranker.importance().index[0].startswith("two_")


def test_shuffled_targets_bring_the_ranker_down_to_rrf() -> None:
    """With targets drawn at random among the candidates the ranked list hits the later plays no more often than rrf does."""
    world = random_world()
    users, chosen = np.arange(len(world.user_ids), dtype=np.int32), top_of(world, "two", 5)
    table = rows_of_fold(world, later_plays(world, chosen))
    shuffled = dataclasses.replace(table, target=np.random.default_rng(0).permutation(table.target))
    ranked = _ranked(world, fit_ranker([shuffled], QUICK), users, 5)
    assert _hits(ranked, chosen) <= _hits(rrf_lists(world, users, 5), chosen) + 0.1


def test_a_score_does_not_depend_on_the_batch() -> None:
    """Users get the same ranked list alone and among others, the cold user included; an empty batch has no scores."""
    world = random_world()
    ranker = fit_ranker([rows_of_fold(world, later_plays(world, top_of(world, "one", 2)))], QUICK)
    users = np.array([4, -1, 0], np.int32)
    items = _ranked(world, ranker, users, 10)
    for row in range(len(users)):
        np.testing.assert_array_equal(_ranked(world, ranker, users[row:row + 1], 10)[0], items[row])
    assert _ranked(world, ranker, users[:0], 10).shape == (0, 10)


def test_cold_users_teach_nothing_and_keep_the_order_of_rrf() -> None:
    """Cold users are no training rows, and their ranked list is that of rrf."""
    world = random_world()
    users, cold_id = np.array([-1, 3], np.int32), 10_000
    found, groups = some_candidates(world, users), features(world, "item_popularity", "user_activity")
    test = interactions(np.array([cold_id, world.user_ids[3]]), found.item_index[[0, -1]], np.zeros(2), None, len(world.catalog))
    table = training_table(found, np.array([cold_id, world.user_ids[3]], np.int32), test, groups, 100, 0)
    assert set(table.group.tolist()) == {int(world.user_ids[3])}
    ranked = _ranked(world, fit_ranker([table], QUICK), users, 9)
    np.testing.assert_array_equal(ranked[0], rrf_lists(world, users, 9)[0])


def test_a_saved_ranker_is_loaded_as_it_was(tmp_path: Path) -> None:
    """A saved and loaded ranker gives the same scores and knows its columns; CatBoost alone reads the file."""
    world = random_world()
    table = rows_of_fold(world, later_plays(world, top_of(world, "one", 2)))
    ranker = fit_ranker([table], QUICK)
    ranker.save(tmp_path / "cb_model.cbm")
    again = load_ranker(tmp_path / "cb_model.cbm")
    assert again.columns == ranker.columns == table.columns
    np.testing.assert_array_equal(again.trees.predict(table.features), ranker.trees.predict(table.features))
    assert CatBoostClassifier().load_model(str(tmp_path / "cb_model.cbm")).tree_count_ == ranker.trees.tree_count_
    assert [path.name for path in tmp_path.iterdir()] == ["cb_model.cbm"]


def test_shap_values_add_up_to_the_score() -> None:
    """Per row the contributions differ from the raw score by one constant, the expected score."""
    world = random_world()
    table = rows_of_fold(world, later_plays(world, top_of(world, "one", 2)))
    ranker = fit_ranker([table], QUICK)
    rest = ranker.scores_of_rows(table.features) - ranker.shap(table).sum(axis=1)
    np.testing.assert_allclose(rest, rest[0], atol=1e-3)
    assert ranker.importance().sum() == pytest.approx(100)


def test_a_loaded_ranker_ranks_alike(tmp_path: Path) -> None:
    """The file of the ranker holds the weights of the blender; a CatBoost model without them is refused."""
    world = random_world()
    table = rows_of_fold(world, later_plays(world, top_of(world, "one", 2)))
    ranker = fit_ranker([table], QUICK)
    ranker.save(tmp_path / "cb_model.cbm")
    again = load_ranker(tmp_path / "cb_model.cbm")
    np.testing.assert_array_equal(again.scores_of_rows(table.features), ranker.scores_of_rows(table.features))
    CatBoostClassifier(iterations=1, verbose=False, allow_writing_files=False).fit(table.features, table.target).save_model(
        str(tmp_path / "other.cbm"))
    with pytest.raises(ArtifactError, match="no ranker of this version"):
        load_ranker(tmp_path / "other.cbm")


def test_the_blender_finds_which_model_is_right() -> None:
    """Where one model is right and the other noise, the blended list follows the right one; cold users keep the order of rrf."""
    world = random_world()
    users, chosen = np.arange(-1, len(world.user_ids), dtype=np.int32), top_of(world, "two", 5)
    blender, found = fit_blender([rows_of_fold(world, later_plays(world, chosen))]), some_candidates(world, users)
    blended = best_candidates(found, blender.scores(found), 5)[0]
    assert _hits(blended[1:], chosen) > 4.5
    np.testing.assert_array_equal(blended[0], rrf_lists(world, users[:1], 5)[0])


def test_a_blender_of_nothing_but_hits_weighs_all_models_alike() -> None:
    """Where all rows are hits or none is, all weights are 1."""
    world = random_world()
    table = rows_of_fold(world, later_plays(world, top_of(world, "two", 5)))
    for target in (np.zeros_like(table.target), np.ones_like(table.target)):
        assert fit_blender([dataclasses.replace(table, target=target)]).weights.tolist() == [1.0] * 4


def test_the_mean_of_models_is_the_mean_of_their_scores() -> None:
    """A ranker of three seeds scores like the mean of rankers of one seed each."""
    world = random_world()
    table = rows_of_fold(world, later_plays(world, top_of(world, "one", 2)))
    single = [fit_ranker([table], dataclasses.replace(QUICK, seed=seed, n_seeds=1), 20).scores_of_rows(table.features) for seed in range(3)]
    together = fit_ranker([table], dataclasses.replace(QUICK, n_seeds=3), 20).scores_of_rows(table.features)
    np.testing.assert_allclose(together, np.mean(single, axis=0), atol=1e-4)
    assert not np.allclose(single[0], single[1], atol=1e-3)


def test_the_number_of_trees_is_found_on_the_latest_fold() -> None:
    """Where the latest fold contradicts the earlier ones few trees are kept; where it agrees, many."""
    world = random_world()
    table = rows_of_fold(world, later_plays(world, top_of(world, "one", 5)))
    noise = dataclasses.replace(table, target=np.random.default_rng(0).permutation(table.target))
    assert tree_count([table, noise], QUICK) < 5 < tree_count([table, table], QUICK)


def test_the_learning_curve_ends_where_trees_stop_helping() -> None:
    """Its lowest loss on the latest fold is at the number of trees that is used; without an order to learn it has no rows."""
    world = random_world()
    table = rows_of_fold(world, later_plays(world, top_of(world, "one", 5)))
    curve = learning_curve([table, table], QUICK)
    assert curve["trees"].tolist() == list(range(1, len(curve) + 1))
    assert curve["validation"].idxmin() + 1 == tree_count([table, table], QUICK) == curve.loc[curve["best"], "trees"].item()
    assert curve["train"].iloc[-1] < curve["train"].iloc[0]
    assert learning_curve([], QUICK).empty


def test_folds_without_an_order_are_left_out() -> None:
    """A fold in which all candidates were played, or none was, changes no score of the ranker, and alone it teaches nothing."""
    world = random_world()
    table = rows_of_fold(world, later_plays(world, top_of(world, "one", 5)))
    none, every = (dataclasses.replace(table, target=np.full_like(table.target, value)) for value in (0, 1))
    alone, among = (fit_ranker(tables, QUICK).scores_of_rows(table.features) for tables in ([table], [none, table, every]))
    np.testing.assert_array_equal(alone, among)
    for useless in (none, every):
        with pytest.raises(RankingError, match="nothing to learn an order from"):
            fit_ranker([useless], QUICK)


def test_bad_models_and_tables_are_refused(tmp_path: Path) -> None:
    """No hits, other features, a missing and a damaged file: one sentence each."""
    world = random_world()
    table = rows_of_fold(world, later_plays(world, top_of(world, "one", 2)))
    nothing = dataclasses.replace(table, target=np.zeros_like(table.target))
    with pytest.raises(RankingError, match="no candidate was played"):
        fit_ranker([nothing], QUICK)
    ranker, users = fit_ranker([table, nothing], QUICK), np.arange(3, dtype=np.int32)
    found = some_candidates(world, users, 5)
    with pytest.raises(RankingError, match="listeners_7"):
        ranker.scores(found, features(world, "user_activity"))
    (tmp_path / "half.cbm").write_bytes(b"CBM1 and no more")
    for path in ("half.cbm", "absent.cbm"):
        with pytest.raises(ArtifactError, match=path):
            load_ranker(tmp_path / path)


def _constrained(world: TrainSet, constraints: Constraints, k: int) -> np.ndarray:
    lists = stands(world)["one"].recommend(np.arange(len(world.user_ids)), k * Constraints.pool)
    items, scores = constrained(*lists, world.user_ids, k, constraints, world)
    assert (np.diff(scores, axis=1) <= 0).all()
    assert all(len(set(row.tolist())) == k for row in items)
    return items


def test_constraints_are_off_by_default() -> None:
    """Without constraints the lists pass unchanged."""
    world = random_world()
    np.testing.assert_array_equal(_constrained(world, Constraints(), 8), top_of(world, "one", 8))


@pytest.mark.parametrize("most", [1, 2])
def test_at_most_n_per_artist(most: int) -> None:
    """No artist has more than n tracks in a list that the candidates can fill, and the best track stays first."""
    world = random_world()
    items = _constrained(world, Constraints(max_per_artist=most), 6)
    for row in items:
        assert np.asarray(world.catalog.artists[row].sum(axis=0)).max() <= most
    np.testing.assert_array_equal(items[:, 0], top_of(world, "one", 1)[:, 0])


@pytest.mark.parametrize("log_odds", [False, True])
@pytest.mark.parametrize("decay", [0.2, 0.8, 0.97])
def test_an_artists_tracks_fall_off(decay: float, log_odds: bool) -> None:
    """Lists are those of a loop that takes the best track left, each worth decay ** (tracks of its artist already taken)."""
    artist_of = np.arange(30) // 5
    world = train_set([(1, 0, 1)], 30, artists=[[artist] for artist in artist_of.tolist()])
    items, scores = some_lists(4, 30, 18)
    scores -= 3 if log_odds else 1
    chosen, _ = constrained(items, scores, np.arange(30, dtype=np.int32), 6, Constraints(artist_decay=decay), world, log_odds=log_odds)
    assert chosen.tolist() == [_taken(row, own, artist_of, decay, log_odds, 6) for row, own in zip(items, scores)]


def _taken(items: np.ndarray, scores: np.ndarray, artist_of: np.ndarray, decay: float, log_odds: bool, k: int) -> list[int]:
    left = {int(item): 1 / (1 + np.exp(-float(s))) if log_odds else max(float(s), 0.0) for item, s in zip(items, scores) if item >= 0}
    taken: list[int] = []
    while left and len(taken) < k:
        best = max(left, key=lambda item: left[item] * decay ** sum(artist_of[item] == artist_of[other] for other in taken))
        taken.append(best)
        del left[best]
    return taken + [-1] * (k - len(taken))


def test_training_users_are_bounded_by_their_pairs() -> None:
    """All users where their pairs fit, else as many drawn users as fit together, and at least one; the seed alone decides."""
    test = random_world()
    total = int(test.n_items_of_user.sum())
    assert training_users(test, 99, total, 0).tolist() == test.user_ids.tolist()
    assert len(training_users(test, 7, total, 0)) == 7
    some = training_users(test, 99, total // 2, 0)
    pairs = int(test.n_items_of_user[np.isin(test.user_ids, some)].sum())
    assert total // 2 - test.n_items_of_user.max() < pairs <= total // 2
    assert len(training_users(test, 99, 0, 0)) == 1
    assert training_users(test, 99, total // 2, 1).tolist() != some.tolist()


def test_long_rankers_have_fewer_seeds() -> None:
    """Three rankers are averaged up to 200 trees each, two up to 300, and one of more trees stands alone, with all of them."""
    world = random_world()
    table = rows_of_fold(world, later_plays(world, top_of(world, "one", 2)))
    chosen = dataclasses.replace(QUICK, depth=1, n_seeds=3)
    assert [fit_ranker([table], chosen, trees).trees.tree_count_ for trees in (200, 201, 301, 601)] == [600, 402, 301, 601]


@pytest.mark.parametrize("share", [0.3, 1.0])
def test_the_tail_gets_its_share_at_every_length(share: float) -> None:
    """The first 1, 2, 3 ... tracks of a list hold at least the asked share of tail tracks."""
    world = random_world()
    is_tail = tail(world)[_constrained(world, Constraints(min_tail_share=share), 8)]
    assert (np.cumsum(is_tail, axis=1) >= share * np.arange(1, 9) - 1e-6).all()
    seen = world.n_listeners[~tail(world)].sum()
    assert seen * 2 >= world.n_listeners.sum()


def test_exploration_is_repeatable_and_follows_its_chance() -> None:
    """The same seed draws the same lists, another seed others; small chances change few places."""
    world = random_world()
    plain, little, much = (_constrained(world, Constraints(exploration=chance), 8) for chance in (0.0, 0.1, 1.0))
    np.testing.assert_array_equal(_constrained(world, Constraints(exploration=1.0), 8), much)
    assert (_constrained(world, Constraints(exploration=1.0, seed=1), 8) != much).any()
    assert (plain[:, 0] != little[:, 0]).mean() < 0.3 < (plain[:, 0] != much[:, 0]).mean()


def test_exploration_takes_ids_of_any_sign() -> None:
    """Negative user ids have draws of their own, and a user's list does not depend on who else is asked."""
    world = random_world()
    lists = stands(world)["one"].recommend(np.array([5, 5, 5]), 24)
    ids, explored = np.array([-7, -1, 4], np.int32), Constraints(exploration=1.0)
    items = constrained(*lists, ids, 8, explored, world)[0]
    assert len({row.tobytes() for row in items}) == 3
    np.testing.assert_array_equal(constrained(lists[0][:1], lists[1][:1], ids[:1], 8, explored, world)[0], items[:1])


def test_a_constraint_gives_way_when_nothing_is_left() -> None:
    """With one artist alone and one track per artist allowed, the list is still filled."""
    world = train_set([(1, 0, 5)], 5)
    assert sorted(_constrained(world, Constraints(max_per_artist=1), 4)[0].tolist()) == [1, 2, 3, 4]


def test_every_feature_group_can_be_ranked() -> None:
    """Lists of a real model and all feature groups go through training and prediction."""
    world = random_world()
    rng, users = np.random.default_rng(0), np.arange(len(world.user_ids), dtype=np.int32)
    found, groups = some_candidates(world, users, 30, {"popular": MODELS["popular"]().fit(world), **stands(world)}), features(world)
    test = later_plays(world, rng.integers(0, 80, (len(users), 9)))
    ranker = fit_ranker([training_table(found, world.user_ids, test, groups, 50, 0)], QUICK)
    assert (best_candidates(found, ranker.scores(found, groups), 10)[0] >= 0).all()


def test_nobody_has_no_candidates() -> None:
    """Without users there are no candidates, with all columns."""
    none = candidates({"a": some_lists(0, 0, 5)}, np.empty(0, np.int32), 10)
    assert len(none) == 0
    assert none.ranks.shape == (0, 1)
