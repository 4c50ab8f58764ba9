"""Experiments: who is in which variant, what the file may say, what feedback belongs to, and how sure a difference is."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy.stats import chi2_contingency, chisquare

from benchmarks.experiments import World
from musicrec import settings
from musicrec.errors import DataError, SettingsError
from musicrec.evaluation.significance import holm
from musicrec.experiments.analysis import cuped, differences, report, sample_ratio_p, snips
from musicrec.experiments.assignment import Experiment, Variant
from musicrec.experiments.attribution import METRICS, Outcomes, outcomes
from musicrec.experiments.file import change, read_experiments

BLENDING = settings.load(Path("config.ini"), {}).blending
START = datetime(2026, 3, 1)
USERS = range(100_000)


def experiment(name: str, share: float = 1.0, **weights: float) -> Experiment:
    """One with these variants."""
    variants = tuple(Variant(variant, weight) for variant, weight in (weights or {"control": 1, "new": 1}).items())
    return Experiment(name, variants, share)


def names(one: Experiment, users: Any = USERS) -> list[str]:
    """The variant of each user; empty outside the share."""
    return [variant.name if (variant := one.variant_of(user)) else "" for user in users]


def test_users_are_split_as_share_and_weights_say() -> None:
    """Of 100,000 users the counts outside and in each variant differ from those asked for by chance alone."""
    counts = pd.Series(names(experiment("a", 0.4, control=1, new=2, other=1))).value_counts()
    assert chisquare(counts[["", "control", "new", "other"]], [60_000, 10_000, 20_000, 10_000]).pvalue > 0.001


def test_experiments_are_independent_of_each_other_and_equal_with_the_same_salt() -> None:
    """The variant in one says nothing of that in another, unless both have the same salt."""
    first, second = (names(experiment(name, 0.5)) for name in ("a", "b"))
    assert chi2_contingency(pd.crosstab(np.array(first), np.array(second))).pvalue > 0.001
    alike = [names(Experiment(name, experiment("x").variants, salt="same"), range(100)) for name in ("a", "b")]
    assert alike[0] == alike[1]


def test_assignment_is_the_same_in_every_process() -> None:
    """A process with another hash seed gives numbers, texts and keys that are no Unicode the same variants."""
    users = [0, 7, "007", "ü", "\ud800", 2**62]
    code = ("from musicrec.experiments.assignment import *; one = Experiment('a', (Variant('control'), Variant('new')), 0.7); "
            f"print([v.name if (v := one.variant_of(user)) else '' for user in {users!a}])")
    done = subprocess.run([sys.executable, "-c", code], env={"PYTHONHASHSEED": "5", "PYTHONPATH": "."}, capture_output=True, text=True)
    assert done.stdout.strip() == str(names(experiment("a", 0.7), users)), done.stderr


def test_a_larger_share_keeps_everybody_who_is_in() -> None:
    """Each in the same variant; share 0 has nobody, 1 everybody."""
    shares = [names(experiment("a", share), range(5000)) for share in (0, 0.1, 0.5, 1)]
    for smaller, larger in pairwise(shares):
        assert all(before in ("", after) for before, after in zip(smaller, larger))
    assert set(shares[0]) == {""}
    assert "" not in shares[3]


def test_an_experiment_runs_from_its_start_until_its_end_unless_it_is_paused(tmp_path: Path) -> None:
    """Days in the file are midnight UTC; the end is outside."""
    (tmp_path / "e.toml").write_text("[a]\nvariants.control = {}\nvariants.new = {first = 'online', weight = 2}\nshare = 0.5\n"
                                     "start = 2026-03-01\nend = 2026-04-01\n[b]\nvariants.x = {}\nvariants.y = {}\npaused = true\n")
    a, b = read_experiments(tmp_path / "e.toml", BLENDING)
    moments = [datetime(2026, month, day, tzinfo=UTC) for month, day in ((2, 28), (3, 1), (3, 31), (4, 1))]
    assert [a.state(moment) for moment in moments] == ["has not begun", "runs", "runs", "has ended"]
    assert a.variants == (Variant("control"), Variant("new", 2, {"first": "online"}))
    assert b.state(moments[0]) == "paused"
    assert read_experiments(tmp_path / "none.toml", BLENDING) == ()


TWO = "variants.control = {}\nvariants.new = "


@pytest.mark.parametrize(("text", "said"), [
    ("[a", "cannot be read as TOML: "),
    ("a = 1", "experiment 'a', key '', value '1': Input should be a valid dictionary"),
    ("[a]\nshare = 0.1", "experiment 'a', key 'variants'"),
    ("[a]\nvariants.control = {}", "experiment 'a', key 'variants'"),
    (f"[a]\n{TWO}{{}}\nshare = 2", "experiment 'a', key 'share', value '2': Input should be less than or equal to 1."),
    (f"[a]\n{TWO}{{}}\nshar = 0.2", "experiment 'a', key 'shar', value '0.2': "),
    (f"[a]\n{TWO}{{weight = 0}}", "experiment 'a', key 'variants.new.weight', value '0': "),
    (f"[a]\n{TWO}{{frist = 'online'}}", "experiment 'a', key 'variants.new.frist': unknown; known are weight, run, first, method"),
    (f"[a]\n{TWO}{{method = 'best'}}", "experiment 'a', key 'variants.new.method', value 'best': Input should be 'alternate'"),
    (f"[a]\n{TWO}{{}}\nstart = 2026-04-01\nend = 2026-03-01", "experiment 'a', key 'end': it is not after start."),
    (f'["a b"]\n{TWO}{{}}', "experiment 'a b', key 'name', value 'a b': "),
    (f"[a]\n{TWO}{{decay = 0.5}}\n[b]\n{TWO}{{decay = 0.6}}", "experiment 'b', key 'decay': 'a' changes it at the same time"),
])
def test_a_mistake_in_the_file_is_one_sentence(text: str, said: str, tmp_path: Path) -> None:
    """With file, experiment and key."""
    (tmp_path / "e.toml").write_text(text)
    with pytest.raises(SettingsError) as told:
        read_experiments(tmp_path / "e.toml", BLENDING)
    assert str(told.value).startswith(str(tmp_path / "e.toml"))
    assert said in str(told.value)
    assert "\n" not in str(told.value)


def test_experiments_after_each_other_may_change_the_same_setting(tmp_path: Path) -> None:
    """One that ends when the other starts is no conflict."""
    (tmp_path / "e.toml").write_text(f"[a]\n{TWO}{{decay = 0.5}}\nend = 2026-03-01\n[b]\n{TWO}{{decay = 0.6}}\nstart = 2026-03-01\n")
    assert [one.name for one in read_experiments(tmp_path / "e.toml", BLENDING)] == ["a", "b"]


def shown(*rows: tuple[Any, ...]) -> pa.Table:
    """An export of impressions: user, item, minutes after START, id of the answer, variant."""
    users, items, minutes, answers, variants = zip(*rows)
    n = len(rows)
    return pa.table({"user_id": users, "item_id": items, "source": ["personal"] * n, "position": pa.array(range(n), pa.int32()),
                     "shown_at": pa.array([START + timedelta(minutes=at) for at in minutes], pa.timestamp("us")), "run": ["r"] * n,
                     "recommendation_id": answers, "variant": variants, "propensity": pa.array([0.25, *[None] * (n - 1)], pa.float32())})


def told(*rows: tuple[Any, ...], **more: Any) -> pa.Table:
    """An export of interactions: user, item, minutes after START; further columns."""
    users, items, minutes = zip(*rows)
    moments = pa.array([START + timedelta(minutes=at) for at in minutes], pa.timestamp("us"))
    return pa.table({"user_id": users, "track_id": items, "started_at": moments, **more})


TEXTS = ("# mine\n[ \"a\" ] # one\n"
         "share = 0.5\nvariants.c = {}\nvariants.d = {}\n\n[b]\npaused = false # why\nvariants = {c = {}, d = {}}\n",
         "[b]\nvariants.c = {}\n[b.variants.d]\nweight = 2\n[a.variants]\nc = {}\nd = {}")


def test_an_experiment_is_paused_resumed_and_stopped_in_its_file(tmp_path: Path) -> None:
    """Nothing else in the file changes, comments stay, and what cannot be written is refused with the file as it was."""
    file = tmp_path / "e.toml"
    file.write_text(TEXTS[0])
    before = read_experiments(file, BLENDING)
    for name in ("a", "b"):
        change(file, name, BLENDING, paused=True)
    assert {one.state(START.replace(tzinfo=UTC)) for one in read_experiments(file, BLENDING)} == {"paused"}
    for name in ("a", "b"):
        change(file, name, BLENDING, paused=False)
    assert read_experiments(file, BLENDING) == before
    assert [line for line in TEXTS[0].splitlines() if line not in file.read_text().splitlines()] == ["paused = false # why"]
    change(file, "a", BLENDING, end=START.replace(tzinfo=UTC))
    assert [one.end for one in read_experiments(file, BLENDING)] == [START.replace(tzinfo=UTC), None]
    file.write_text(TEXTS[1])
    change(file, "b", BLENDING, paused=True)
    assert [one.paused for one in read_experiments(file, BLENDING)] == [True, False]
    for name, said in (("a", "has no line"), ("z", "there are b, a")):
        with pytest.raises(SettingsError, match=said):
            change(file, name, BLENDING, paused=True)
    file.write_text("[a]\nstart = 2026-03-02\nvariants = {c = {}, d = {}}\n")
    with pytest.raises(SettingsError, match="not after start"):
        change(file, "a", BLENDING, end=START.replace(tzinfo=UTC))


def test_each_day_has_kept_plays_per_user_with_an_interval() -> None:
    """Two users with one and three kept plays: 2 and 1.96 standard errors around it; a single user has no interval."""
    impressions = shown((1, 5, 0, "a", "x:new"), (2, 5, 0, "b", "x:new"), (3, 5, 0, "c", "x:control"))
    day = outcomes("x", impressions, told((1, 5, 1), *[(2, 5, 1)] * 3), None, hours=2).by["day"].set_index("variant")
    assert day.loc["new", ["users", "plays", "kept_per_user", "kept_per_user_low", "kept_per_user_high"]].tolist() == pytest.approx(
        [2, 4, 2, 2 - 1.96, 2 + 1.96])
    assert day.loc["control", ["kept_per_user_low", "kept_per_user_high"]].isna().all()


def test_feedback_belongs_to_the_last_answer_that_showed_the_item_in_time() -> None:
    """Not to one after it, nor to one of more than the hours before, nor to that of another user or item."""
    impressions = shown((1, 5, 0, "a", "x:control"), (1, 5, 60, "b", "y:new x:control"), (2, 5, 0, "c", "x:new"), (2, 6, 0, "c", "x:new"),
                        (3, 5, 0, "d", "other:x"))
    feedback = told((1, 5, 30), (1, 5, 61), (1, 5, 62), (1, 7, 63), (2, 5, 121), (2, 6, 119), (3, 5, 1))
    found = outcomes("x", impressions, feedback, None, hours=2)
    assert found.users.set_index("user")[["variant", "lists", "impressions", "plays"]].values.tolist() == [["control", 2, 2, 3],
                                                                                                          ["new", 1, 2, 1]]
    assert found.by["position"].set_index("position")["plays"].to_dict() == {0: 1, 1: 2, 2: 0, 3: 1}
    assert found.drawn.values.tolist() == [["1", 1.0, 0.25, False]]
    lists = pa.table({"user_id": [1, 2], "item_id": [5, 5]})
    assert outcomes("x", impressions, told((1, 5, 30)), lists, hours=2).drawn["chosen"].tolist() == [True]


def test_feedback_that_names_its_answer_belongs_to_that_answer_alone() -> None:
    """However late it comes; with the id of an answer outside the experiment it belongs to none. Keys may be text."""
    impressions = shown(("u", "5", 0, "a", "x:control"), ("u", "5", 60, "b", "x:control"))
    feedback = told(("u", "5", 9000), ("u", "5", 61), ("u", "5", 61), recommendation_id=["a", "other", None])
    assert outcomes("x", impressions, feedback, None, hours=2).by["position"]["plays"].tolist() == [1, 1]


def test_plays_are_kept_from_half_the_track_on_and_skips_and_likes_are_no_plays() -> None:
    """Listening adds the shares up, also of what was not recommended; before the first exposure it stands apart."""
    impressions = shown((1, 5, 0, "a", "x:new"))
    feedback = told((1, 5, 1), (1, 5, 2), (1, 5, 3), (1, 5, 4), (1, 5, 5), (1, 9, 50), (1, 5, -60), (1, 5, -60 * 24 * 40),
                    played_share=pa.array([0.4, 0.5, None, 0.1, None, 1.0, 0.6, 1.0], pa.float32()),
                    feedback=["play", "play", "play", "skip", "like", "play", "play", "play"])
    user = outcomes("x", impressions, feedback, None, hours=24).users.iloc[0]
    assert user[list(METRICS)].astype(float).round(5).tolist() == [3, 2, 1, 1, 3.0]
    assert user[[f"before_{name}" for name in METRICS]].astype(float).round(5).tolist() == [1, 1, 0, 0, 0.6]
    assert user["sessions"] == 2
    ended = outcomes("x", impressions, feedback, None, 1 / 60, end=START + timedelta(minutes=2)).users.iloc[0]
    assert ended["listening"] == pytest.approx(0.9)


def test_feedback_that_is_stored_before_its_exposure_counts() -> None:
    """Exposures are sent in the background: a play 3 seconds before is the answer's."""
    assert outcomes("x", shown((1, 5, 0, "a", "x:new")), told((1, 5, -0.05)), None, 24).users["plays"].tolist() == [1]


