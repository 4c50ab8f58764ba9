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


def a_terminal(monkeypatch: pytest.MonkeyPatch, seconds: float = 0) -> Terminal:
    """stderr as a terminal, and bars that wait so long. Not a fixture: pytest puts its own stderr back before a test begins."""
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(module, "SECONDS", seconds)
    return stream


def test_a_bar_shows_title_and_rate_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is handed on in its order, and the bar has gone when it is over."""
    terminal = a_terminal(monkeypatch)
    assert list(progress(range(3), "fit", unit="model")) == [0, 1, 2]
    assert "fit: " in terminal.getvalue()
    assert "model/s" in terminal.getvalue()
    assert terminal.getvalue().endswith("\r")


def test_nothing_is_shown_elsewhere_or_for_short_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither into a file nor within the first second."""
    terminal = a_terminal(monkeypatch, seconds=1)
    assert list(progress(range(3), "short")) == [0, 1, 2]
    monkeypatch.setattr(sys, "stderr", file := io.StringIO())
    with progress(title="quiet", total=1) as bar:
        bar.update()
    assert terminal.getvalue() == file.getvalue() == ""


def test_a_bar_within_another_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one after the outer one is over is shown again, also where the outer one ended with an error."""
    terminal = a_terminal(monkeypatch)

    def fails() -> None:
        for _ in progress([1], "outer"):
            list(progress([1], "inner"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
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
