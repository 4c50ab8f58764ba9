"""Studies resume, begin with what is set, and print lines that config.ini takes."""

import configparser
import dataclasses
from pathlib import Path

import numpy as np
import pytest

from musicrec import pipeline, settings
from musicrec.candidates import GENERATORS
from musicrec.errors import RankingError
from musicrec.evaluation import per_user
from musicrec.evaluation.significance import sign_flip_p
from musicrec.lists import Lists
from musicrec.pipeline.learning import ranker_settings, rows_of_window
from musicrec.ranking import Ranked, fit_ranker
from musicrec.settings import Ranking
from musicrec.split import minute
from musicrec.tuning import SPACES, Confirmation, confirmation, draw, generator_judged, ranker_judged, slices, tuned
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
    assert second.value >= first.value >= first.value_before == _hill(present)
    assert set(second.importances) == {"depth", "rate"}


def test_the_clock_stops_a_study(tmp_path: Path) -> None:
    """With no time left one trial is made, the one with the present values."""
    found = tuned("one", SPACE, {"depth": 3, "rate": 0.1}, _hill, tmp_path / "tuning.sqlite", 0)
    assert found.trials == 1
    assert found.best == {"depth": 3, "rate": 0.1}


def test_present_values_outside_the_ranges_are_asked_about_all_the_same(tmp_path: Path) -> None:
    """Values outside the space are no trial of the study, and yet what they reach is told, and they stay where nothing does better."""
    present = {"depth": 99, "rate": 0.1}
    found = tuned("one", SPACE, present, lambda values: float(values["depth"] == 99), tmp_path / "t.sqlite", 60, trials=2)
    assert (found.trials, found.value_before, found.best) == (2, 1.0, present)
    assert "stays" in found.lines()


def test_trials_that_are_all_alike_change_nothing(tmp_path: Path) -> None:
    """Where no value matters the values before stay, and no section is printed."""
    found = tuned("one", SPACE, {"depth": 3, "rate": 0.1}, lambda values: 0.0, tmp_path / "t.sqlite", 60, trials=3)
    assert found.best == {"depth": 3, "rate": 0.1}
    assert found.lines().startswith("# [one] stays: none of 3 trials")
    assert found.importances == {}


def test_lines_can_be_pasted(tmp_path: Path) -> None:
    """What is printed is a section of an ini file with the best values."""
    found = tuned("ranking", SPACE, {"depth": 3, "rate": 0.1}, _hill, tmp_path / "tuning.sqlite", 60, trials=3)
    parser = configparser.ConfigParser()
    parser.read_string(found.lines())
    assert parser["ranking"]["depth"] == str(found.best["depth"])
    assert set(parser["ranking"]) == set(SPACE)
    assert all(line.startswith("# ") for line in found.lines(refuted=True).splitlines())
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


@pytest.mark.parametrize("place", [0, 1])
def test_a_ranker_is_worth_its_lists_in_a_window_it_has_not_seen(world: tuple[pipeline.Workspace, list[Slice]], place: int) -> None:
    """What is told of a window is the NDCG@10 of lists for its warm users, by a ranker of the other window."""
    work, windows = world
    present, judged = ranker_judged(work, windows)
    here, other = windows[place], windows[1 - place]
    table = rows_of_window(work, pipeline.fitted(work, other.history), other.labels)
    ranker = fit_ranker([table], dataclasses.replace(ranker_settings(work), models=1, **present))
    made = pipeline.fitted(work, here.history)
    assert judged(present, place).mean() == pytest.approx(_ndcg(Ranked(made.recommenders, made.features, ranker), here)) != 0


def test_a_ranker_needs_two_windows(world: tuple[pipeline.Workspace, list[Slice]]) -> None:
    """With a single window there is nothing to learn from that is not judged, and the error says what to raise."""
    with pytest.raises(RankingError, match="label_windows"):
        ranker_judged(world[0], world[1][:1])


def test_a_generator_is_worth_its_lists(world: tuple[pipeline.Workspace, list[Slice]]) -> None:
    """What is told of a window is the NDCG@10 of the generator with the values tried, and 0 where it can not be fitted with them."""
    work, windows = world
    present, judged = generator_judged(work, "als", windows)
    wanted = _ndcg(GENERATORS["als"](**{**present, "factors": 4}).fit(windows[0].history), windows[0])
    assert judged({"factors": 4}, 0).mean() == pytest.approx(wanted) != 0
    assert (judged({"factors": 0}, 1) == 0).all()


def test_what_was_found_is_confirmed_where_it_was_not_searched() -> None:
    """Best values and those before meet on all windows but the latest, user by user; the same values, or one window, need no test."""
    rng = np.random.default_rng(0)
    worth = {(depth, place): rng.random(40) + depth / 10 for depth in (3, 4) for place in range(3)}

    def judged(values: dict[str, int], place: int) -> np.ndarray:
        assert place < 2, "the latest window was searched"
        return worth[values["depth"], place]

    found = confirmation(judged, {"depth": 4}, {"depth": 3}, 3)
    told = [np.concatenate([worth[depth, 0], worth[depth, 1]]) for depth in (4, 3)]
    assert found == Confirmation(told[0].mean(), told[1].mean(), sign_flip_p(told[0] - told[1]), 2)
    assert confirmation(judged, {"depth": 4}, {"depth": 4}, 3) is None
    assert confirmation(judged, {"depth": 4}, {"depth": 3}, 1) is None


@pytest.mark.parametrize(("best", "p", "verdict"), [(0.2, 0.01, "the gain holds"), (0.05, 0.01, "keep the values before"),
                                                    (0.2, 0.5, "no difference")])
def test_the_line_says_what_to_do(best: float, p: float, verdict: str) -> None:
    """A sure gain holds, a sure loss is refused, and in between nothing is claimed; the line is a comment."""
    line = Confirmation(best, 0.1, p, 2).line()
    assert verdict in line
    assert line.startswith("# ")
    assert "\n" not in line
    assert Confirmation(best, 0.1, p, 2).refuted == ("keep" in verdict)


def test_tuning_prints_a_section_and_what_became_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    """`python -m musicrec.tuning` ends with 0; it prints an ini file that speaks of the section asked for, and the picture is there."""
    logs = taste_logs.write(tmp_path / "logs")
    for key, value in taste_logs.environment(logs, tmp_path).items():
        monkeypatch.setenv(key, value)
    assert main(["--only", "ranking", "--trials", "2"]) == 0
    said = capsys.readouterr().out
    configparser.ConfigParser().read_string(said)
    assert "[ranking] stays" in said or all(f"{key} = " in said for key in SPACES["ranking"])
    assert "[ranking]" in said
    assert (tmp_path / "work" / "tuning.png").stat().st_size > 1000
