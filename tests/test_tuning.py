"""Searches find better values, know chance from gain, resume, and never read the test set."""

import configparser
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from musicrec import pipeline, settings
from musicrec.errors import RankingError
from musicrec.evaluation import Evaluator
from musicrec.evaluation.significance import sign_flip_p
from musicrec.lists import Lists
from musicrec.models import MODELS, Range
from musicrec.pipeline.self_tuning import with_found
from musicrec.pipeline.training import backtest
from musicrec.pipeline.workspace import ranker_settings, recommender
from musicrec.ranking import RankerSettings, fit_ranker
from musicrec.recommender import RANKED
from musicrec.settings.pinning import with_values
from musicrec.tuning import SPACES, Found, Slice, model_evaluated, ranker_evaluated, searched, slices
from tests import taste_logs
from tests.commands import exit_code

CONFIG = Path(__file__).resolve().parents[1] / "config.ini"
SPACE = {"depth": Range(1, 10), "rate": Range(0.01, 1.0, log=True)}
PRESENT = {"depth": 3, "rate": 0.1, "other": "kept"}


class _Hill:
    """NDCG of 200 users that is highest at depth 7 and rate 0.3, in three folds; counts how often each fold was evaluated."""

    def __init__(self, height: float = 0.05, noise: float = 0.01, seed: int = 0) -> None:
        self.height, self.noise, self.seed, self.asked = height, noise, seed, [0, 0, 0]

    def __call__(self, values: dict[str, Any], place: int) -> "pd.Series[float]":
        """The value of each user, with noise that depends on the fold and the values only."""
        self.asked[place] += 1
        rng = np.random.default_rng([self.seed, place, values["depth"], int(values["rate"] * 1e6)])
        mean = 0.5 - self.height * (abs(values["depth"] - 7) / 4 + abs(values["rate"] - 0.3))
        return pd.Series(mean + self.noise * rng.normal(size=200), np.arange(200) + 50 * place)


@pytest.mark.parametrize("section", SPACES)
def test_every_tuned_key_exists_and_its_default_lies_in_the_range(section: str) -> None:
    """The keys of a space are fields of that model or of the ranker; a search can begin with the defaults, or age does not matter there."""
    kind: Any = RankerSettings if section == "ranking" else MODELS[section.split(".")[1]]
    defaults = {field.name: field.default for field in dataclasses.fields(kind)}
    assert set(SPACES[section]) <= set(defaults)
    for key, values in SPACES[section].items():
        assert values.low <= defaults[key] <= values.high or (key == "half_life_days" and defaults[key] == 0)


def test_a_search_finds_a_better_place_on_the_hill() -> None:
    """After thirty trials the values are nearer to the top than those before, and the gain is no chance."""
    found = searched("one", SPACE, PRESENT, _Hill(), 3, 30)
    assert found.adopted
    assert found.values.keys() == SPACE.keys()
    assert 5 <= found.values["depth"] <= 9
    assert (found.trials, found.users) == (30, 300)
    assert found.ndcg_before < found.ndcg <= 0.52


def test_a_search_without_a_hill_seldom_adopts_something() -> None:
    """The control: where all values are equally good the best of eight is chance, and in most of forty worlds nothing is adopted."""
    adopted = sum(searched("one", SPACE, PRESENT, _Hill(0.0, 0.1, seed), 3, 8, seed).adopted for seed in range(40))
    assert adopted < 20
    even = searched("one", SPACE, PRESENT, lambda values, place: pd.Series(0.5, [1, 2]), 2, 5)
    assert (even.values, even.p, even.adopted) == ({"depth": 3, "rate": 0.1}, 1.0, False)


def test_p_is_that_of_the_users_over_all_folds() -> None:
    """A user of several folds counts once, by the mean; the test is paired."""
    hill = _Hill()
    found = searched("one", SPACE, PRESENT, hill, 3, 12)
    users, before = (pd.concat([hill(values, place) for place in range(3)]).groupby(level=0).mean()
                     for values in (found.values, {"depth": 3, "rate": 0.1}))
    assert (found.ndcg, found.ndcg_before) == (pytest.approx(users.mean()), pytest.approx(before.mean()))
    assert found.p == pytest.approx(sign_flip_p((users - before).to_numpy()))


