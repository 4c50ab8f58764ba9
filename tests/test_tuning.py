"""Studies resume, begin with the current values, and print lines for config.ini."""

import configparser
import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from musicrec import pipeline, settings
from musicrec.errors import RankingError
from musicrec.evaluation import Evaluator
from musicrec.evaluation.significance import sign_flip_p
from musicrec.lists import Lists
from musicrec.models import MODELS
from musicrec.pipeline.workspace import ranker_settings, recommender
from musicrec.ranking import fit_ranker
from musicrec.recommender import RANKED
from musicrec.settings import RankingSettings
from musicrec.tuning import SPACES, Confirmation, confirmation, draw, model_evaluated, ranker_evaluated, slices, tuned
from musicrec.tuning.objectives import Slice
from musicrec.tuning.spaces import Range
from tests import taste_logs
from tests.commands import exit_code

CONFIG = Path(__file__).resolve().parents[1] / "config.ini"
SPACE = {"depth": Range(1, 10), "rate": Range(0.01, 1.0, log=True)}


def _hill(values: dict) -> float:
    return -abs(values["depth"] - 7) - abs(values["rate"] - 0.3)


@pytest.mark.parametrize("section", SPACES)
def test_every_tuned_key_exists(section: str) -> None:
    """The keys of a space are fields of that model, or keys of [ranking]."""
    known = RankingSettings.model_fields if section == "ranking" else {f.name for f in dataclasses.fields(MODELS[section.split(".")[1]])}
    assert set(SPACES[section]) <= set(known)


def test_a_study_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """A second run adds to the trials of the first, and its result is not worse."""
    file, present = tmp_path / "tuning.sqlite", {"depth": 3, "rate": 0.1}
    first = tuned("one", SPACE, present, _hill, file, 60, trials=4)
    second = tuned("one", SPACE, present, _hill, file, 60, trials=6)
    assert (first.trials, second.trials) == (4, 10)
    assert second.value >= first.value >= first.value_before == _hill(present)
    assert set(second.importances) == {"depth", "rate"}


def test_a_study_stops_after_its_time(tmp_path: Path) -> None:
    """With no time left one trial is made, the one with the current values."""
    found = tuned("one", SPACE, {"depth": 3, "rate": 0.1}, _hill, tmp_path / "tuning.sqlite", 0)
    assert found.trials == 1
    assert found.best == {"depth": 3, "rate": 0.1}


def test_current_values_outside_the_ranges_are_evaluated(tmp_path: Path) -> None:
    """They are no trial of the study, but their objective is returned, and they are the result where no trial is better."""
    present = {"depth": 99, "rate": 0.1}
    found = tuned("one", SPACE, present, lambda values: float(values["depth"] == 99), tmp_path / "t.sqlite", 60, trials=2)
    assert (found.trials, found.value_before, found.best) == (2, 1.0, present)
    assert "stays" in found.lines()


def test_equal_trials_change_nothing(tmp_path: Path) -> None:
    """Where the objective is constant, the values before are the result, and no section is printed."""
    found = tuned("one", SPACE, {"depth": 3, "rate": 0.1}, lambda values: 0.0, tmp_path / "t.sqlite", 60, trials=3)
    assert found.best == {"depth": 3, "rate": 0.1}
    assert found.lines().startswith("# [one] stays as it is: none of 3 trials")
    assert found.importances == {}


def test_lines_can_be_pasted(tmp_path: Path) -> None:
    """The printed lines are a section of an ini file with the best values."""
    found = tuned("ranking", SPACE, {"depth": 3, "rate": 0.1}, _hill, tmp_path / "tuning.sqlite", 60, trials=3)
    parser = configparser.ConfigParser()
    parser.read_string(found.lines())
    assert parser["ranking"]["depth"] == str(found.best["depth"])
    assert set(parser["ranking"]) == set(SPACE)
    assert all(line.startswith("# ") for line in found.lines(refuted=True).splitlines())
    draw(["ranking"], tmp_path / "tuning.sqlite", tmp_path / "tuning.png")
    assert (tmp_path / "tuning.png").stat().st_size > 1000


def test_an_unknown_section_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """--only with a section that has no search space exits with 1 and names it."""
    monkeypatch.setenv("MUSICREC_DATA_WORK_FOLDER", str(tmp_path))
    assert exit_code("tune", "--only", "candidates.nobody") == 1
    assert "candidates.nobody" in capsys.readouterr().err


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[pipeline.Workspace, pipeline.Plan, list[Slice]]:
    """Two folds of small logs with two groups of users."""
    project = tmp_path_factory.mktemp("tuning")
    logs = taste_logs.write(project / "logs")
    work = pipeline.workspace(settings.load(CONFIG, taste_logs.environment(logs, project)))
    raw = pipeline.raw_tables(work)
    plan = pipeline.plan(work, raw.interactions)
    return work, plan, slices(pipeline.preprocessed_tables(work, raw), plan)


def _ndcg(lists: Lists, on: Slice) -> float:
    evaluator = Evaluator(on.train, on.test, (10,))
    evaluator.add("lists", lists)
    return float(evaluator.relevance("lists")["ndcg@10"].mean())


