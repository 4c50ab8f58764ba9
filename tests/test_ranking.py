"""Pairs, fusion, training tables, the ranker and its rules."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from catboost import CatBoostClassifier
from hypothesis import given, settings
from hypothesis import strategies as st

from musicrec.candidates import GENERATORS
from musicrec.errors import ArtifactError, RankingError
from musicrec.features import FEATURES
from musicrec.matrix import History, Plays, plays
from musicrec.ranking import (
    Fusion,
    Pairs,
    Ranked,
    Ranker,
    RankerSettings,
    Ruled,
    Rules,
    TrainingTable,
    answers,
    feature_matrix,
    feature_names,
    fit_ranker,
    fit_weighted,
    loaded,
    pairs,
    reciprocal_rank_fusion,
    sampled_users,
    tail,
    top,
    training_table,
    tree_count,
)
from tests.worlds import DAY, history, random_world

QUICK = RankerSettings(iterations=60, learning_rate=0.2, depth=4)


class Stand:
    """A stand-in recommender: per user a fixed order of the items that he has not heard."""

    def __init__(self, world: History, scores: np.ndarray) -> None:
        self.scores = np.where(np.vstack([world.matrix.toarray(), np.zeros((1, len(world.catalogue)))]) > 0, -np.inf, scores)

    def recommend(self, user_index: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The k best by the fixed scores."""
        values = self.scores[user_index]
        order = np.argsort(-values, axis=1, kind="stable")[:, :k]
        kept = np.take_along_axis(values, order, axis=1)
        return np.where(np.isfinite(kept), order, -1).astype(np.int32), kept.astype(np.float32)


def stands(world: History, seed: int = 0) -> dict[str, Stand]:
    """Two recommenders with scores of their own."""
    rng = np.random.default_rng(seed)
    return {name: Stand(world, rng.random((len(world.user_ids) + 1, len(world.catalogue)))) for name in ("one", "two")}


def features(world: History, *names: str) -> dict:
    """Fitted groups, all when none is named."""
    return {name: FEATURES[name]().fit(world) for name in names or FEATURES}


