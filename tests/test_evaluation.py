"""Metrics, measures and tables against independent ones: scikit-learn, trec_eval, brute force, and the script beside the design."""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import pytrec_eval
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, ndcg_score, precision_score, recall_score

from musicrec.dataset import Interactions, TrainSet, interactions
from musicrec.errors import SplitError
from musicrec.evaluation import (
    REFERENCE,
    Evaluator,
    comparison,
    evaluate,
    figures,
    losses,
    marginal_hits,
    pooled_comparison,
    segments,
    side_by_side,
    targets,
)
from musicrec.evaluation.metrics import RELEVANCE
from musicrec.lists import Lists
from musicrec.models import Popular, Random
from tests.worlds import DAY, random_world, train_set

SHARED = Path(__file__).parents[2] / "shared"
KS = (1, 5, 10, 30)


def lists_with_ties(user_ids: np.ndarray, n_items: int, k: int, seed: int) -> Lists:
    """Random lists of up to k items a user, many scores equal, ties by ascending item; some lists short, some empty."""
    rng = np.random.default_rng(seed)
    items, scores = np.full((len(user_ids), k), -1, np.int32), np.full((len(user_ids), k), -np.inf, np.float32)
    for row in range(len(user_ids)):
        length = min(int(rng.integers(0, k + 1)), n_items) if rng.random() < 0.5 else min(k, n_items)
        chosen = rng.choice(n_items, length, replace=False).astype(np.int32)
        value = rng.integers(0, 4, length).astype(np.float32)
        order = np.lexsort((chosen, -value))
        items[row, :length], scores[row, :length] = chosen[order], value[order]
    return Lists(user_ids.astype(np.int32), items, scores)


def later_plays(world: TrainSet, seed: int, n: int = 400) -> Interactions:
    """Plays after the cutoff of known and of new users, some pairs of which the train set holds already."""
    rng = np.random.default_rng(seed)
    users = rng.choice(np.concatenate([world.user_ids, [1000, 1001, 1002]]), n)
    return interactions(users, rng.integers(0, len(world.item_ids), n), np.full(n, 2000 * DAY), None, len(world.item_ids))


def case(seed: int) -> tuple[TrainSet, Interactions, Lists]:
    """A random world, a test set, and lists for most users of both."""
    world = random_world(seed)
    test = later_plays(world, seed)
    users = np.union1d(world.user_ids, test.user_ids)[::-1][:-3]
    return world, test, lists_with_ties(users, len(world.item_ids), 30, seed)


def wanted_items(world: TrainSet, test: Interactions) -> dict[int, set[int]]:
    """User -> items of the test set that the user has not seen, by plain sets."""
    seen = {int(u): set(world.matrix[row].indices.tolist()) for row, u in enumerate(world.user_ids)}
    wanted = {int(u): set(test.matrix[row].indices.tolist()) - seen.get(int(u), set()) for row, u in enumerate(test.user_ids)}
    return {user: items for user, items in wanted.items() if items}


def user_table(lists: Lists, test: Interactions, world: TrainSet, ks: tuple[int, ...]) -> pd.DataFrame:
    """Evaluator.table of these lists."""
    evaluator = Evaluator(world, test, ks)
    evaluator.add("lists", lists)
    return evaluator.table("lists")


def listed(lists: Lists) -> dict[int, list[int]]:
    """User -> list."""
    return {int(user): [int(item) for item in row if item >= 0] for user, row in zip(lists.user_ids, lists.items)}