def test_nothing_from_the_cutoff_on_is_tuned_on(world: tuple[pipeline.Workspace, pipeline.Plan, list[Slice]]) -> None:
    """All plays of all folds are before the cutoff, and those of the test set after those of the train set."""
    _, plan, folds = world
    for fold in folds:
        assert fold.train.last_played.max() < fold.train.cutoff <= fold.test.last_played.min()
        assert fold.test.last_played.max() < plan.cutoff


def test_the_objective_of_a_ranker_is_the_ndcg_of_its_lists(world: tuple[pipeline.Workspace, pipeline.Plan, list[Slice]]) -> None:
    """It equals NDCG@10 of the lists for the fold's warm users by a ranker of the earlier folds; for the first fold it is empty."""
    work, _, (earlier, later) = world
    present, evaluated = ranker_evaluated(work, [earlier, later])
    limits = work.settings.ranking
    rows = recommender(work.settings).fit(earlier.train).training_table(earlier.test.user_ids, earlier.test, limits.negatives, limits.seed)
    ranker = fit_ranker([rows], dataclasses.replace(ranker_settings(work.settings), n_seeds=1, **present))
    made = recommender(work.settings).fit(later.train).with_ranker(ranker)
    wanted = _ndcg(made.lists(later.test.user_ids, 10, [RANKED])[RANKED], later)
    assert evaluated(present, 1).mean() == pytest.approx(wanted) != 0
    assert len(evaluated(present, 0)) == 0


def test_a_ranker_needs_two_folds(world: tuple[pipeline.Workspace, pipeline.Plan, list[Slice]]) -> None:
    """With a single fold there is no earlier one to learn from, and the error says which setting to raise."""
    with pytest.raises(RankingError, match=r"\[split\] folds"):
        ranker_evaluated(world[0], world[2][:1])


def test_the_objective_of_a_model_is_the_ndcg_of_its_lists(world: tuple[pipeline.Workspace, pipeline.Plan, list[Slice]]) -> None:
    """It equals NDCG@10 of the model with the given values, and 0 where it cannot be fitted with them."""
    work, _, folds = world
    present, evaluated = model_evaluated(work, "als", folds)
    fitted = MODELS["als"](**{**present, "factors": 4}).fit(folds[0].train)
    users = folds[0].test.user_ids
    wanted = _ndcg(Lists(users, *fitted.recommend(folds[0].train.user_index(users), 10)), folds[0])
    assert evaluated({"factors": 4}, 0).mean() == pytest.approx(wanted) != 0
    assert (evaluated({"factors": 0}, 1) == 0).all()


def test_the_best_values_are_confirmed_on_the_earlier_folds() -> None:
    """The best values and those before are compared on all folds but the latest; a user of several folds counts once, by the mean."""
    rng = np.random.default_rng(0)
    users = {0: np.arange(40), 1: np.arange(20, 60)}
    ndcg = {(depth, place): pd.Series(rng.random(40) + depth / 10, users[place]) for depth in (3, 4) for place in (0, 1)}

    def evaluated(values: dict[str, int], place: int) -> "pd.Series[float]":
        assert place < 2, "the latest fold was searched"
        return ndcg[values["depth"], place]

    found = confirmation(evaluated, {"depth": 4}, {"depth": 3}, 3)
    wanted = [np.array([np.mean([ndcg[depth, place][user] for place in (0, 1) if user in users[place]]) for user in range(60)])
              for depth in (4, 3)]
    assert found is not None
    assert (found.best, found.before, found.folds) == (pytest.approx(wanted[0].mean()), pytest.approx(wanted[1].mean()), 2)
    assert found.p == pytest.approx(sign_flip_p(wanted[0] - wanted[1]))
    assert confirmation(evaluated, {"depth": 4}, {"depth": 4}, 3) is None
    assert confirmation(evaluated, {"depth": 4}, {"depth": 3}, 1) is None


@pytest.mark.parametrize(("best", "p", "verdict"), [(0.2, 0.01, "the gain is confirmed"), (0.05, 0.01, "keep the values before"),
                                                    (0.2, 0.5, "no significant difference")])
def test_the_line_says_what_to_do(best: float, p: float, verdict: str) -> None:
    """A significant gain is confirmed, a significant loss keeps the values before; the line is a comment."""
    line = Confirmation(best, 0.1, p, 2).line()
    assert verdict in line
    assert line.startswith("# ")
    assert "\n" not in line
    assert Confirmation(best, 0.1, p, 2).refuted == ("keep" in verdict)


def test_tuning_prints_a_section_and_its_result(tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    """`musicrec tune` exits with 0, prints an ini file about the given section and writes the plot."""
    logs = taste_logs.write(tmp_path / "logs")
    for key, value in taste_logs.environment(logs, tmp_path).items():
        monkeypatch.setenv(key, value)
    assert exit_code("tune", "--only", "ranking", "--trials", "2") == 0
    said = capsys.readouterr().out
    configparser.ConfigParser().read_string(said)
    assert "[ranking] stays" in said or all(f"{key} = " in said for key in SPACES["ranking"])
    assert "[ranking]" in said
    assert (tmp_path / "work" / "tuning.png").stat().st_size > 1000