def test_a_user_of_several_variants_counts_to_the_first() -> None:
    """And the report says how many there were; without any exposure of the experiment, or of two variants, it says so."""
    rows = [(user, 5, 0, f"{user}", f"x:{'new' if user % 2 else 'control'}") for user in range(1, 5)]
    result = report(outcomes("x", shown(*rows, (1, 6, 1, "b", "x:control")), told((1, 6, 2)), None, 24), {"control": 1, "new": 1}, 10)
    assert result["users_in_several_variants"] == 1
    assert result["variants"]["plays"].tolist() == [0, 1]
    assert result["off_policy"] == {}
    with pytest.raises(DataError, match="no exposure is of experiment 'y'"):
        outcomes("y", shown((1, 5, 0, "a", "x:new")), told((1, 5, 1)), None, 24)
    with pytest.raises(DataError, match="a comparison needs two users or more of the control, control, and of another variant"):
        report(outcomes("x", shown((1, 5, 0, "a", "x:new")), told((1, 5, 1)), None, 24), {"control": 1, "new": 1})


def test_equal_variants_differ_in_at_most_one_of_20_worlds_however_often_one_looks() -> None:
    """At 20 looks and over five metrics; a t-test of plays alone, which is made for one look, finds something in more of them."""
    found = naive = 0
    for seed in range(20):
        world = World(seed)
        found += any((world.at(day)["p_holm"] < 0.05).any() for day in range(20))
        naive += any(world.t_test(day) < 0.05 for day in range(20))
    assert found <= 1
    assert naive > found


