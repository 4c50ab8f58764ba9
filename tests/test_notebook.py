"""recommendations.ipynb: executed whole on a tiny world, and committed as a run that really happened."""

import asyncio
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

from musicrec import registry
from musicrec.storage import storage
from tests import taste_logs
from tests.commands import exit_code

PROJECT = Path(__file__).resolve().parents[1]
BOOK = PROJECT / "recommendations.ipynb"


def code_cells(path: Path) -> list[Any]:
    """The code cells of a notebook, in order."""
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def chapters() -> list[list[Any]]:
    """The cells of each numbered chapter."""
    found: list[list[Any]] = []
    for cell in nbformat.read(BOOK, as_version=4).cells:
        if cell.cell_type == "markdown" and cell.source.startswith("## "):
            found.append([])
        if found:
            found[-1].append(cell)
    return found


def _two_camps(folder: Path) -> dict[str, str]:
    """Three files with names, artists and genres, as the sample has them."""
    taste_logs.write(folder)
    return {}


def _one_user(folder: Path) -> dict[str, str]:
    """A CSV of one user without genres, artists and names, of two months."""
    folder.mkdir()
    lines = [f"0,{day % 40},2024-{1 + day // 28:02}-{1 + day % 28:02} 10:00:00" for day in range(60)]
    (folder / "plays.csv").write_text("\n".join(["user,track,timestamp", *lines]) + "\n")
    return {"MUSICREC_DATA_SOURCE": "columns", "MUSICREC_SOURCES_COLUMNS_WORK": str(folder.parent / "imported")}


def _nobody_new(folder: Path) -> dict[str, str]:
    """Everybody has played everything before the cutoff, so no list can hold anything new; and no model has factors."""
    folder.mkdir()
    lines = [f"{user},{track},2024-{month:02}-{1 + (user + track) % 28:02} 10:00:00,genre {track % 2}"
             for user in range(12) for track in range(8) for month in (1, 2, 3, 4)]
    (folder / "plays.csv").write_text("\n".join(["user,track,timestamp,style", *lines]) + "\n")
    return {"MUSICREC_DATA_SOURCE": "columns", "MUSICREC_SOURCES_COLUMNS_WORK": str(folder.parent / "imported"),
            "MUSICREC_SOURCES_COLUMNS_GENRE": "style", "MUSICREC_CANDIDATES_MODELS": "item_knn content popular_decayed"}


