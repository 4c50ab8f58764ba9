"""The seeds' own protocol against their formulas, written out with tables as they wrote them."""

import numpy as np
import pandas as pd
import pytest

from musicrec.candidates import GENERATORS
from musicrec.candidates.als import Als
from musicrec.matrix import History, Plays, plays
from musicrec.pipeline.contending import Fitted
from musicrec.pipeline.seeds_protocol import as_the_seeds, heard_kept
from tests.worlds import DAY, history, random_world

SMALL = Als(factors=8, iterations=4, genre_weight=0, artist_weight=0)


def future_of(world: History) -> Plays:
    """Later plays of most users and of two new ones, many of them of tracks heard before or by nobody."""
    rng = np.random.default_rng(3)
    users = np.concatenate([rng.choice(world.user_ids[:-4], 500), [5000, 5000, 5001]])
    return plays(users, rng.integers(0, len(world.item_ids), len(users)), np.full(len(users), 2000 * DAY), None, len(world.item_ids))


def rows_of(made: Plays) -> pd.DataFrame:
    """One row a pair."""
    return pd.DataFrame({"user_id": np.repeat(made.user_ids, np.diff(made.matrix.indptr)), "item_id": made.matrix.indices})


def seed_two(train: pd.DataFrame, test: pd.DataFrame, recs: pd.DataFrame, k: int) -> tuple[float, float, float]:
    """Precision, recall and novelty at k by true and false positives of an outer join, as the second seed counts them."""
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
def test_figures_equal_those_of_the_second_seed(name: str) -> None:
    """Precision, recall and novelty of lists that keep heard tracks are those of the seed's own formulas."""
    world = random_world(n_users=120, n_items=90, n_plays=3000)
    future = future_of(world)
    recommender = (SMALL if name == "als" else GENERATORS["popular"]()).fit(world)
    table = as_the_seeds(Fitted(world, {name: recommender}, {}, {}), future, size=17, length=20)
    answer = heard_kept(recommender)
    assert answer is not None
    rows = world.user_index(future.user_ids)
    warm = rows >= 0
    items, _ = answer(rows[warm], 20)
    users = np.repeat(future.user_ids[warm], 20)
    recs = pd.DataFrame({"user_id": users, "item_id": items.ravel(), "rank": np.tile(np.arange(1, 21), int(warm.sum()))})
    precision, recall, novelty = seed_two(rows_of(world), rows_of(future).query("user_id < 5000"), recs[recs["item_id"] >= 0], 5)
    row = table[table["users"] == "warm"].iloc[0]
    assert row["precision@5"] == pytest.approx(precision)
    assert row["recall@5"] == pytest.approx(recall)
    assert row["unheard@5"] == pytest.approx(novelty)
    assert 0 < novelty < 1, "heard tracks are in the lists"


def test_kept_lists_without_heard_tracks_are_the_usual_lists() -> None:
    """Striking heard tracks from the longer kept list leaves what the generator recommends."""
    world = random_world()
    rows = np.arange(len(world.user_ids), dtype=np.int32)
    for recommender in (SMALL.fit(world), GENERATORS["popular"]().fit(world)):
        answer = heard_kept(recommender)
        assert answer is not None
        for kept, own, heard in zip(answer(rows, 80)[0], recommender.recommend(rows, 5)[0], world.matrix):
            np.testing.assert_array_equal(kept[(kept >= 0) & ~np.isin(kept, heard.indices)][:5], own[own >= 0])


def test_other_generators_are_left_out() -> None:
    """What cannot keep heard tracks has no row instead of a wrong one."""
    world = history([(1, 0, 1), (2, 1, 1), (2, 0, 2)], 3)
    assert heard_kept(GENERATORS["content"]().fit(world)) is None