def test_what_falls_behind_is_given_up_early() -> None:
    """All trials are evaluated on the latest fold, and far fewer on the earliest."""
    hill = _Hill()
    searched("one", SPACE, PRESENT, hill, 3, 30)
    assert hill.asked[2] > 2 * hill.asked[0]


def test_equal_searches_give_equal_results() -> None:
    """Without a file, the seed decides what is drawn."""
    one, same, other = (searched("one", SPACE, PRESENT, _Hill(), 3, 12, seed) for seed in (1, 1, 2))
    assert one == same
    assert one.values != other.values


def test_a_search_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """A second search adds to the trials of the first, and its result is not worse."""
    file = tmp_path / "tuning.sqlite"
    first = searched("one", SPACE, PRESENT, _Hill(noise=0), 3, 4, file=file)
    second = searched("one", SPACE, PRESENT, _Hill(noise=0), 3, 6, file=file)
    assert (first.trials, second.trials) == (4, 10)
    assert second.ndcg >= first.ndcg >= first.ndcg_before


def test_a_search_stops_after_its_time(tmp_path: Path) -> None:
    """With no time left one trial is made, the one with the current values."""
    found = searched("one", SPACE, PRESENT, _Hill(), 3, 9, file=tmp_path / "tuning.sqlite", seconds=0)
    assert (found.trials, found.values) == (1, {"depth": 3, "rate": 0.1})


def test_current_values_outside_the_ranges_are_compared() -> None:
    """They are no trial, but they are the result where no trial is better."""
    found = searched("one", SPACE, {"depth": 99, "rate": 0.1}, lambda values, _: pd.Series(float(values["depth"] == 99), [1, 2]), 2, 3)
    assert (found.values, found.ndcg_before) == ({"depth": 99, "rate": 0.1}, 1.0)
    assert "stays" in found.lines()


def test_lines_can_be_pasted_and_chance_is_a_comment() -> None:
    """Adopted values are a section of an ini file; those that may be chance are comments only."""
    better = Found("ranking", {"depth": 4, "rate": 0.25}, 0.2, 0.1, 0.01, 80, 9)
    parser = configparser.ConfigParser()
    parser.read_string(better.lines())
    assert dict(parser["ranking"]) == {"depth": "4", "rate": "0.25"}
    chance = dataclasses.replace(better, p=0.5)
    assert not chance.adopted
    assert all(line.startswith("# ") for line in chance.lines().splitlines())


def test_an_unknown_section_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """--only with a section that has no search space exits with 1 and names it."""
    monkeypatch.setenv("MUSICREC_DATA_WORK_FOLDER", str(tmp_path))
    assert exit_code("tune", "--only", "candidates.nobody") == 1
    assert "candidates.nobody" in capsys.readouterr().err


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[pipeline.Workspace, pipeline.Tables, pipeline.Plan, list[Slice]]:
    """Two folds of small logs with two groups of users."""
    project = tmp_path_factory.mktemp("tuning")
    logs = taste_logs.write(project / "logs")
    work = pipeline.workspace(settings.load(CONFIG, taste_logs.environment(logs, project)))
    raw = pipeline.raw_tables(work)
    plan, tables = pipeline.plan(work, raw.interactions), pipeline.preprocessed_tables(work, raw)
    return work, tables, plan, slices(tables.dataset, plan.folds)


World = tuple[pipeline.Workspace, pipeline.Tables, pipeline.Plan, list[Slice]]


def _ndcg(lists: Lists, on: Slice) -> float:
    evaluator = Evaluator(on.train, on.test, (10,))
    evaluator.add("lists", lists)
    return float(evaluator.relevance("lists")["ndcg@10"].mean())


def test_nothing_from_the_cutoff_on_is_tuned_on(world: World) -> None:
    """All plays of all folds are before the cutoff, and those of the test set after those of the train set."""
    _, _, plan, folds = world
    for fold in folds:
        assert fold.train.last_played.max() < fold.train.cutoff <= fold.test.last_played.min()
        assert fold.test.last_played.max() < plan.cutoff


