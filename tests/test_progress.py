"""The one progress bar: where it is shown, and that there is one at a time."""

import asyncio
import io
import os
import sys

import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

from musicrec import progress as module
from musicrec.progress import progress


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """True."""
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """stderr as a terminal, and bars that do not wait."""
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(module, "SECONDS", 0)
    return stream


def test_a_bar_shows_title_and_rate_on_a_terminal(terminal: Terminal) -> None:
    """Everything is handed on in its order, and the bar has gone when it is over."""
    assert list(progress(range(3), "fit", unit="model")) == [0, 1, 2]
    assert "fit: " in terminal.getvalue()
    assert "model/s" in terminal.getvalue()
    assert terminal.getvalue().endswith("\r")


def test_nothing_is_shown_elsewhere_or_for_short_work(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither into a file nor within the first second."""
    monkeypatch.setattr(module, "SECONDS", 1)
    assert list(progress(range(3), "short")) == [0, 1, 2]
    monkeypatch.setattr(sys, "stderr", file := io.StringIO())
    with progress(title="quiet", total=1) as bar:
        bar.update()
    assert terminal.getvalue() == file.getvalue() == ""


def test_a_bar_within_another_is_not_shown(terminal: Terminal) -> None:
    """The next one after the outer one is over is shown again, also where the outer one ended with an error."""
    with pytest.raises(ZeroDivisionError):
        for _ in progress([1], "outer"):
            list(progress([1], "inner"))
            1 / 0
    list(progress([1], "next"))
    assert "inner" not in terminal.getvalue()
    assert "next: " in terminal.getvalue()


@pytest.mark.slow
def test_a_notebook_shows_bars_on_stdout_unless_tqdm_is_told_not_to() -> None:
    """In a real kernel: with TQDM_DISABLE=1 nothing is printed."""
    source = "import time\nfrom musicrec.progress import progress\nfor _ in progress(range(3), 'fit'):\n    time.sleep(0.6)"
    shown = []
    for environ in ({}, {"TQDM_DISABLE": "1"}):
        book = new_notebook(cells=[new_code_cell(source)])
        asyncio.run(NotebookClient(book, timeout=60).async_execute(env={**os.environ, **environ}))
        shown.append([(output.name, output.text) for output in book.cells[0].outputs])
    assert shown[0][0][0] == "stdout"
    assert "fit: " in shown[0][0][1]
    assert shown[1] == []
