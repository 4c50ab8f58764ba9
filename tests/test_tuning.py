"""Studies resume, begin with what is set, and print lines that config.ini takes."""

import configparser
import dataclasses
from pathlib import Path

import pytest

from musicrec.candidates import GENERATORS
from musicrec.settings import Ranking
from musicrec.tuning import SPACES, draw, tuned
from musicrec.tuning.__main__ import main
from musicrec.tuning.spaces import Between

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