@pytest.mark.parametrize("seed", range(3))
def test_metrics_equal_those_of_trec_eval(seed: int) -> None:
    """Precision, recall, NDCG and reciprocal rank are trec_eval's, to 1e-9, for every user; 0 where there is no list."""
    world, test, lists = case(seed)
    ours = user_table(lists, test, world, KS).set_index("user_id")
    truth = {str(user): {str(item): 1 for item in items} for user, items in wanted_items(world, test).items()}
    run = {str(user): {str(item): -float(rank) for rank, item in enumerate(items)} for user, items in listed(lists).items()}
    cuts = ",".join(map(str, KS))
    theirs = pytrec_eval.RelevanceEvaluator(truth, {f"P.{cuts}", f"recall.{cuts}", f"ndcg_cut.{cuts}", "recip_rank"}).evaluate(run)
    assert {str(user) for user in ours.index} == set(truth)
    for user, row in ours.iterrows():
        for k in KS:
            for name, column in (("precision", f"P_{k}"), ("recall", f"recall_{k}"), ("ndcg", f"ndcg_cut_{k}")):
                assert row[f"{name}@{k}"] == pytest.approx(theirs.get(str(user), {}).get(column, 0.0), abs=1e-9)
        assert row["mrr@30"] == pytest.approx(theirs.get(str(user), {}).get("recip_rank", 0.0), abs=1e-9)


@pytest.mark.parametrize("seed", range(3, 5))
def test_metrics_equal_those_of_scikit_learn(seed: int) -> None:
    """NDCG, precision, recall and, for full lists, average precision are scikit-learn's on the whole catalog, to 1e-9."""
    world, test, _ = case(seed)
    n = len(world.item_ids)
    shuffled = np.argsort(np.random.default_rng(seed).random((len(test.user_ids), n)), axis=1).astype(np.int32)
    lists = Lists(test.user_ids, shuffled, np.zeros(shuffled.shape, np.float32))
    ours, wanted = user_table(lists, test, world, (5, 10, n)).set_index("user_id"), wanted_items(world, test)
    for user, its in listed(lists).items():
        if user not in wanted:
            continue
        truth = np.isin(np.arange(n), list(wanted[user])).astype(int)
        score = np.empty(n)
        score[its] = np.arange(n, 0, -1)
        for k in (5, 10):
            top = np.isin(np.arange(n), its[:k]).astype(int)
            assert ours.loc[user, f"ndcg@{k}"] == pytest.approx(ndcg_score([truth], [score], k=k), abs=1e-9)
            assert ours.loc[user, f"precision@{k}"] == pytest.approx(precision_score(truth, top, zero_division=0), abs=1e-9)
            assert ours.loc[user, f"recall@{k}"] == pytest.approx(recall_score(truth, top), abs=1e-9)
        assert ours.loc[user, f"map@{n}"] == pytest.approx(average_precision_score(truth, score), abs=1e-9)


def test_remaining_metrics_follow_their_formulas() -> None:
    """MAP, capped recall, F1 and hit rate agree with sums written out user by user."""
    world, test, lists = case(7)
    wanted, its = wanted_items(world, test), listed(lists)
    for row in user_table(lists, test, world, KS).to_dict("records"):
        goal, own = wanted[row["user_id"]], its.get(row["user_id"], [])
        for k in KS:
            hit = [rank for rank, item in enumerate(own[:k], 1) if item in goal]
            cap = min(k, len(goal))
            precision, recall = len(hit) / k, len(hit) / len(goal)
            assert row[f"capped_recall@{k}"] == pytest.approx(len(hit) / cap, abs=1e-12)
            assert row[f"map@{k}"] == pytest.approx(sum((n + 1) / rank for n, rank in enumerate(hit)) / cap, abs=1e-12)
            assert row[f"f1@{k}"] == pytest.approx(2 * precision * recall / (precision + recall) if hit else 0, abs=1e-12)
            assert row[f"hit_rate@{k}"] == float(bool(hit))