def some_lists(seed: int, n: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Random lists with gaps at the end and tied scores."""
    rng = np.random.default_rng(seed)
    items = rng.permuted(np.tile(np.arange(30), (n, 1)), axis=1)[:, :k].astype(np.int32)
    scores = -np.sort(-rng.integers(0, 5, (n, k)).astype(np.float32), axis=1)
    there = np.arange(k) < rng.integers(0, k + 1, (n, 1))
    return np.where(there, items, -1).astype(np.int32), np.where(there, scores, -np.inf).astype(np.float32)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), per_user=st.integers(0, 30))
def test_pairs_are_the_union_of_the_lists(seed: int, per_user: int) -> None:
    """Items, ranks, scores and fused values of every user equal a plain loop over his lists."""
    offered = {"a": some_lists(seed, 6, 8), "b": some_lists(seed + 1, 6, 5)}
    found = pairs(offered, np.arange(6, dtype=np.int32), per_user)
    for user in range(6):
        expected = {}
        for g, (items, scores) in enumerate(offered.values()):
            for rank, (item, score) in enumerate(zip(items[user], scores[user]), 1):
                if item >= 0:
                    expected.setdefault(int(item), {})[g] = (rank, float(score))
        fused = {item: sum(1 / (60 + rank) for rank, _ in said.values()) for item, said in expected.items()}
        best = sorted(sorted(expected, key=lambda item: (-round(fused[item], 9), item))[:per_user])
        part = slice(found.indptr[user], found.indptr[user + 1])
        assert found.item_index[part].tolist() == best
        np.testing.assert_allclose(found.fused[part], [fused[item] for item in best], rtol=1e-6)
        for row, item in zip(range(part.start, part.stop), best):
            for g in range(2):
                rank, score = expected[item].get(g, (np.nan, np.nan))
                np.testing.assert_equal((found.ranks[row, g], found.scores[row, g]), (np.float32(rank), np.float32(score)))


def test_places_are_standard_scores() -> None:
    """Within each list places have mean 0 and deviation 1; a list of equal scores has places 0."""
    items = np.array([[3, 1, 2], [5, 6, 7]], np.int32)
    found = pairs({"a": (items, np.array([[9, 4, 2], [1, 1, 1]], np.float32))}, np.array([0, 1], np.int32), 9)
    places = found.places[:, 0].reshape(2, 3)
    np.testing.assert_allclose(places.mean(axis=1), 0, atol=1e-6)
    np.testing.assert_allclose(places.std(axis=1), [1, 0], atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), k=st.integers(1, 40))
def test_top_sorts_by_score_then_item(seed: int, k: int) -> None:
    """The k best pairs, ties by ascending item index, -1 and -inf where none is left."""
    found = pairs({"a": some_lists(seed, 5, 9), "b": some_lists(seed + 7, 5, 9)}, np.arange(5, dtype=np.int32), 99)
    scores = np.random.default_rng(seed).integers(0, 4, len(found)).astype(np.float32)
    items, values = top(found, scores, k)
    for user in range(5):
        part = slice(found.indptr[user], found.indptr[user + 1])
        best = sorted(zip(-scores[part], found.item_index[part]))[:k]
        assert items[user].tolist() == [item for _, item in best] + [-1] * (k - len(best))
        assert values[user].tolist() == [-score for score, _ in best] + [-np.inf] * (k - len(best))


def test_a_pair_subset_keeps_users() -> None:
    """Leaving out pairs keeps the rows of the others and the users, also those left without pairs."""
    found = pairs({"a": some_lists(3, 5, 9)}, np.arange(5, dtype=np.int32), 99)
    part = found.where(found.item_index % 2 == 0)
    assert len(part.indptr) == 6
    assert (part.item_index % 2 == 0).all()
    np.testing.assert_array_equal(part.user_of_pair, found.user_of_pair[found.item_index % 2 == 0])


def test_fusion_ignores_scores() -> None:
    """Scaling and shifting the scores of one list changes nothing."""
    one, two = some_lists(1, 8, 9), some_lists(2, 8, 9)
    plain = reciprocal_rank_fusion({"one": one, "two": two}, 12)
    scaled = reciprocal_rank_fusion({"one": one, "two": (two[0], two[1] * 1000 - 5)}, 12)
    np.testing.assert_array_equal(plain[0], scaled[0])
    np.testing.assert_array_equal(plain[1], scaled[1])


def test_fusion_of_one_is_that_one() -> None:
    """A single list comes back in its order."""
    world = random_world()
    stand, users = stands(world)["one"], np.arange(-1, 20, dtype=np.int32)
    np.testing.assert_array_equal(Fusion({"one": stand}).recommend(users, 10)[0], stand.recommend(users, 10)[0])


def test_matrix_columns_follow_their_names() -> None:
    """Each named column holds what the pairs or the group say."""
    world = random_world()
    users = np.arange(-1, 30, dtype=np.int32)
    found, groups = pairs(answers(stands(world), users, 15), users, 300), features(world)
    names, matrix = feature_names(found, groups), feature_matrix(found, groups)
    assert len(names) == matrix.shape[1] == len(set(names))
    assert matrix.dtype == np.float32
    np.testing.assert_array_equal(matrix[:, names.index("two.rank")], found.ranks[:, 1])
    np.testing.assert_array_equal(matrix[:, names.index("generators_agreeing")], (~np.isnan(found.ranks)).sum(axis=1))
    first = matrix[:, names.index("fused_rank")] == 1
    np.testing.assert_array_equal(found.item_index[first], Fusion(stands(world), 15).recommend(users, 1)[0][:, 0])
    activity = groups["user_activity"]
    start = names.index("listening_month")
    np.testing.assert_array_equal(matrix[:, start:start + len(activity.names)], activity.values(found.user_of_pair, found.item_index))


def future(world: History, chosen: np.ndarray) -> Plays:
    """Labels: each user but the first plays the items of his row of `chosen`, so rows of labels are not rows of the history."""
    users = np.repeat(world.user_ids[1:], chosen.shape[1])
    items = chosen[1:].ravel()
    there = items >= 0
    return plays(users[there], items[there], np.zeros(there.sum(), np.int32), None, len(world.catalogue))


def window(world: History, labels: Plays, negatives: int = 1000, seed: int = 0) -> TrainingTable:
    """The training table of all users over both stand-ins."""
    users = np.arange(len(world.user_ids), dtype=np.int32)
    found = pairs(answers(stands(world), users, 40), users, 300)
    return training_table(found, world.user_ids, labels, features(world, "item_popularity", "user_activity"), negatives, seed)


def test_targets_are_the_labels_among_the_candidates() -> None:
    """Positives of a user are his labels that some generator offered, nothing else."""
    world = random_world()
    chosen = stands(world)["one"].recommend(np.arange(len(world.user_ids)), 3)[0]
    table = window(world, future(world, chosen))
    assert world.user_ids[0] not in table.group
    assert table.target.sum() == 3 * (len(world.user_ids) - 1)
    ranks = table.features[table.target == 1, table.names.index("one.rank")]
    assert sorted(set(ranks.tolist())) == [1, 2, 3]


def test_training_rows_look_like_those_at_prediction() -> None:
    """Features of the rows kept for training are those of the same pairs among all candidates: leaving out negatives shifts nothing."""
    world = random_world()
    users, groups = np.arange(len(world.user_ids), dtype=np.int32), features(world, "item_popularity", "user_activity")
    labels = future(world, stands(world)["one"].recommend(users, 2)[0])
    whole = {row.tobytes() for row in feature_matrix(pairs(answers(stands(world), users, 40), users, 300), groups)}
    assert {row.tobytes() for row in window(world, labels, negatives=5).features} < whole


@pytest.mark.parametrize("negatives", [0, 1, 7])
def test_negatives_follow_the_positives(negatives: int) -> None:
    """Every positive stays; of the others so many for each positive of the user, the same ones for the same seed."""
    world = random_world()
    labels = future(world, stands(world)["one"].recommend(np.arange(len(world.user_ids)), 2)[0])
    table, again = window(world, labels, negatives), window(world, labels, negatives)
    _, counts = np.unique(table.group, return_counts=True)
    assert (counts == 2 * (1 + negatives)).all()
    np.testing.assert_array_equal(table.features, again.features)


def test_users_are_sampled_by_seed() -> None:
    """The sample is of the size asked, ascending, and differs between seeds."""
    labels = plays(np.arange(100) * 3, np.zeros(100, int), np.zeros(100, int), None, 2)
    first, second = sampled_users(labels, 10, 0), sampled_users(labels, 10, 1)
    assert len(first) == 10
    assert (np.diff(first) > 0).all()
    assert set(first.tolist()) != set(second.tolist())


def _ranked(world: History, table: TrainingTable | list[TrainingTable], settings: RankerSettings = QUICK) -> Ranked:
    tables = table if isinstance(table, list) else [table]
    return Ranked(stands(world), features(world, "item_popularity", "user_activity"), fit_ranker(tables, settings), 40)


def _hits(found: np.ndarray, chosen: np.ndarray) -> float:
    return float(np.mean([len(set(a.tolist()) & set(b.tolist())) for a, b in zip(found[1:], chosen[1:])]))


@pytest.mark.parametrize("loss", ["Logloss", "YetiRank"])
@pytest.mark.parametrize("n_windows", [1, 3])
def test_the_ranker_finds_what_decides(loss: str, n_windows: int) -> None:
    """Where one generator is right and the other noise, the ranked list beats their fusion and follows the right one."""
    world = random_world()
    users = np.arange(len(world.user_ids), dtype=np.int32)
    chosen = stands(world)["two"].recommend(users, 5)[0]
    ranked = _ranked(world, [window(world, future(world, chosen))] * n_windows, dataclasses.replace(QUICK, loss=loss))
    fused = Fusion(stands(world), 40).recommend(users, 5)[0]
    assert _hits(ranked.recommend(users, 5)[0], chosen) > 4.9 > _hits(fused, chosen)
    assert next(iter(ranked.ranker.importance())).startswith("two.")


def test_shuffled_labels_bring_it_down_to_its_generators() -> None:
    """With labels drawn at random among the candidates the ranked list hits the true future no more often than the fusion does."""
    world = random_world()
    users = np.arange(len(world.user_ids), dtype=np.int32)
    chosen = stands(world)["two"].recommend(users, 5)[0]
    table = window(world, future(world, chosen))
    rng = np.random.default_rng(0)
    shuffled = TrainingTable(table.features, table.names, rng.permutation(table.target), table.group)
    fused = Fusion(stands(world), 40).recommend(users, 5)[0]
    assert _hits(_ranked(world, shuffled).recommend(users, 5)[0], chosen) <= _hits(fused, chosen) + 0.1


def test_ranked_lists_answer_like_a_recommender() -> None:
    """A batch answers like single users, the user without history is answered, an empty batch too; nothing heard is offered."""
    world = random_world()
    labels = future(world, stands(world)["one"].recommend(np.arange(len(world.user_ids)), 2)[0])
    ranked, users = _ranked(world, window(world, labels)), np.array([4, -1, 0], np.int32)
    items, scores = ranked.recommend(users, 10)
    for row, user in enumerate(users):
        np.testing.assert_array_equal(ranked.recommend(users[row:row + 1], 10)[0][0], items[row])
        if user >= 0:
            assert not set(world.matrix[user].indices.tolist()) & set(items[row].tolist())
    assert (np.diff(scores, axis=1) <= 0).all()
    assert ranked.recommend(users[:0], 10)[0].shape == (0, 10)


def test_strangers_teach_nothing_and_get_the_fusion() -> None:
    """Users without history are no training rows, and their ranked list is the plain fusion."""
    world = random_world()
    users = np.array([-1, 3], np.int32)
    found = pairs(answers(stands(world), users, 40), users, 300)
    groups = features(world, "item_popularity", "user_activity")
    stranger = 10_000
    labels = plays(np.array([stranger, world.user_ids[3]]), found.item_index[[0, -1]], np.zeros(2), None, len(world.catalogue))
    table = training_table(found, np.array([stranger, world.user_ids[3]], np.int32), labels, groups, 100, 0)
    assert set(table.group.tolist()) == {int(world.user_ids[3])}
    ranked = Ranked(stands(world), groups, fit_ranker([table], QUICK), 40)
    np.testing.assert_array_equal(ranked.recommend(users, 9)[0][0], Fusion(stands(world), 40).recommend(users, 9)[0][0])


def test_a_model_survives_the_disk(tmp_path: Path) -> None:
    """A saved and loaded ranker gives the same scores and knows its columns; CatBoost alone reads the file."""
    world = random_world()
    table = window(world, future(world, stands(world)["one"].recommend(np.arange(len(world.user_ids)), 2)[0]))
    ranker = fit_ranker([table], QUICK)
    ranker.save(tmp_path / "cb_model.cbm")
    again = loaded(tmp_path / "cb_model.cbm")
    assert again.names == ranker.names == table.names
    np.testing.assert_array_equal(again.model.predict(table.features), ranker.model.predict(table.features))
    assert CatBoostClassifier().load_model(str(tmp_path / "cb_model.cbm")).tree_count_ == ranker.model.tree_count_
    assert [path.name for path in tmp_path.iterdir()] == ["cb_model.cbm"]


def test_shap_values_add_up_to_the_score() -> None:
    """Per row the contributions differ from the raw score by one constant, the expected score."""
    world = random_world()
    table = window(world, future(world, stands(world)["one"].recommend(np.arange(len(world.user_ids)), 2)[0]))
    ranker = fit_ranker([table], QUICK)
    rest = ranker.scores_of_rows(table.features) - ranker.shap(table).sum(axis=1)
    np.testing.assert_allclose(rest, rest[0], atol=1e-3)
    assert sum(ranker.importance().values()) == pytest.approx(100)


def test_a_loaded_ranker_ranks_alike(tmp_path: Path) -> None:
    """The weights of the fusion travel in the model's file; a CatBoost model without them is refused."""
    world = random_world()
    table = window(world, future(world, stands(world)["one"].recommend(np.arange(len(world.user_ids)), 2)[0]))
    ranker = fit_ranker([table], QUICK)
    ranker.save(tmp_path / "cb_model.cbm")
    np.testing.assert_array_equal(loaded(tmp_path / "cb_model.cbm").scores_of_rows(table.features), ranker.scores_of_rows(table.features))
    CatBoostClassifier(iterations=1, verbose=False, allow_writing_files=False).fit(table.features, table.target).save_model(
        str(tmp_path / "other.cbm"))
    with pytest.raises(ArtifactError, match="no ranker of this version"):
        loaded(tmp_path / "other.cbm")


def test_the_weighted_fusion_finds_who_is_right() -> None:
    """Where one generator is right and the other noise, a few weights follow the right one; strangers get the plain fusion."""
    world = random_world()
    users = np.arange(-1, len(world.user_ids), dtype=np.int32)
    chosen = stands(world)["two"].recommend(users[1:], 5)[0]
    fusion = fit_weighted([window(world, future(world, chosen))])
    found = pairs(answers(stands(world), users, 40), users, 300)
    listed = top(found, fusion.scores(found), 5)[0]
    assert _hits(listed[1:], chosen) > 4.5
    np.testing.assert_array_equal(listed[0], Fusion(stands(world), 40).recommend(users[:1], 5)[0][0])


def test_the_mean_of_models_is_the_mean_of_their_scores() -> None:
    """A ranker of three seeds scores like the mean of rankers of one seed each."""
    world = random_world()
    table = window(world, future(world, stands(world)["one"].recommend(np.arange(len(world.user_ids)), 2)[0]))
    single = [fit_ranker([table], dataclasses.replace(QUICK, seed=seed, models=1), 20).scores_of_rows(table.features) for seed in range(3)]
    together = fit_ranker([table], dataclasses.replace(QUICK, models=3), 20).scores_of_rows(table.features)
    np.testing.assert_allclose(together, np.mean(single, axis=0), atol=1e-4)
    assert not np.allclose(single[0], single[1], atol=1e-3)


def test_the_number_of_trees_is_found_on_the_latest_window() -> None:
    """Where the latest window contradicts the earlier ones few trees are kept; where it agrees, many."""
    world = random_world()
    users = np.arange(len(world.user_ids), dtype=np.int32)
    table = window(world, future(world, stands(world)["one"].recommend(users, 5)[0]))
    noise = TrainingTable(table.features, table.names, np.random.default_rng(0).permutation(table.target), table.group)
    assert tree_count([table, noise], QUICK) < 5 < tree_count([table, table], QUICK)


def test_bad_models_and_tables_are_refused(tmp_path: Path) -> None:
    """No positives, other features, a missing and a damaged file: one sentence each."""
    world = random_world()
    table = window(world, future(world, stands(world)["one"].recommend(np.arange(len(world.user_ids)), 2)[0]))
    nothing = TrainingTable(table.features, table.names, np.zeros_like(table.target), table.group)
    with pytest.raises(RankingError, match="no candidate was played"):
        fit_ranker([nothing], QUICK)
    ranker, users = fit_ranker([table, nothing], QUICK), np.arange(3, dtype=np.int32)
    found = pairs(answers(stands(world), users, 5), users, 9)
    with pytest.raises(RankingError, match="listeners_7"):
        ranker.scores(found, features(world, "user_activity"))
    (tmp_path / "half.cbm").write_bytes(b"CBM1 and no more")
    for path in ("half.cbm", "absent.cbm"):
        with pytest.raises(ArtifactError, match=path):
            loaded(tmp_path / path)


def _ruled(world: History, rules: Rules, k: int) -> np.ndarray:
    users = np.arange(len(world.user_ids), dtype=np.int32)
    items, scores = Ruled(stands(world)["one"], rules, world).recommend(users, k)
    assert (np.diff(scores, axis=1) <= 0).all()
    assert all(len(set(row.tolist())) == k for row in items)
    return items


def test_rules_are_off_by_default() -> None:
    """Without rules the lists pass unchanged."""
    world = random_world()
    plain = stands(world)["one"].recommend(np.arange(len(world.user_ids)), 8)[0]
    np.testing.assert_array_equal(_ruled(world, Rules(), 8), plain)


@pytest.mark.parametrize("most", [1, 2])
def test_at_most_n_per_artist(most: int) -> None:
    """No artist has more than n tracks in a list that the candidates can fill, and the best track stays first."""
    world = random_world()
    items = _ruled(world, Rules(max_per_artist=most), 6)
    for row in items:
        assert np.asarray(world.catalogue.artists[row].sum(axis=0)).max() <= most
    plain = stands(world)["one"].recommend(np.arange(len(world.user_ids)), 1)[0]
    np.testing.assert_array_equal(items[:, 0], plain[:, 0])


@pytest.mark.parametrize("share", [0.3, 1.0])
def test_the_tail_gets_its_share_at_every_length(share: float) -> None:
    """The first 1, 2, 3 ... tracks of a list hold at least the asked share of tail tracks."""
    world = random_world()
    is_tail = tail(world)[_ruled(world, Rules(min_tail_share=share), 8)]
    assert (np.cumsum(is_tail, axis=1) >= share * np.arange(1, 9) - 1e-6).all()
    heard = world.n_listeners[~tail(world)].sum()
    assert heard * 2 >= world.n_listeners.sum()


def test_exploration_is_repeatable_and_follows_its_chance() -> None:
    """The same seed draws the same lists, another seed others; small chances change few places."""
    world = random_world()
    plain, little, much = (_ruled(world, Rules(exploration=chance), 8) for chance in (0.0, 0.1, 1.0))
    np.testing.assert_array_equal(_ruled(world, Rules(exploration=1.0), 8), much)
    assert (_ruled(world, Rules(exploration=1.0, seed=1), 8) != much).any()
    assert (plain[:, 0] != little[:, 0]).mean() < 0.3 < (plain[:, 0] != much[:, 0]).mean()


def test_a_rule_gives_way_when_nobody_is_left() -> None:
    """One artist alone and a rule of one track per artist: the list is still filled."""
    world = history([(1, 0, 5)], 5)
    assert sorted(_ruled(world, Rules(max_per_artist=1), 4)[0].tolist()) == [1, 2, 3, 4]


def test_a_real_generator_can_be_ranked() -> None:
    """Popular lists and all feature groups go through training and prediction."""
    world = random_world()
    rng, users = np.random.default_rng(0), np.arange(len(world.user_ids), dtype=np.int32)
    generators = {"popular": GENERATORS["popular"]().fit(world), **stands(world)}
    found, groups = pairs(answers(generators, users, 30), users, 300), features(world)
    labels = future(world, rng.integers(0, 80, (len(users), 9)))
    ranker: Ranker = fit_ranker([training_table(found, world.user_ids, labels, groups, 50, 0)], QUICK)
    items, _ = Ranked(generators, groups, ranker, 30).recommend(users, 10)
    assert (items >= 0).all()


def test_pairs_of_nobody_are_no_pairs() -> None:
    """No users, no generators' items: empty pairs with all columns."""
    none = pairs({"a": some_lists(0, 0, 5)}, np.empty(0, np.int32), 10)
    assert isinstance(none, Pairs)
    assert len(none) == 0
    assert none.ranks.shape == (0, 1)
    assert history([], 3).cutoff == 1000 * DAY