def test_the_objective_of_a_ranker_is_the_ndcg_of_its_lists(world: World) -> None:
    """It equals NDCG@10 of the lists for the fold's warm users by a ranker of the earlier folds; for the first fold it is empty."""
    work, _, plan, (earlier, later) = world
    present, evaluated = ranker_evaluated(recommender(work.settings), backtest(work, plan), [earlier, later])
    limits = work.settings.ranking
    rows = recommender(work.settings).fit(earlier.train).training_table(earlier.test.user_ids, earlier.test, limits.negatives, limits.seed)
    ranker = fit_ranker([rows], dataclasses.replace(ranker_settings(work.settings), n_seeds=1))
    made = recommender(work.settings).fit(later.train).with_ranker(ranker)
    wanted = _ndcg(made.lists(later.test.user_ids, 10, [RANKED])[RANKED], later)
    assert evaluated(present, 1).mean() == pytest.approx(wanted) != 0
    assert len(evaluated(present, 0)) == 0


def test_a_ranker_needs_two_folds(world: World) -> None:
    """With a single fold there is no earlier one to learn from, and the error says which setting to raise."""
    work, _, plan, folds = world
    with pytest.raises(RankingError, match=r"\[split\] folds"):
        ranker_evaluated(recommender(work.settings), backtest(work, plan), folds[:1])


def test_the_objective_of_a_model_is_the_ndcg_of_its_lists(world: World) -> None:
    """It equals NDCG@10 of the model with the given values, and 0 where it cannot be fitted with them."""
    work, _, _, folds = world
    present, evaluated = model_evaluated(pipeline.model(work.settings, "als"), folds, 4000, 0)
    fitted = MODELS["als"](**{**present, "factors": 4}).fit(folds[0].train)
    users = folds[0].test.user_ids
    wanted = _ndcg(Lists(users, *fitted.recommend(folds[0].train.user_index(users), 10)), folds[0])
    assert evaluated({"factors": 4}, 0).mean() == pytest.approx(wanted) != 0
    assert (evaluated({"factors": 0}, 1) == 0).all()


def test_a_search_tries_the_cheap_form_of_a_model(world: World) -> None:
    """Fields that a model gives in search_with have those values in the search, whatever the settings say."""
    work, _, _, folds = world
    assert model_evaluated(dataclasses.replace(pipeline.model(work.settings, "als"), spread=3.0), folds, 10, 0)[0]["spread"] == 1  # type: ignore[type-var]


def _with_tuning(work: pipeline.Workspace, **changed: int) -> pipeline.Workspace:
    tuning = work.settings.tuning.model_copy(update={"trials": 8, **changed})
    return dataclasses.replace(work, settings=work.settings.model_copy(update={"tuning": tuning}))


def test_a_run_takes_the_adopted_values_and_no_others(world: World) -> None:
    """Models of the tuned workspace have the adopted values, as they were found; others have those of the settings."""
    work, tables, plan, _ = world
    tuned, found = pipeline.tuned(_with_tuning(work), tables, plan)
    assert {one.section for one in found} == {f"candidates.{name}" for name in work.settings.candidates.models} & SPACES.keys()
    for one in found:
        name = one.section.removeprefix("candidates.")
        before, after = (pipeline.model(of.settings, name) for of in (work, tuned))
        assert after == (dataclasses.replace(before, **one.values) if one.adopted else before)  # type: ignore[type-var]
    assert any(one.adopted for one in found)


def test_a_model_without_a_hit_among_a_hundred_users_is_left_out() -> None:
    """It is no longer among the models and the table says so; with fewer users, or where all models found nothing, it stays."""
    before = settings.load(environ={"MUSICREC_CANDIDATES_MODELS": "als artist_affinity"})
    hit, nothing = (Found(f"candidates.{name}", {}, ndcg, ndcg, 1.0, 100, 8) for name, ndcg in (("als", 0.1), ("artist_affinity", 0.0)))
    assert with_found(before, [hit, nothing]).candidates.models == ("als",)
    assert with_found(before, [hit, dataclasses.replace(nothing, users=99)]).candidates.models == ("als", "artist_affinity")
    assert with_found(before, [dataclasses.replace(hit, ndcg=0.0), nothing]).candidates.models == ("als", "artist_affinity")
    assert pipeline.tuning_table([hit, nothing])["left_out"].tolist() == [False, True]