def test_measures_follow_their_formulas() -> None:
    """Novelty, self-information, diversity over all pairs and mean listeners agree with plain loops."""
    world, test, lists = case(8)
    its, names = listed(lists), world.catalog.genres.toarray()
    norms = np.maximum(np.linalg.norm(names, axis=1), 1e-12)
    cosine = (names @ names.T) / np.outer(norms, norms)
    seen = {int(u): set(world.matrix[row].indices.tolist()) for row, u in enumerate(world.user_ids)}
    for row in user_table(lists, test, world, KS).to_dict("records"):
        own = its.get(row["user_id"], [])
        for k in KS:
            top = own[:k]
            if not top:
                assert np.isnan(row[f"novelty@{k}"])
                continue
            assert row[f"novelty@{k}"] == pytest.approx(np.mean([item not in seen.get(row["user_id"], set()) for item in top]))
            bits = -np.log2(np.maximum(world.n_listeners[top], 1) / len(world.user_ids))
            assert row[f"self_information@{k}"] == pytest.approx(bits.mean(), rel=1e-5)
            assert row[f"listeners@{k}"] == pytest.approx(world.n_listeners[top].mean())
            pairs = [1 - cosine[a, b] for i, a in enumerate(top) for b in top[:i]]
            assert row[f"genre_diversity@{k}"] == pytest.approx(np.mean(pairs) if pairs else np.nan, rel=1e-5, nan_ok=True)


def test_batches_in_any_order_give_the_table_of_one_batch() -> None:
    """Splitting and shuffling users changes no figure."""
    world, test, lists = case(9)
    evaluator, order = Evaluator(world, test, KS), np.random.default_rng(0).permutation(len(lists))
    for part in np.array_split(order, 7):
        evaluator.add("lists", Lists(lists.user_ids[part], lists.items[part], lists.scores[part]))
    pd.testing.assert_frame_equal(evaluator.table("lists"), user_table(lists, test, world, KS))


def test_a_user_cannot_come_twice() -> None:
    """The second list of a user is refused instead of being counted on top."""
    world, test, lists = case(9)
    evaluator = Evaluator(world, test)
    evaluator.add("lists", lists)
    with pytest.raises(ValueError, match="two lists"):
        evaluator.add("lists", lists)


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000))
def test_metrics_keep_their_bounds(seed: int) -> None:
    """Every metric lies in 0..1; recall and hit rate never fall with k; capped recall is never below recall; a perfect list scores 1."""
    world, test, lists = case(seed)
    table = user_table(lists, test, world, KS)
    values = table[[f"{name}@{k}" for name in RELEVANCE for k in KS]].to_numpy()
    assert values.min() >= 0
    assert values.max() <= 1
    for name in ("recall", "hit_rate", "mrr"):
        assert (np.diff(table[[f"{name}@{k}" for k in KS]].to_numpy(), axis=1) >= 0).all()
    assert (table["capped_recall@10"] >= table["recall@10"]).all()
    wanted = targets(world, test)
    width = int(wanted.counts.max())
    perfect = np.full((len(wanted), width), -1, np.int32)
    for row in range(len(wanted)):
        perfect[row, :wanted.counts[row]] = wanted.items[wanted.indptr[row]:wanted.indptr[row + 1]]
    best = user_table(Lists(wanted.user_ids, perfect, np.zeros(perfect.shape, np.float32)), test, world, (5, width))
    for name in ("ndcg", "map", "capped_recall", "mrr", "hit_rate"):
        assert best[f"{name}@5"].to_numpy() == pytest.approx(1)
    assert best[f"recall@{width}"].to_numpy() == pytest.approx(1)


def test_a_pair_of_the_train_set_is_no_target() -> None:
    """A play of a seen item is no target; a user with nothing else is not evaluated."""
    world = train_set([(1, 0, 1), (2, 1, 1)], 3)
    test = interactions(np.array([1, 2, 2]), np.array([0, 1, 2]), np.full(3, 2000 * DAY), None, 3)
    assert targets(world, test).user_ids.tolist() == [2]
    assert targets(world, test).items.tolist() == [2]
    assert targets(world, test, REFERENCE).user_ids.tolist() == [1, 2]
    assert targets(world, test, REFERENCE).items.tolist() == [0, 1], "items that nobody played in the train set are left out"