def test_a_planted_difference_is_found_at_some_look_and_its_size_is_covered() -> None:
    """30 % more plays; the sequence holds the true difference at all looks."""
    world = World(3, effect=0.3)
    looks = [world.at(day).loc["plays"] for day in range(20)]
    assert looks[-1]["p_holm"] < 0.05
    assert looks[0]["p_holm"] > 0.05
    assert all(look["sequence_low"] < truth < look["sequence_high"] for look, truth in zip(looks, world.difference))


def test_the_weeks_before_make_the_interval_narrower_and_keep_the_difference() -> None:
    """With plays that resemble those before, CUPED leaves well under the variance; with unrelated ones it changes nothing."""
    rng = np.random.default_rng(1)
    before = rng.gamma(2, 5, (4000, 5))
    variants = np.tile(["control", "new"], 2000)
    values = before + rng.normal(0, 2, before.shape) + (variants == "new")[:, None] * 0.5
    table = differences(values, before, variants, "control", ["new"], 4000)
    assert (table["variance_left"] < 0.2).all()
    widths = [(table[f"{name}high"] - table[f"{name}low"]) for name in ("", "cuped_")]
    assert (widths[1] < 0.5 * widths[0]).all()
    assert ((table["cuped_low"] < 0.5) & (table["cuped_high"] > 0.5)).all()
    np.testing.assert_allclose(cuped(values, before).mean(axis=0), values.mean(axis=0))
    np.testing.assert_array_equal(cuped(values, np.ones_like(before)), values)