def test_logs_for_which_trials_are_too_dear_keep_their_settings(world: World) -> None:
    """Below six affordable trials nothing is tried."""
    work, tables, plan, folds = world
    pairs = folds[-1].train.matrix.nnz
    assert pipeline.tuned(_with_tuning(work, max_pairs=6 * pairs - 1), tables, plan)[1] == []
    assert pipeline.tuned(_with_tuning(work, max_pairs=6 * pairs), tables, plan)[1][0].trials == 6
    assert pipeline.tuned(work, tables, plan) == (work, [])


def test_a_log_that_is_far_too_large_is_not_read(world: World) -> None:
    """Where the approximate count of pairs is far above the bound, no train set is made to learn that."""
    work, tables, plan, folds = world
    unread = dataclasses.replace(tables, dataset=None)  # type: ignore[arg-type]  # reading it would fail
    assert pipeline.tuned(_with_tuning(work, max_pairs=folds[-1].train.matrix.nnz), unread, plan)[1] == []


def test_what_comes_after_the_cutoff_changes_no_tuned_value(world: World, tmp_path: Path) -> None:
    """Without the plays from the cutoff on, the same values are found."""
    work, tables, plan, _ = world
    before = dataclasses.replace(tables, dataset=dataclasses.replace(
        tables.dataset, events=tables.events.filter(tables.events.started_at < plan.test_start)))
    limited = dataclasses.replace(work, settings=work.settings.model_copy(update={
        "candidates": work.settings.candidates.model_copy(update={"models": ("item_knn", "user_knn")})}))
    assert pipeline.tuned(_with_tuning(limited), tables, plan)[1] == pipeline.tuned(_with_tuning(limited), before, plan)[1]


def test_a_published_run_tells_and_pins_what_was_tuned(tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    """The screen names the gains, the manifest has the values, and `config pin` writes them into config.ini once and for all."""
    logs = taste_logs.write(tmp_path / "logs")
    environ = taste_logs.environment(logs, tmp_path) | {"MUSICREC_TUNING_TRIALS": "8", "MUSICREC_CANDIDATES_MODELS": "item_knn als"}
    for key, value in environ.items():
        if not key.startswith("MUSICREC_CANDIDATES_ALS"):
            monkeypatch.setenv(key, value)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.ini").write_text("# mine\n[candidates.als]\nfactors = 8\n")
    assert exit_code("train") == 0
    assert "Tuned on the folds before:" in capsys.readouterr().out
    run = json.loads((tmp_path / "artifacts" / "current.json").read_text())["run_id"]
    told = json.loads((tmp_path / "artifacts" / "runs" / run / "manifest.json").read_text())["info"]["metrics"]["tuned"]
    adopted = {one["section"]: one["values"] for one in told if one["adopted"]}
    assert adopted
    assert exit_code("config", "pin") == 0
    parser = configparser.ConfigParser()
    parser.read(tmp_path / "config.ini")
    for section, values in adopted.items():
        assert {key: float(parser[section][key]) for key in values} == pytest.approx(values, rel=1e-3)
    assert (tmp_path / "config.ini").read_text().startswith("# mine\n")
    settings.load(tmp_path / "config.ini", {})


def test_pinned_values_leave_the_rest_of_the_file_alone() -> None:
    """Lines of other keys, comments and order stay; sections that are missing come at the end."""
    text = "# top\n[a]\nx = 1\n# about y\ny = 2\n\n[b]\nx = 5\n"
    assert with_values(text, {"a": {"y": 0.5, "new": 3}, "c": {"z": 7}}) == \
        "# top\n[a]\nnew = 3\nx = 1\n# about y\ny = 0.5\n\n[b]\nx = 5\n\n[c]\nz = 7\n"


def test_tuning_prints_a_section_and_its_result(tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                                monkeypatch: pytest.MonkeyPatch) -> None:
    """`musicrec tune` exits with 0 and prints an ini file about the given section."""
    logs = taste_logs.write(tmp_path / "logs")
    for key, value in taste_logs.environment(logs, tmp_path).items():
        monkeypatch.setenv(key, value)
    assert exit_code("tune", "--only", "ranking", "--trials", "2") == 0
    said = capsys.readouterr().out
    configparser.ConfigParser().read_string(said)
    assert "[ranking] stays" in said or all(f"{key} = " in said for key in SPACES["ranking"])
    assert "[ranking]" in said