def test_without_users_tables_have_all_columns_and_no_rows() -> None:
    """When no user has a target, every table has the columns that it has otherwise, and no row about users."""
    world = train_set([(1, 0, 1)], 2)
    lists = Lists(np.array([1], np.int32), np.array([[1]], np.int32), np.ones((1, 1), np.float32))
    evaluators = []
    for item in (0, 1):
        evaluator = Evaluator(world, interactions(np.array([1]), np.array([item]), np.array([2000 * DAY]), None, 2))
        evaluator.add("one", lists)
        evaluators.append(evaluator)
    nobody, somebody = evaluators
    assert (len(nobody.user_ids), len(somebody.user_ids)) == (0, 1)
    tables = (lambda e: comparison(e, samples=10), figures, lambda e: pooled_comparison([e], samples=10))
    for table in tables:
        assert list(table(nobody).columns) == list(table(somebody).columns)
        assert len(table(nobody)) == 0 < len(table(somebody))
    assert list(segments(nobody).columns) == list(segments(somebody).columns)
    assert set(segments(nobody)["of"]) == {"tracks"}
    assert marginal_hits(nobody)["hits"].tolist() == [0, 0]
    without_models = Evaluator(world, interactions(np.array([1]), np.array([1]), np.array([2000 * DAY]), None, 2))
    assert list(comparison(without_models).columns) == list(comparison(somebody, samples=10).columns)


def test_a_test_set_with_fewer_items_is_refused() -> None:
    """A test set of another dataset is one sentence that names both sizes."""
    with pytest.raises(SplitError, match=r"1 items and the train set 2"):
        targets(train_set([(1, 0, 1)], 2), interactions(np.array([1]), np.array([0]), np.array([2000 * DAY]), None, 1))


@pytest.mark.parametrize("seed", range(3))
def test_items_that_came_after_the_cutoff_are_targets_and_never_hits(seed: int) -> None:
    """Targets behind the items of the train set count in every denominator, are of segment "new", and no list can hold them."""
    world, rng = random_world(seed), np.random.default_rng(seed)
    n, users = len(world.item_ids), rng.choice(np.concatenate([world.user_ids, [1000, 1001]]), 500)
    users, items = np.append(users, 1002), np.append(rng.integers(0, n + 40, 500), n + 3)
    test = interactions(users, items, np.full(501, 2000 * DAY), None, n + 40)
    lists = lists_with_ties(np.union1d(world.user_ids, [1000, 1001, 1002]), n, 30, seed)
    wanted, items_of = wanted_items(world, test), listed(lists)
    assert any(min(items) >= n for items in wanted.values()), "some user has nothing but later items as targets"
    evaluator = Evaluator(world, test, KS)
    evaluator.add("lists", lists)
    for row in evaluator.table("lists").to_dict("records"):
        goal, own = wanted[row["user_id"]], items_of[row["user_id"]]
        ranks = [rank for rank, item in enumerate(own[:10], 1) if item in goal]
        assert row["n_targets"] == len(goal)
        assert row["recall@10"] == pytest.approx(len(ranks) / len(goal))
        ideal = sum(1 / np.log2(rank + 1) for rank in range(1, min(10, len(goal)) + 1))
        assert row["ndcg@10"] == pytest.approx(sum(1 / np.log2(rank + 1) for rank in ranks) / ideal)
    assert set(evaluator.user_ids.tolist()) == set(wanted)
    new = segments(evaluator).set_index("segment").loc["new"]
    unplayed = set(np.flatnonzero(world.n_listeners == 0).tolist())
    assert new["count"] == len(unplayed) + 40
    assert new["targets"] == sum(item >= n or item in unplayed for items in wanted.values() for item in items)
    hits = sum(item in unplayed for user, items in wanted.items() for item in items if item in items_of[user][:10])
    assert new["recall@10"] == pytest.approx(hits / new["targets"])


def two_models(seed: int = 11) -> tuple[Evaluator, TrainSet, Interactions]:
    """An evaluator with the lists of a good model (targets among noise), a bad one, and one that serves nobody."""
    world, test, noise = case(seed)
    evaluator = Evaluator(world, test)
    good = noise.items.copy()
    for row, user in enumerate(noise.user_ids):
        place = int(np.searchsorted(evaluator.user_ids, user))
        if place < len(evaluator.user_ids) and evaluator.user_ids[place] == user and row % 2:
            good[row] = -1
            good[row, 0] = evaluator.targets.items[evaluator.targets.indptr[place]]
    evaluator.add("bad", noise)
    evaluator.add("good", Lists(noise.user_ids, good, np.where(good >= 0, np.float32(0.5), -np.inf).astype(np.float32)))
    evaluator.add("silent", Lists(noise.user_ids[:0], noise.items[:0], noise.scores[:0]))
    return evaluator, world, test


