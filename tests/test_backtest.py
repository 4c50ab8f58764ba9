"""The backtest: forward in time, each fold from what lies before it; the user as the unit; the catalog as of the cutoff."""

import dataclasses
from collections.abc import Callable
from contextlib import nullcontext
from functools import cache

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from musicrec.dataset import DAY, Dataset, Fold, catalog, folds_of_days, moment
from musicrec.evaluation import Backtest, BacktestResult, Evaluator, FoldResult, by_user, comparison, pooled_comparison
from musicrec.evaluation.backtest import add_orders
from musicrec.features import FEATURES
from musicrec.models import MODELS
from musicrec.models.als import ALS
from musicrec.ranking import RankerSettings, fit_ranker
from musicrec.recommender import BLENDED, RANKED, RRF, TwoStageRecommender

N_USERS, N_ITEMS, END = 60, 70, 400
FOLDS = tuple(folds_of_days(END * DAY, 40, 3))
TRIAL = RankerSettings(iterations=15, depth=3, learning_rate=0.2, n_seeds=1)
Plays = pd.DataFrame


def plays(seed: int = 0) -> Plays:
    """Days 0 to 450 of two camps; each camp moves on to items with higher ids, so that new items come in every fold."""
    rng = np.random.default_rng(seed)
    users = np.repeat(np.arange(1, N_USERS + 1), 45)
    days = rng.integers(0, 450, len(users))
    like = np.where(rng.random(len(users)) < 0.85, users % 2, 1 - users % 2)
    items = 2 * np.minimum(rng.geometric(0.15, len(users)) - 1 + days // 25, N_ITEMS // 2 - 1) + like
    return pd.DataFrame({"user_id": users, "item_id": items + 100, "second": days * DAY + rng.integers(0, DAY, len(users))})


def dataset(rows: Plays, items: pd.DataFrame | None = None) -> Dataset:
    """These plays in memory with a catalog of their items."""
    if items is None:
        items = items_table(np.arange(100, 100 + N_ITEMS))
    events = pa.table({"user_id": rows["user_id"].astype("int32"), "item_id": rows["item_id"].astype("int32"),
                       "started_at": [moment(second) for second in rows["second"]]})
    return Dataset(ibis.memtable(events), catalog(pa.Table.from_pandas(items, preserve_index=False)))


def items_table(ids: np.ndarray) -> pd.DataFrame:
    """A catalog of these items."""
    artists = [[i % 2, 2 + i // 6] for i in ids]
    return pd.DataFrame({"item_id": ids.astype(np.int32), "genre_ids": [[i % 2] for i in ids], "artist_ids": artists,
                         "album_ids": [[i // 4] for i in ids]})


def recommender() -> TwoStageRecommender:
    """Three models, one of which goes on from fold to fold, a baseline and all feature groups."""
    models = {"als": ALS(factors=6, iterations=3), "item_knn": MODELS["item_knn"](), "popular_decayed": MODELS["popular_decayed"]()}
    return TwoStageRecommender(models, {name: group() for name, group in FEATURES.items()}, {"popular": MODELS["popular"]()},
                               candidates_per_model=20, max_candidates=40)


def backtest(folds: tuple[Fold, ...] = FOLDS, **changed: int) -> Backtest:
    """A small backtest."""
    return dataclasses.replace(Backtest(folds, k=20, max_users=150, max_training_users=120, negatives=8, ranker=TRIAL), **changed)


@cache
def result() -> BacktestResult:
    """The backtest of the plays as they are."""
    return backtest().run(dataset(plays()), recommender())


def shown(one: FoldResult) -> dict[str, bytes]:
    """All that a fold learned and showed, as bytes: sizes, evaluated users, targets, lists of all orders, training rows."""
    evaluator = one.evaluator
    found = {"sizes": np.array([one.n_users, one.n_interactions, one.fold.start, one.fold.end]), "users": evaluator.user_ids,
             "targets": evaluator.targets.items, "indptr": evaluator.targets.indptr, "features": one.training.features,
             "target": one.training.target, "group": one.training.group}
    for name, kept in evaluator.accumulators.items():
        found |= {f"{name} {part}": getattr(kept, part) for part in ("ranks", "lengths", "measures", "exposures")}
        found[f"{name} scores"] = np.concatenate([scores for _, _, scores in kept.hits])
    return {name: array.tobytes() for name, array in found.items()}


def deleted(rows: Plays, end: int) -> Plays:
    """No plays from `end` on."""
    return rows[rows["second"] < end]


def altered(rows: Plays, end: int) -> Plays:
    """Other items at other times from `end` on."""
    late, rng, other = (rows["second"] >= end).to_numpy(), np.random.default_rng(1), rows.copy()
    other.loc[late, "item_id"] = rng.integers(100, 100 + N_ITEMS, late.sum())
    other.loc[late, "second"] = end + rng.integers(0, 300 * DAY, late.sum())
    return other


def added(rows: Plays, end: int) -> Plays:
    """Known and new users, with small and large ids, play every item from the second `end` on."""
    users, items = (part.ravel() for part in np.meshgrid([0, 7, 9000], np.arange(100, 100 + N_ITEMS)))
    return pd.concat([rows, pd.DataFrame({"user_id": users, "item_id": items, "second": end + np.arange(len(users)) // 3 * 60})])


FUTURES: dict[str, Callable[[Plays, int], Plays]] = {"deleted": deleted, "altered": altered, "added": added}


@pytest.mark.parametrize("last", range(len(FOLDS)))
@pytest.mark.parametrize("future", FUTURES)
def test_plays_after_the_end_of_a_fold_change_nothing_in_it(future: str, last: int) -> None:
    """Deleting, altering or adding plays from the end of a fold on leaves it and all earlier folds as they are, bit for bit."""
    other = backtest().run(dataset(FUTURES[future](plays(), FOLDS[last].end)), recommender())
    for mine, theirs in zip(result().folds[:last + 1], other.folds):
        mine_shown, theirs_shown = shown(mine), shown(theirs)
        assert [name for name in mine_shown if mine_shown[name] != theirs_shown[name]] == []
        assert mine_shown.keys() == theirs_shown.keys()
    if last + 1 < len(FOLDS) and future != "deleted":
        assert shown(result().folds[last + 1]) != shown(other.folds[last + 1]), "the comparison can fail"


def test_one_earlier_play_changes_a_fold() -> None:
    """The comparison can fail: one more play in the last second before a fold changes it, and not the fold before."""
    more = pd.DataFrame({"user_id": [3], "item_id": [120], "second": [FOLDS[1].start - 1]})
    other = backtest().run(dataset(pd.concat([plays(), more])), recommender())
    assert shown(other.folds[1]) != shown(result().folds[1])


def test_only_the_first_fold_has_no_ranker() -> None:
    """The first fold compares models, baselines and rrf; all later ones also what was learned from earlier folds."""
    names = [one.evaluator.names for one in result().folds]
    assert set(names[0]) == {"als", "item_knn", "popular_decayed", "popular", RRF}
    assert set(names[1]) == set(names[2]) == {*names[0], BLENDED, RANKED}
    assert result().table()["ranked"].tolist() == [False, True, True]
    assert [len(one.user_ids) for one in result().evaluators] == [len(one.evaluator.user_ids) for one in result().folds[1:]]


@pytest.mark.parametrize("place", [1, 2])
def test_the_ranker_of_a_fold_learns_from_earlier_folds_alone(place: int) -> None:
    """Its ranked and blended lists are those of the recommender fitted before the fold with fit_ranker of the earlier folds' rows."""
    warm = {}
    for fold in FOLDS[:place + 1]:
        fitted = recommender().fit(dataset(plays()).train_set(fold.start), warm)
        warm = fitted.warm_starts
    ranker = fit_ranker([one.training for one in result().folds[:place]], TRIAL)
    evaluator = result().folds[place].evaluator
    users = evaluator.user_ids
    lists = fitted.with_ranker(ranker).lists(users, 20, [RANKED, BLENDED])
    train, test = dataset(plays()).split(FOLDS[place].start, FOLDS[place].end)
    again = Evaluator(train, test)
    for name, one in lists.items():
        again.add(name, one)
        rows = np.isin(again.user_ids, users)
        expected = {column: values[rows] for column, values in again.relevance(name).items()}
        for column, values in evaluator.relevance(name).items():
            np.testing.assert_array_equal(values, expected[column])


def test_training_rows_are_those_of_the_fold() -> None:
    """Hits of a training table are plays of its user in the fold, and no row is an item that the user has played before."""
    rows = plays()
    for fold, table in zip(FOLDS, result().training):
        played = rows[(rows["second"] >= fold.start) & (rows["second"] < fold.end)]
        before = rows[rows["second"] < fold.start]
        n_hits = pd.Series(table.target).groupby(table.group).sum()
        new = played.merge(before[["user_id", "item_id"]].drop_duplicates(), how="left", indicator=True)
        new = new[new["_merge"] == "left_only"].groupby("user_id")["item_id"].nunique()
        assert (n_hits <= new.reindex(n_hits.index).fillna(0)).all()
        assert set(table.group.tolist()) <= set(before["user_id"])
        assert table.target.sum() > 10


def test_the_ranker_of_all_folds_is_that_of_their_rows() -> None:
    """result.ranker learns from all folds; without any hit there is none."""
    made = result().ranker(TRIAL)
    expected = fit_ranker(result().training, TRIAL)
    assert made is not None
    rows = result().training[0].features
    np.testing.assert_array_equal(made.scores_of_rows(rows), expected.scores_of_rows(rows))
    nothing = [dataclasses.replace(one, training=one.training.where(one.training.target == 0)) for one in result().folds]
    assert BacktestResult(nothing, {}).ranker(TRIAL) is None


def test_a_user_of_several_folds_is_one_unit() -> None:
    """Means, intervals and decision are over users, each the mean of its folds, however many folds it is in."""
    tables = pd.concat([one.evaluator.table(RANKED) for one in result().folds[1:]])
    assert tables["user_id"].duplicated().any()
    expected = tables.groupby("user_id")["ndcg@10"].mean()
    own = by_user(result().evaluators)[RANKED]
    assert own["user_id"].tolist() == sorted(set(tables["user_id"]))
    np.testing.assert_allclose(own["ndcg@10"], expected)
    row = pooled_comparison(result().evaluators, samples=50).set_index("model").loc[RANKED]
    assert row["users"] == len(expected)
    assert row["ndcg@10"] == pytest.approx(expected.mean())
    decision = result().decision(samples=50)
    assert (decision.others["users"] == len(expected)).all()
    assert f"over {len(expected)} users" in decision.reason


def test_repeating_a_fold_adds_no_certainty() -> None:
    """The same fold twice gives the interval, p and gains of the fold once."""
    once = BacktestResult(result().folds[2:], {})
    twice = BacktestResult([*result().folds[2:], *result().folds[2:]], {})
    pd.testing.assert_frame_equal(pooled_comparison(once.evaluators, samples=200), pooled_comparison(twice.evaluators, samples=200))
    pd.testing.assert_frame_equal(once.decision(samples=200).others, twice.decision(samples=200).others)


def test_the_decision_compares_the_two_stage_lists_with_the_best_model() -> None:
    """Of the models only the one with the best mean is compared, and the published list has the best mean of all."""
    decision = result().decision(samples=50)
    means = {name: table["ndcg@10"].mean() for name, table in by_user(result().evaluators, "warm").items()}
    singles = {name: mean for name, mean in means.items() if name not in (RANKED, BLENDED, RRF)}
    assert set(decision.others["list"]) == {RANKED, BLENDED, RRF, max(singles, key=lambda name: singles[name])}
    assert means[decision.publish] == max(means.values())


def test_an_empty_backtest_publishes_rrf() -> None:
    """Without folds, and with folds before the first play, there is nothing to compare: rrf is published and there is no ranker."""
    before = (Fold(-90 * DAY, -50 * DAY), Fold(-50 * DAY, -10 * DAY))
    for folds in ((), before):
        none = backtest(folds).run(dataset(plays()), recommender())
        assert none.folds == []
        assert none.decision().publish == RRF
        assert none.ranker(TRIAL) is None
        assert none.evaluators == []
        assert none.warm_starts == {}
        assert pooled_comparison(none.evaluators).empty
        assert none.table().columns.tolist() == result().table().columns.tolist()


def test_a_fold_without_plays_is_left_out() -> None:
    """A fold in which, or before which, nobody played changes nothing for the others."""
    empty_before, empty_after = Fold(-40 * DAY, 0), Fold(900 * DAY, 940 * DAY)
    other = backtest((empty_before, *FOLDS, empty_after), max_users=150 * 5 // 3, max_training_users=120 * 5 // 3).run(
        dataset(plays()), recommender())
    assert [one.fold for one in other.folds] == list(FOLDS)
    assert [shown(one) for one in other.folds] == [shown(one) for one in result().folds]


def test_measured_sees_every_step() -> None:
    """measured gets the models, the features and the steps of each fold, as many as `steps` says."""
    steps: list[str] = []

    def measured(name: str) -> nullcontext[None]:
        steps.append(name)
        return nullcontext()

    tried = backtest(FOLDS[:2])
    tried.run(dataset(plays()), recommender(), measured)
    assert steps == 2 * ["read", "popular", "als", "item_knn", "popular_decayed", "features", "ranker of earlier folds", "evaluate",
                         "training rows"]
    assert len(steps) == 2 * tried.steps(recommender())


def main_table(data: Dataset) -> tuple[pd.DataFrame, TwoStageRecommender]:
    """The comparison on the test set after day 400."""
    train, test = data.split(END * DAY)
    made = recommender().fit(train).with_ranker(result().ranker(TRIAL))
    evaluator = Evaluator(train, test)
    add_orders(evaluator, made, 20, 1 << 20)
    return comparison(evaluator, ("popular",), samples=50), made


def test_catalog_rows_of_items_without_earlier_plays_change_nothing_in_the_main_table() -> None:
    """Neither more items that nobody has played nor other names of items first played after the cutoff change a figure or a list."""
    new = pd.DataFrame({"user_id": [1, 2, 3, 4], "item_id": [170, 170, 171, 171], "second": [END * DAY, *[(END + 9) * DAY] * 3]})
    rows = pd.concat([plays(), new])
    before = set(rows.loc[rows["second"] < END * DAY, "item_id"])
    later = set(rows["item_id"]) - before
    assert later == {170, 171}
    items = items_table(np.arange(100, 100 + N_ITEMS + 2))
    table, made = main_table(dataset(rows, items))
    assert table.set_index("model").loc["popular", "recall@10"] > 0
    other_names = items.copy()
    for column in ("genre_ids", "artist_ids", "album_ids"):
        other_names[column] = [[77, 78] if item not in before else names for item, names in zip(items["item_id"], items[column])]
    more = pd.concat([items_table(np.arange(3, 40)), items, items_table(np.arange(900, 990))])
    fewer = items[items["item_id"].isin(before | later)]
    for changed in (other_names, more, fewer):
        again, remade = main_table(dataset(rows, changed))
        pd.testing.assert_frame_equal(table, again, check_exact=True)
        users = np.arange(N_USERS + 3, dtype=np.int32)
        assert made.recommend(users).item_ids.tobytes() == remade.recommend(users).item_ids.tobytes()


def test_items_that_the_catalog_dates_before_the_cutoff_are_items_of_the_main_table() -> None:
    """With added_at before the cutoff an unplayed item belongs to the train set; with a later date it does not."""
    items = items_table(np.arange(100, 100 + N_ITEMS + 2))
    dates = [moment(0)] * N_ITEMS + [moment(END * DAY - 1), moment(END * DAY)]
    train, _ = dataset(plays(), items.assign(added_at=pd.Series(dates, dtype="datetime64[us]"))).split(END * DAY)
    assert 100 + N_ITEMS in train.item_ids
    assert 100 + N_ITEMS + 1 not in train.item_ids


def test_evaluate_gives_every_evaluated_user_a_list_of_every_order() -> None:
    """In batches of any size, each evaluated user, cold ones included, has one list per order."""
    more = pd.DataFrame({"user_id": [500, 501], "item_id": [100, 120], "second": [END * DAY + 5] * 2})
    train, test = dataset(pd.concat([plays(), more])).split(END * DAY)
    made = recommender().fit(train)
    evaluator = Evaluator(train, test)
    add_orders(evaluator, made, 20, batch_memory=1)
    assert {500, 501} <= set(evaluator.user_ids.tolist())
    assert evaluator.names == made.orders
    for name in made.orders:
        assert (evaluator.accumulators[name].lengths >= 0).all()
        expected = Evaluator(train, test)
        expected.add(name, made.lists(evaluator.user_ids, 20, [name])[name])
        pd.testing.assert_frame_equal(evaluator.table(name), expected.table(name))
