"""The protocol of the reference notebooks against their formulas, computed with tables as they compute them."""

import numpy as np
import pandas as pd
import pytest

from musicrec.dataset import Interactions, TrainSet, interactions
from musicrec.models import MODELS, Model, WithSeenItems
from musicrec.models.als import ALS
from musicrec.pipeline import reference_figures
from musicrec.recommender import TwoStageRecommender
from tests.worlds import DAY, random_world, train_set

SMALL = ALS(factors=8, iterations=4, genre_weight=0, artist_weight=0)


def later_plays(world: TrainSet) -> Interactions:
    """Later plays of most users and of two new ones, many of them of items seen before or by nobody."""
    rng = np.random.default_rng(3)
    users = np.concatenate([rng.choice(world.user_ids[:-4], 500), [5000, 5000, 5001]])
    return interactions(users, rng.integers(0, len(world.item_ids), len(users)), np.full(len(users), 2000 * DAY), None, len(world.item_ids))


def rows_of(made: Interactions) -> pd.DataFrame:
    """One row per pair."""
    return pd.DataFrame({"user_id": np.repeat(made.user_ids, np.diff(made.matrix.indptr)), "item_id": made.matrix.indices})


def second_notebook(train: pd.DataFrame, test: pd.DataFrame, recs: pd.DataFrame, k: int) -> tuple[float, float, float]:
    """Precision, recall and novelty at k by true and false positives of an outer join, as the second notebook counts them."""
    both = set(test["user_id"]) & set(recs["user_id"])
    known = test[test["user_id"].isin(both) & test["item_id"].isin(train["item_id"])].assign(gt=True)
    top = recs[recs["user_id"].isin(both) & (recs["rank"] <= k)].assign(pr=True)
    joined = known.merge(top, on=["user_id", "item_id"], how="outer")
    gt, pr = joined["gt"].notna(), joined["pr"].notna()
    sums = pd.DataFrame({"user_id": joined["user_id"], "tp": gt & pr, "fp": ~gt & pr, "fn": gt & ~pr}).groupby("user_id").sum()
    precision, recall = sums["tp"] / (sums["tp"] + sums["fp"]), sums["tp"] / (sums["tp"] + sums["fn"])
    played = top.merge(train.assign(played=True), on=["user_id", "item_id"], how="left")["played"].notna()
    novelty = 1 - played.groupby(top["user_id"].to_numpy()).mean()
    return precision.fillna(0).mean(), recall.fillna(0).mean(), novelty.mean()


@pytest.mark.parametrize("name", ["als", "popular"])
def test_figures_equal_those_of_the_second_notebook(name: str) -> None:
    """Precision, recall and novelty of lists that keep seen items are those of the formulas of the notebook."""
    world = random_world(n_users=120, n_items=90, n_plays=3000)
    test = later_plays(world)
    made = TwoStageRecommender({name: SMALL if name == "als" else MODELS["popular"]()}).fit(world)
    table, model = reference_figures(made, test, size=17, length=20), made.fitted.models[name]
    assert isinstance(model, WithSeenItems)
    rows = world.user_index(test.user_ids)
    warm = rows >= 0
    items, _ = model.recommend_with_seen(rows[warm], 20)
    users = np.repeat(test.user_ids[warm], 20)
    recs = pd.DataFrame({"user_id": users, "item_id": items.ravel(), "rank": np.tile(np.arange(1, 21), int(warm.sum()))})
    precision, recall, novelty = second_notebook(rows_of(world), rows_of(test).query("user_id < 5000"), recs[recs["item_id"] >= 0], 5)
    row = table[table["users"] == "warm"].iloc[0]
    assert row["precision@5"] == pytest.approx(precision)
    assert row["recall@5"] == pytest.approx(recall)
    assert row["novelty@5"] == pytest.approx(novelty)
    assert 0 < novelty < 1, "seen items are in the lists"


@pytest.mark.parametrize("model", [SMALL, MODELS["popular"](), MODELS["popular_by_genre"]()])
def test_lists_with_seen_items_less_those_are_the_usual_lists(model: Model) -> None:
    """Taking seen items out of the longer list with seen items leaves what the model recommends."""
    world = random_world()
    rows, fitted = np.arange(len(world.user_ids), dtype=np.int32), model.fit(world)
    assert isinstance(fitted, WithSeenItems)
    for kept, own, seen in zip(fitted.recommend_with_seen(rows, 80)[0], fitted.recommend(rows, 5)[0], world.matrix):
        np.testing.assert_array_equal(kept[(kept >= 0) & ~np.isin(kept, seen.indices)][:5], own[own >= 0])


def test_other_models_are_left_out() -> None:
    """A model that cannot keep seen items has no row instead of a wrong one, and without any model all columns stay."""
    world = train_set([(1, 0, 1), (2, 1, 1), (2, 0, 2)], 3)
    test = interactions(np.array([1, 2]), np.array([1, 0]), np.full(2, 2000 * DAY), None, 3)
    made = TwoStageRecommender({"content": MODELS["content"](), "popular": MODELS["popular"]()}).fit(world)
    assert set(reference_figures(made, test)["model"]) == {"popular"}
    none = reference_figures(TwoStageRecommender({"content": MODELS["content"]()}).fit(world), test)
    assert none.empty
    assert list(none.columns) == list(reference_figures(made, test).columns)
