"""The promotion policy: the best mean is published, the plainest of equal ones, or the list that a backtest undervalues where it is close;
and the sentence says what the others would have gained."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from musicrec.evaluation import decision
from musicrec.evaluation.promotion import LEAN

NAMES = ("ranked", "blended", "rrf", "als")


def tables(*means: float, n: int = 400, noise: float = 0.02) -> dict[str, pd.DataFrame]:
    """Per-user tables of the lists of NAMES whose means are the given ones."""
    rng = np.random.default_rng(5)
    users = np.arange(n)
    drawn = [rng.normal(0, noise, n) for _ in means]
    return {name: pd.DataFrame({"user_id": users, "ndcg@10": mean + values - values.mean()})
            for name, mean, values in zip(NAMES, means, drawn)}


@pytest.mark.parametrize(("means", "winner"), [
    ((0.3, 0.2, 0.1, 0.1), "ranked"), ((0.2, 0.2, 0.2001, 0.1), "rrf"), ((0.2, 0.1, 0.1, 0.3), "als"), ((0.2, 0.21, 0.1, 0.1), "blended")])
def test_the_best_mean_is_published(means: tuple[float, ...], winner: str) -> None:
    """The list with the best mean is published also where the difference is within the noise, and the reason names list and users."""
    found = decision(tables(*means), "rrf")
    assert found.publish == winner
    assert found.reason.startswith(f"{winner} is published because it has the best mean ndcg@10 over 400 users of the backtest: ")


@given(gains=st.lists(st.sampled_from([0.0, 0.25, 0.5]), min_size=1, max_size=4))
def test_of_equal_lists_the_plainest_is_published(gains: list[float]) -> None:
    """Of the lists with the best mean the last one is published."""
    same = {name: pd.DataFrame({"user_id": [1, 2], "ndcg@10": [gain, gain]}) for name, gain in zip(NAMES, gains)}
    last = max(place for place, gain in enumerate(gains) if gain == max(gains))
    assert decision(same, "rrf", samples=5).publish == NAMES[last]


@pytest.mark.parametrize(("behind", "published"), [(0.9, "ranked"), (1.1, "als"), (0, "als")])
def test_what_the_backtest_undervalues_is_published_within_a_standard_error(behind: float, published: str) -> None:
    """A list that is behind the best by less than LEAN standard errors of the difference is published if it is undervalued, and the reason
    says so; one that is further behind, or as good as the best and not the plainest, is not."""
    same = tables(0.2, 0.1, 0.1, 0.2)
    difference = same["als"]["ndcg@10"] - same["ranked"]["ndcg@10"]
    same["als"]["ndcg@10"] += behind * LEAN * difference.std() / np.sqrt(len(difference)) - difference.mean()
    found = decision(same, "rrf", samples=5, undervalued="ranked")
    assert found.publish == published
    assert ("learns from more folds now" in found.reason) == (published == "ranked")
    assert decision(same, "rrf", samples=5).publish == "als"


def test_others_say_what_they_would_have_gained_or_lost() -> None:
    """One row per list, best first: gain is the difference of the means relative to the published list, within its bootstrap interval."""
    found = decision(tables(0.2, 0.25, 0.1, 0.05), "rrf", samples=500)
    others = found.others.set_index("list")
    assert list(others.index) == ["blended", "ranked", "rrf", "als"]
    assert others["gain"].tolist() == pytest.approx([0, -0.2, -0.6, -0.8])
    assert (others["gain_low"] <= others["gain"]).all()
    assert (others["gain"] <= others["gain_high"]).all()
    assert others.loc["blended", ["gain", "gain_low", "gain_high"]].tolist() == [0, 0, 0]
    assert (others["users"] == 400).all()
    assert "ranked 0.2000 (-20.0% [" in found.reason


def test_the_interval_of_a_gain_is_paired() -> None:
    """Two lists that differ by a constant have an interval without width, however much users differ."""
    one = pd.DataFrame({"user_id": range(300), "ndcg@10": np.random.default_rng(0).random(300)})
    other = one.assign(**{"ndcg@10": one["ndcg@10"] + 0.1})
    low, high = decision({"ranked": other, "als": one}, "rrf").others.set_index("list").loc["als", ["gain_low", "gain_high"]]
    assert low == pytest.approx(high)
    assert low < 0


def test_without_users_the_default_is_published() -> None:
    """Without lists, or without users, the default is published and the reason says why; the table has its columns."""
    for nothing in ({}, {name: table[:0] for name, table in tables(0.1, 0.2).items()}):
        found = decision(nothing, "rrf")
        assert found.publish == "rrf"
        assert "no fold has a user" in found.reason
        assert list(found.others.columns) == list(decision(tables(0.1, 0.2), "rrf", samples=5).others.columns)
        assert found.others.empty


def test_a_single_list_is_published_without_a_comparison() -> None:
    """With one list the reason has its mean and names no other."""
    found = decision({"als": tables(0.1)["ranked"]}, "rrf")
    assert found.publish == "als"
    assert found.reason.endswith("0.1000.")


def test_another_metric_decides_by_that_metric() -> None:
    """The metric of the call decides, not ndcg@10."""
    users = {"user_id": [1, 2]}
    found = decision({"ranked": pd.DataFrame({**users, "ndcg@10": [1, 1], "recall@10": [0, 0]}),
                      "als": pd.DataFrame({**users, "ndcg@10": [0, 0], "recall@10": [1, 1]})}, "rrf", "recall@10", samples=5)
    assert found.publish == "als"


def test_tables_of_different_users_are_refused() -> None:
    """A paired comparison needs the same users in every table."""
    uneven = tables(0.3, 0.2)
    uneven["blended"] = uneven["blended"][1:]
    with pytest.raises(ValueError, match="different users"):
        decision(uneven, "rrf")
