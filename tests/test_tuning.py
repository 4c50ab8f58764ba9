"""Studies resume, begin with what is set, and print lines that config.ini takes."""

import configparser
import dataclasses
from pathlib import Path

import pytest

from musicrec import pipeline, settings
from musicrec.candidates import GENERATORS
from musicrec.evaluation import per_user
from musicrec.lists import Lists
from musicrec.pipeline.learning import ranker_settings, rows_of_window
from musicrec.ranking import Ranked, fit_ranker
from musicrec.settings import Ranking
from musicrec.split import minute
from musicrec.tuning import SPACES, draw, generator_objective, ranker_objective, slices, tuned
from musicrec.tuning.__main__ import main
from musicrec.tuning.objectives import Slice
from musicrec.tuning.spaces import Between
from tests import taste_logs

CONFIG = Path(__file__).resolve().parents[1] / "config.ini"
SPACE = {"depth": Between(1, 10), "rate": Between(0.01, 1.0, log=True)}


def _hill(values: dict) -> float:
    return -abs(values["depth"] - 7) - abs(values["rate"] - 0.3)


@pytest.mark.parametrize("section", SPACES)
def test_every_tuned_key_exists(section: str) -> None:
    """The keys of a space are fields of that generator, or keys of [ranking]."""
    known = Ranking.model_fields if section == "ranking" else {f.name for f in dataclasses.fields(GENERATORS[section.split(".")[1]])}
    assert set(SPACES[section]) <= set(known)


def test_a_study_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """A second run adds to the trials of the first, and never ends below it."""
    file, present = tmp_path / "tuning.sqlite", {"depth": 3, "rate": 0.1}
    first = tuned("one", SPACE, present, _hill, file, 60, trials=4)
    second = tuned("one", SPACE, present, _hill, file, 60, trials=6)
    assert (first.trials, second.trials) == (4, 10)
    assert second.value >= first.value >= first.first_value == _hill(present)
    assert set(second.importances) == {"depth", "rate"}


def test_the_clock_stops_a_study(tmp_path: Path) -> None:
    """With no time left one trial is made, the one with the present values."""
    found = tuned("one", SPACE, {"depth": 3, "rate": 0.1}, _hill, tmp_path / "tuning.sqlite", 0)
    assert found.trials == 1
    assert found.best == {"depth": 3, "rate": 0.1}


def test_present_values_outside_the_ranges_are_no_trial(tmp_path: Path) -> None:
    """A study of a section whose values lie outside the space begins elsewhere."""
    assert tuned("one", SPACE, {"depth": 99, "rate": 0.1}, _hill, tmp_path / "t.sqlite", 60, trials=2).trials == 2


def test_lines_can_be_pasted(tmp_path: Path) -> None:
    """What is printed is a section of an ini file with the best values."""
    found = tuned("ranking", SPACE, {"depth": 3, "rate": 0.1}, _hill, tmp_path / "tuning.sqlite", 60, trials=3)
    parser = configparser.ConfigParser()
    parser.read_string(found.lines())
    assert parser["ranking"]["depth"] == str(found.best["depth"])
    draw(["ranking"], tmp_path / "tuning.sqlite", tmp_path / "tuning.png")
    assert (tmp_path / "tuning.png").stat().st_size > 1000


def test_an_unknown_section_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """--only with a name that has no space ends with 1 and names it."""
    monkeypatch.setenv("MUSICREC_DATA_WORK_FOLDER", str(tmp_path))
    assert main(["--only", "candidates.nobody"]) == 1
    assert "candidates.nobody" in capsys.readouterr().err


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[pipeline.Workspace, list[Slice]]:
    """Two label windows of a tiny world of two camps."""
    project = tmp_path_factory.mktemp("tuning")
    logs = taste_logs.write(project / "logs")
    work = pipeline.workspace(settings.load(CONFIG, taste_logs.environment(logs, project)))
    return work, slices(work, pipeline.prepared_tables(work, pipeline.raw_tables(work)))


def _ndcg(recommender: object, on: Slice) -> float:
    rows = on.history.user_index(on.labels.user_ids)
    judged = per_user(Lists(on.labels.user_ids, *recommender.recommend(rows, 10)), on.labels, on.history)  # type: ignore[attr-defined]
    return float(judged.loc[judged["warm"], "ndcg@10"].mean())


def test_nothing_from_the_cutoff_on_is_tuned_on(world: tuple[pipeline.Workspace, list[Slice]]) -> None:
    """Every play of every slice lies before test_start, and those of the labels after those of the history."""
    work, windows = world
    for window in windows:
        assert window.history.minutes.max() < window.history.cutoff <= window.labels.minutes.min()
        assert window.labels.minutes.max() < minute(work.settings.split.test_start)


def test_a_ranker_is_worth_its_lists_in_the_latest_window(world: tuple[pipeline.Workspace, list[Slice]]) -> None:
    """A trial tells the NDCG@10 of what a ranker of the earlier windows lists for the warm users of the latest one."""
    work, (before, latest) = world
    present, objective = ranker_objective(work, [before], latest)
    table = rows_of_window(work, pipeline.fitted(work, before.history), before.labels)
    ranker = fit_ranker([table], dataclasses.replace(ranker_settings(work), models=1, **present))
    made = pipeline.fitted(work, latest.history)
    assert objective(present) == pytest.approx(_ndcg(Ranked(made.recommenders, made.features, ranker), latest)) != 0


def test_a_generator_is_worth_its_lists_in_the_latest_window(world: tuple[pipeline.Workspace, list[Slice]]) -> None:
    """A trial tells the NDCG@10 of the generator with the values tried, and 0 where it can not be fitted with them."""
    work, (_, latest) = world
    present, objective = generator_objective(work, "als", latest)
    wanted = _ndcg(GENERATORS["als"](**{**present, "factors": 4}).fit(latest.history), latest)
    assert objective({"factors": 4}) == pytest.approx(wanted) != 0
    assert objective({"factors": 0}) == 0