def test_comparison_rows_hold_the_same_users_and_means_of_the_tables() -> None:
    """Every row is a mean over all evaluated users; the better model stands first and beats the baseline in the paired test."""
    evaluator, *_ = two_models()
    table = comparison(evaluator, baselines=("bad",), samples=200).set_index("model")
    assert table.index[0] == "good"
    assert (table["users"] == len(evaluator.user_ids)).all()
    for name in evaluator.names:
        for column in ("ndcg@10", "recall@100", "f1@5"):
            assert table.loc[name, column] == pytest.approx(evaluator.table(name)[column].mean())
    assert table.loc["good", "p_holm"] < 0.01
    assert np.isnan(table.loc["bad", "p"])
    assert table.loc["good", "ndcg@10_low"] <= table.loc["good", "ndcg@10"] <= table.loc["good", "ndcg@10_high"]
    assert table.loc["good", "difference_low"] > 0
    assert table.loc["silent", "served"] == 0
    assert table.loc["silent", "ndcg@10"] == 0
    assert np.isnan(table.loc["silent", "novelty@10"])


def test_warm_and_cold_users_make_up_all() -> None:
    """Means over all users are the means of the two groups weighted by their sizes; coverage of all is at least that of either."""
    evaluator, *_ = two_models()
    everyone, warm, cold = (comparison(evaluator, users=users, samples=0).set_index("model") for users in ("all", "warm", "cold"))
    for name in evaluator.names:
        blended = warm.loc[name, "recall@10"] * warm.loc[name, "users"] + cold.loc[name, "recall@10"] * cold.loc[name, "users"]
        assert everyone.loc[name, "recall@10"] == pytest.approx(blended / everyone.loc[name, "users"])
        assert everyone.loc[name, "coverage@10"] >= max(warm.loc[name, "coverage@10"], cold.loc[name, "coverage@10"])


def test_an_unknown_metric_or_baseline_is_refused() -> None:
    """A typing error raises instead of choosing another test."""
    evaluator, *_ = two_models()
    for wrong in ({"metric": "ndgc@10"}, {"baselines": ("nobody",)}):
        with pytest.raises(ValueError, match="must be one of"):
            comparison(evaluator, **wrong)


def test_a_length_that_was_not_evaluated_is_refused() -> None:
    """Tables at another k name the lengths that there are."""
    evaluator, *_ = two_models()
    for table in (segments, figures):
        with pytest.raises(ValueError, match="choose one of 5, 10, 100"):
            table(evaluator, k=7)


def test_popularity_lift_compares_lists_with_seen_items() -> None:
    """A list of tracks twice as popular as the train set's has lift 1."""
    world = train_set([(1, 0, 1), (1, 1, 1), (2, 2, 1), (3, 2, 1), (4, 2, 1), (4, 0, 1)], 4)
    test = interactions(np.array([1]), np.array([3]), np.array([2000 * DAY]), None, 4)
    evaluator = Evaluator(world, test, (10,))
    evaluator.add("hit", Lists(np.array([1], np.int32), np.array([[2]], np.int32), np.ones((1, 1), np.float32)))
    assert comparison(evaluator, samples=0)["popularity_lift@10"].item() == pytest.approx(3 / 1.5 - 1)


def test_segments_split_users_and_targets_without_rest() -> None:
    """Counts of user segments add up to the evaluated users; targets of track segments to all targets; exposures to 1."""
    evaluator, *_ = two_models()
    table = segments(evaluator)
    for name in ("bad", "good"):
        own = table[table["model"] == name]
        assert own.loc[own["of"] == "users", "count"].sum() == len(evaluator.user_ids)
        assert own.loc[own["of"] == "tracks", "count"].sum() == len(evaluator.train.item_ids)
        assert own["targets"].sum() == len(evaluator.targets.items)
        assert own["exposure@10"].sum() == pytest.approx(1)
    users = table[(table["model"] == "good") & (table["of"] == "users")]
    blended = (users["ndcg@10"] * users["count"]).sum() / users["count"].sum()
    assert blended == pytest.approx(evaluator.table("good")["ndcg@10"].mean())


