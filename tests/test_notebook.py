"""recommendations.ipynb: executed whole on a tiny world, and committed as a run that really happened."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

from musicrec import artifacts
from musicrec.storage import storage
from tests import taste_logs

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


@pytest.mark.slow
def test_the_notebook_runs_from_first_to_last_cell(tmp_path: Path) -> None:
    """On logs of two camps every cell succeeds, a run is published, and the executed copy lies beside it with its pictures."""
    logs = taste_logs.write(tmp_path / "logs")
    environ = {**os.environ, **taste_logs.environment(logs, tmp_path)}
    command = [sys.executable, "-m", "musicrec.notebook", "--data", str(logs), "--out", str(tmp_path / "artifacts")]
    done = subprocess.run(command, cwd=PROJECT, env=environ, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert artifacts.current(storage(str(tmp_path / "artifacts"), {})).files
    executed = code_cells(tmp_path / "artifacts" / BOOK.name)
    assert all(cell.execution_count for cell in executed)
    assert not [output for cell in executed for output in cell.outputs if output.get("name") == "stderr"], "a warning is shown"
    assert list((tmp_path / "artifacts" / "pictures").glob("*.png"))


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


def test_every_chapter_asks_shows_and_asserts() -> None:
    """A chapter's title holds a question or names a step, it has prose, and it ends with what was learned as an assert."""
    assert len(chapters()) >= 9
    for cells in chapters():
        code = [cell.source for cell in cells if cell.cell_type == "code"]
        assert any("assert " in source for source in code), cells[0].source


def test_cells_are_short_and_named_by_prose() -> None:
    """Code cells have at most 18 lines, and there is at least half as much prose as code."""
    cells = nbformat.read(BOOK, as_version=4).cells
    code = [cell for cell in cells if cell.cell_type == "code"]
    assert max(len(cell.source.splitlines()) for cell in code) <= 18
    assert 2 * (len(cells) - len(code)) >= len(code)