def test_p_values_are_corrected_over_all_metrics_and_variants() -> None:
    """By Holm, over the ten rows of two variants together."""
    rng = np.random.default_rng(2)
    variants = np.array(["control", "a", "b"] * 100)
    values = rng.poisson(2, (300, 5)) + (variants == "b")[:, None] * 0.5
    table = differences(values, np.zeros((300, 5)), variants, "control", ["a", "b"], 300, 50)
    np.testing.assert_allclose(table["p_holm"], holm(table["p"].to_numpy()))
    assert len(table) == 10


def answered(users: int = 0, **more: Any) -> pd.DataFrame:
    """Outcomes.answers of so many users of each variant, whose answers take 5 ms and all went well; further columns."""
    plain = {"latency_ms": 5.0, "failed": 0.0, "degraded": 0.0, "empty": 0.0}
    return pd.DataFrame({"user": range(2 * users), "variant": ["control", "new"] * users, **plain, **more})


def test_answers_are_watched_a_user_at_a_time() -> None:
    """Milliseconds are those of the lists of a user, however long they are; a list without items is empty, or failed."""
    rows = [(1, 5, 0, "a", "x:control"), (1, 6, 0, "a", "x:control"), (1, None, 1, "b", "x:control"), (2, None, 0, "c", "x:new"),
            (2, 7, 1, "d", "y:new x:new"), (3, 7, 0, "e", "y:new")]
    impressions = shown(*rows).append_column("ms", pa.array([4.0, 4.0, 8.0, 1.0, 3.0, 1.0], pa.float32())).append_column(
        "outcome", pa.array(["", "", "", "failed", "degraded", ""]))
    found = outcomes("x", impressions, told((1, 5, 1)), None, hours=2)
    assert found.answers.values.tolist() == [["1", "control", 6.0, 0.0, 0.0, 0.5], ["2", "new", 2.0, 0.5, 0.5, 0.0]]
    assert found.users[["user", "lists", "impressions"]].values.tolist() == [["1", 1, 2], ["2", 1, 1]]
    assert not len(outcomes("x", shown(*rows[:2]), told((1, 5, 1)), None, hours=2).answers)