def test_marginal_hits_are_those_of_one_model_only() -> None:
    """Hits that two models share belong to neither, and the union without one model is the other."""
    evaluator, world, test = two_models()
    table = marginal_hits(evaluator, ("bad", "good")).set_index("model")
    wanted, found = wanted_items(world, test), {}
    for name in ("bad", "good"):
        ranks = evaluator.accumulators[name].ranks
        users = np.repeat(evaluator.user_ids, evaluator.targets.counts)
        found[name] = set(zip(users[ranks > 0].tolist(), evaluator.targets.items[ranks > 0].tolist()))
    assert table.loc["good", "only_here"] == len(found["good"] - found["bad"])
    assert table.loc["union", "hits"] == len(found["good"] | found["bad"])
    union = np.mean([len([i for i in items if (u, i) in found["good"] | found["bad"]]) / len(items) for u, items in wanted.items()])
    assert table.loc["union", "recall"] == pytest.approx(union)
    assert table.loc["bad", "union_without"] == pytest.approx(table.loc["good", "recall"])


def test_every_target_is_lost_in_one_place() -> None:
    """Outcomes add up to all targets; hits are those of the list, further ones those of the models, and cold users and new items follow."""
    evaluator, world, test = two_models()
    table = losses(evaluator, "good", ("bad",)).set_index("outcome")["targets"]
    ranks, other = (evaluator.accumulators[name].ranks for name in ("good", "bad"))
    assert table.sum() == len(evaluator.targets.items) == sum(map(len, wanted_items(world, test).values()))
    assert table["in the first 10 of the list"] == ((ranks > 0) & (ranks <= 10)).sum()
    assert table["found by a model, ranked too low for the list"] == ((ranks == 0) & (other > 0)).sum()
    missed, cold = (ranks == 0) & (other == 0), np.repeat(~evaluator.targets.warm, evaluator.targets.counts)
    unplayed = world.n_listeners[evaluator.targets.items] == 0
    assert table["the user is new"] == (missed & cold).sum() > 0
    assert table["the item is new"] == (missed & ~cold & unplayed).sum()
    assert losses(evaluator, "silent", ()).set_index("outcome")["targets"]["in the first 10 of the list"] == 0


def test_one_line_evaluates_fitted_models() -> None:
    """Rows are those of comparison for the warm users, in the order of the models; nobody to evaluate gives no rows."""
    world, test, _ = case(4)
    fitted = {"random": Random().fit(world), "popular": Popular().fit(world)}
    table = evaluate(fitted, world, test, samples=20)
    evaluator = Evaluator(world, test)
    for name, model in fitted.items():
        evaluator.add(name, Lists(evaluator.user_ids, *model.recommend(evaluator.train_rows, 100)))
    expected = comparison(evaluator, users="warm", samples=20).set_index("model")
    assert list(table.index) == ["random", "popular"]
    pd.testing.assert_series_equal(table["ndcg@10"], expected.loc[table.index, "ndcg@10"])
    assert table["users"].tolist() == [int(evaluator.targets.warm.sum())] * 2
    assert evaluate(fitted, world, test, most_users=5, samples=0)["users"].max() <= 5
    assert evaluate(fitted, world, later_plays(world, 0, n=0)).empty