def _playback(folder: Path) -> dict[str, str]:
    """JSON lines of a playback service, of a single day, with the share of each track that was played and no names."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    begun, lines = 1_650_000_000_000, []
    for user in range(40):
        moments = np.sort(rng.integers(0, 80_000_000, 25))
        for moment, track in zip(moments, rng.choice(60, 25, replace=False)):
            share = 1.0 if (track + user) % 2 else round(float(rng.random()) / 5, 3)
            lines.append(json.dumps({"timestamp": begun + int(moment), "user": user, "track": int(track), "time": share}))
    (folder / "data.json").write_text("\n".join(lines) + "\n")
    return {"MUSICREC_DATA_SOURCE": "botify", "MUSICREC_SOURCES_BOTIFY_WORK": str(folder.parent / "imported"),
            "MUSICREC_SPLIT_FOLD_DAYS": "0"}


LOGS: dict[str, Callable[[Path], dict[str, str]]] = {
    "two camps": _two_camps, "one user, no genres, no names": _one_user, "nobody new": _nobody_new, "playback with shares": _playback}
SHORT = ("two camps", "one user, no genres, no names")


@pytest.mark.slow
@pytest.mark.parametrize("logs", [pytest.param(name, marks=() if name in SHORT else pytest.mark.long) for name in LOGS])
def test_the_notebook_runs_from_first_to_last_cell(tmp_path: Path, logs: str, monkeypatch: pytest.MonkeyPatch,
                                                   capsys: pytest.CaptureFixture[str]) -> None:
    """On any logs every cell succeeds, a run is published, and the executed copy lies beside it with its plots."""
    # One thread, since other tests run beside this one.
    changes = {**taste_logs.environment(tmp_path / "logs", tmp_path), "MUSICREC_ENGINE_THREADS": "1", "OMP_NUM_THREADS": "1",
               **LOGS[logs](tmp_path / "logs")}
    for key, value in changes.items():
        monkeypatch.setenv(key, value)
    monkeypatch.chdir(PROJECT)
    assert exit_code("notebook", "--data", tmp_path / "logs", "--out", tmp_path / "artifacts") == 0, capsys.readouterr()
    assert registry.current(storage(str(tmp_path / "artifacts"), {})).files
    executed = code_cells(tmp_path / "artifacts" / BOOK.name)
    assert all(cell.execution_count for cell in executed)
    assert not [output for cell in executed for output in cell.outputs if output.get("name") == "stderr"], "a warning is shown"
    assert list((tmp_path / "artifacts" / "pictures").glob("*.png"))
    if logs in ("one user, no genres, no names", "playback with shares"):
        drawn = [cell for cell in executed if "plots.genres(" in cell.source or "by_genre.set_axis" in cell.source]
        assert len(drawn) == 2
        assert not [output for cell in drawn for output in cell.outputs if "data" in output], "an empty genre plot or table is shown"


@pytest.mark.slow
def test_the_kernel_may_start_in_a_folder_below(tmp_path: Path) -> None:
    """As when the executed copy is opened: settings are found and logs named from the project folder, without any command."""
    logs = taste_logs.write(tmp_path / "logs")
    book = nbformat.read(BOOK, as_version=4)
    opening = next(place for place, cell in enumerate(book.cells) if cell.source.startswith("## 2"))
    book.cells = [*book.cells[:opening], nbformat.v4.new_code_cell("print(os.getcwd(), config.path.resolve())")]
    client = NotebookClient(book, timeout=120, resources={"metadata": {"path": str(PROJECT / "docs")}})
    asyncio.run(client.async_execute(env={**os.environ, **taste_logs.environment(logs, tmp_path)}))
    assert book.cells[-1].outputs[0].text == f"{PROJECT} {PROJECT / 'config.ini'}\n"


def test_the_committed_notebook_was_executed_in_order() -> None:
    """Execution counts are 1, 2, 3 ... and no cell ends in an error or shows a warning."""
    cells = code_cells(BOOK)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    for cell in cells:
        for output in cell.outputs:
            assert output.output_type != "error"
            assert output.get("name") != "stderr"


def test_the_committed_notebook_says_that_its_data_are_generated() -> None:
    """Whoever opens it sees that people and tracks are invented."""
    shown = [output.get("text", "") for cell in code_cells(BOOK) for output in cell.outputs]
    assert any("GENERATED" in text for text in shown)


CHAPTERS = ("Data", "Validation", "Preprocessing", "Exploratory data analysis", "Split and metrics", "Popularity",
            "User-based collaborative filtering", "ALS", "Content", "Item-to-item", "Candidates and features", "Ranking", "Comparison",
            "Error analysis", "Publish")


def test_the_chapters_are_the_stages_and_models() -> None:
    """Fifteen numbered chapters in this order; each has at least one check that can fail."""
    assert [cells[0].source.splitlines()[0] for cells in chapters()] == [f"## {n}. {title}" for n, title in enumerate(CHAPTERS, 1)]
    for cells in chapters():
        code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
        assert re.search(r"^\s*(assert |expect\()", code, re.MULTILINE), cells[0].source


@pytest.mark.parametrize("model", ["PopularDecayed", "UserKNN", "ALS", "Content", "ItemKNN"])
def test_each_model_is_built_shown_evaluated_and_tried_in_its_chapter(model: str) -> None:
    """Its class stands in a cell that fits it and shows recommendations; the next ones evaluate it and try values of a setting."""
    code = [[cell.source for cell in cells if cell.cell_type == "code"] for cells in chapters()]
    own, = (cells for cells in code if f"models.{model})    # or models.{model}(" in cells[0])
    assert re.search(r"= model\.fit\(train\)\n.*\nshow\(\w+\.recommend\(users, k=shown\)\)", own[0])
    assert "evaluate({" in own[1]
    assert any("try_values(model, " in source for source in own)


def test_code_cells_are_short_and_stand_between_prose() -> None:
    """At most 15 lines a code cell, no two cells alike, and nearly one cell of prose for each of code."""
    cells = nbformat.read(BOOK, as_version=4).cells
    code = [cell.source for cell in cells if cell.cell_type == "code"]
    assert max(len(source.splitlines()) for source in code) <= 15
    assert len({cell.source for cell in cells}) == len(cells)
    assert 0.85 < (len(cells) - len(code)) / len(code) < 1.2


def test_the_test_set_is_used_after_everything_is_chosen() -> None:
    """No cell before the comparison evaluates on the test set."""
    for cells in chapters()[5:12]:
        assert not [cell.source for cell in cells if cell.cell_type == "code" and "test_set" in cell.source]


def test_the_committed_outputs_name_no_place_of_one_machine_and_no_object_in_memory() -> None:
    """Neither absolute paths nor addresses such as <... at 0x7f...>, which would differ in every run."""
    text = json.dumps([[output.get("text", ""), {kind: value for kind, value in output.get("data", {}).items() if "image" not in kind}]
                       for cell in code_cells(BOOK) for output in cell.outputs])
    assert not re.findall(r" at 0x[0-9a-f]+|(?<![\w.:/<])/(?:work|root|home|Users|tmp)/", text)