def test_a_slower_or_failing_variant_is_noticed() -> None:
    """By the test that may be looked at any day; of variants that are alike nothing is."""
    rng = np.random.default_rng(5)
    users = pd.DataFrame({"variant": ["control", "new"] * 500} | dict.fromkeys(("days", "several", "lists", "impressions", "sessions"), 1)
                         | dict.fromkeys((prefix + name for name in METRICS for prefix in ("", "before_")), 1))
    is_new, latency = np.tile([False, True], 500), rng.gamma(4, 2, 1000)
    for slower, failing, noticed in ((0, 0, []), (2, 0, ["latency_ms"]), (0, 0.1, ["failed"])):
        answers = answered(500, latency_ms=latency + slower * is_new, failed=(rng.random(1000) < failing * is_new) * 0.5)
        result = report(Outcomes(users, {}, pd.DataFrame({"chosen": [False]}), answers), {"control": 1, "new": 1}, 50)
        table = result["guardrails"]
        assert table["metric"].tolist() == ["latency_ms", "failed", "degraded", "empty"]
        assert table.loc[(table["p_holm"] < 0.05) & (table["difference"] > 0), "metric"].tolist() == noticed


def test_a_split_that_is_not_what_the_weights_say_is_noticed() -> None:
    """5,000 to 5,400 is a mismatch, 5,000 to 5,100 chance; as scipy says."""
    assert sample_ratio_p({"a": 5000, "b": 5400}, {"a": 1, "b": 1}) < 0.001
    assert sample_ratio_p({"a": 5000, "b": 5100}, {"a": 1, "b": 1}) > 0.05
    assert sample_ratio_p({"a": 100, "b": 230}, {"a": 1, "b": 2}) == pytest.approx(chisquare([100, 230], [110, 220]).pvalue)
    ones = dict.fromkeys(("days", "several", "lists", "impressions", "sessions"), 1)
    ones |= dict.fromkeys((prefix + name for name in METRICS for prefix in ("", "before_")), 1)
    users = pd.DataFrame({"variant": ["control"] * 60 + ["new"] * 140} | ones)
    result = report(Outcomes(users, {}, pd.DataFrame({"chosen": [False]}), answered()), {"control": 1, "new": 1}, 10)
    assert result["sample_ratio"]["mismatch"]


def test_propensities_give_back_what_a_policy_that_was_not_shown_would_bring() -> None:
    """Items drawn with unequal probabilities: the estimate covers the mean reward of the chosen ones, the plain mean does not."""
    rng = np.random.default_rng(4)
    propensities, rewards = np.array([0.7, 0.2, 0.1]), np.array([0.1, 0.5, 0.9])
    drawn = rng.choice(3, 20_000, p=propensities)
    table = pd.DataFrame({"user": np.arange(20_000) // 20, "kept": (rng.random(20_000) < rewards[drawn]) * 1.0,
                          "propensity": propensities[drawn], "chosen": drawn > 0})
    found = snips(table, 200)
    assert found["low"] < 0.7 < found["high"]
    assert found["high"] - found["low"] < 0.06
    assert snips(table.assign(chosen=False)) == {}