def test_reference_figures_follow_their_formulas() -> None:
    """Hit share, mean hits, rmse and mae of cold users agree with a plain loop over lists."""
    world, test, lists = case(12)
    evaluator = Evaluator(world, test)
    evaluator.add("lists", lists)
    row = figures(evaluator).set_index("users").loc["cold"]
    wanted, its = wanted_items(world, test), listed(lists)
    cold = [user for user in wanted if user not in set(world.user_ids.tolist())]
    hits = [sum(item in wanted[user] for item in its.get(user, [])) for user in cold]
    assert row["hit_share"] == pytest.approx(np.mean([n > 0 for n in hits]))
    assert row["mean_hits"] == pytest.approx(np.mean([n for n in hits if n]))
    counts = world.n_listeners + np.bincount([i for items in wanted.values() for i in items], minlength=len(world.item_ids))
    fewest = counts[counts > 0].min()
    truth = (counts - fewest) / (counts.max() - fewest)
    score = {(int(u), int(i)): float(s) for u, its, ss in zip(lists.user_ids, lists.items, lists.scores) for i, s in zip(its, ss) if i >= 0}
    low, high = min(score.values()), max(score.values())
    errors = [(score[u, i] - low) / (high - low) - truth[i] for u in cold for i in wanted[u] if (u, i) in score]
    assert row["rmse"] == pytest.approx(np.sqrt(np.mean(np.square(errors))))
    assert row["mae"] == pytest.approx(np.mean(np.abs(errors)))


def test_protocols_stand_side_by_side() -> None:
    """A model that one protocol lacks stays in the table."""
    left = pd.DataFrame({"model": ["als", "popular"], "ndcg@10": [0.2, 0.1]})
    both = side_by_side({"temporal": left, "random hold-out": left[:1]}, ("ndcg@10",))
    assert both.loc["als"].tolist() == [0.2, 0.2]
    assert np.isnan(both.loc["popular", ("ndcg@10", "random hold-out")])


def independent_evaluator() -> ModuleType:
    """tools/evaluate.py beside the project, when it is there."""
    path = SHARED / "tools" / "evaluate.py"
    if not path.exists():
        pytest.skip("the independent evaluator is not on this machine")
    spec = importlib.util.spec_from_file_location("evaluate", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_metrics_equal_those_of_the_independent_evaluator_on_real_plays() -> None:
    """Per-user metrics and coverage of co-listening lists on lastfm_artists are those of tools/evaluate.py, to 1e-12."""
    other = independent_evaluator()
    events = pd.read_parquet(SHARED / "data" / "lastfm_artists" / "interactions.parquet").rename(columns={"track_id": "item_id"})
    item_ids, item_index = np.unique(events["item_id"], return_inverse=True)
    times = (events["started_at"].to_numpy().astype("datetime64[m]").astype(np.int64))
    past = events["started_at"].to_numpy() < np.datetime64("2010-06-01")
    users = events["user_id"].to_numpy()
    made, test = (interactions(users[part], item_index[part], times[part], None, len(item_ids)) for part in (past, ~past))
    world = TrainSet(made.user_ids, made.matrix, made.last_played, catalog=train_set([], len(item_ids)).catalog, cutoff=0)
    counts = np.asarray((made.matrix @ (made.matrix.T @ made.matrix)).todense())
    items = np.argsort(-counts, axis=1, kind="stable")[:, :100].astype(np.int32)
    lists = Lists(made.user_ids, items, np.take_along_axis(counts, items.astype(np.int64), 1).astype(np.float32))
    evaluator = Evaluator(world, test)
    evaluator.add("lists", lists)
    ours = evaluator.table("lists").query("warm").reset_index(drop=True)
    train, test = (events.loc[part, ["user_id", "item_id"]] for part in (past, ~past))
    ranks = np.tile(np.arange(1, 101), len(lists))
    recs = pd.DataFrame({"user_id": np.repeat(lists.user_ids, 100), "item_id": item_ids[items.ravel()], "rank": ranks})
    theirs, info = other.per_user_metrics(train, test, recs)
    np.testing.assert_array_equal(ours["user_id"], theirs["user_id"])
    for column in ("precision@10", "recall@10", "ndcg@10", "map@10", "hit_rate@10", "recall@100"):
        np.testing.assert_allclose(ours[column], theirs[column.replace("hit_rate", "hit")], rtol=0, atol=1e-12)
    assert comparison(evaluator, users="warm", samples=0)["played_coverage@10"].item() == pytest.approx(info["coverage@10"])
