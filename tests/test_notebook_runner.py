"""The notebook runner: chapters, parameters, pictures, and what is left after a failing cell or Ctrl-C. Notebooks here are tiny."""

import base64
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from musicrec import registry, settings
from musicrec.errors import SettingsError
from musicrec.notebook.chapters import OPENING, chapters, with_parameters, write_pictures
from musicrec.notebook.provenance import provenance
from musicrec.registry import RunInfo
from musicrec.storage import storage
from tests.commands import exit_code
from tests.test_registry import run_folder

PROJECT = Path(settings.__file__).parents[2]
DOT = base64.b64encode(b"a picture").decode()


def book(*cells: Any) -> Any:
    """A notebook of these cells."""
    return new_notebook(cells=list(cells))


def parameters(source: str) -> Any:
    """A code cell tagged as the parameters cell."""
    return new_code_cell(source, metadata={"tags": ["parameters"]})


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with config.ini, some logs and a notebook of three chapters that succeeds."""
    (tmp_path / "config.ini").write_text(Path("config.ini").read_text())
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "tracks.parquet").write_bytes(b"not read here")
    picture = f"from IPython.display import display\ndisplay({{'image/png': '{DOT}'}}, raw=True)"
    nbformat.write(book(parameters("k = 3  # length"), new_markdown_cell("# Look\nfew words"), new_code_cell(picture),
                        new_markdown_cell("## Learn"), new_code_cell("from pathlib import Path; Path('seen').write_text(str(k))"),
                        new_code_cell("import os; print(os.environ['MUSICREC_DATA_FOLDER'], os.environ['MUSICREC_SPLIT_FOLD_DAYS'])")),
                   tmp_path / "recommendations.ipynb")
    return tmp_path


def run(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line in `project`."""
    command = [sys.executable, "-m", "musicrec", "notebook", "--data", "logs", "--out", "out", *arguments]
    return subprocess.run(command, cwd=project, env=environment(), capture_output=True, text=True, timeout=120)


def environment() -> dict[str, str]:
    """Where a kernel finds musicrec, and one setting to be passed through."""
    return {**os.environ, "PYTHONPATH": str(PROJECT), "MUSICREC_SPLIT_FOLD_DAYS": "4"}


def test_each_cell_stands_in_the_latest_chapter() -> None:
    """Headings of the first two levels begin a chapter, deeper ones do not, and comments in code never do."""
    made = book(new_code_cell("1"), new_markdown_cell("# One\n\ntext"), new_code_cell("# no heading"), new_markdown_cell("### deeper"),
                new_markdown_cell("words\n## Two "), new_code_cell("2"))
    assert chapters(made) == [OPENING, "One", "One", "One", "Two", "Two"]


def test_parameters_are_replaced_and_nothing_else() -> None:
    """Values change, comments and other lines stay, literals are literals and the rest is text; the given notebook is untouched."""
    made = book(parameters("# лог\nfolder = 'a'  # where\nk = [\n    1,\n]  # lengths\nquick = False"), new_code_cell("k = 1"))
    found = with_parameters(made, {"folder": "data/x", "k": "[5, 10]"})
    assert found.cells[0].source == "# лог\nfolder = 'data/x'  # where\nk = [5, 10]  # lengths\nquick = False"
    assert found.cells[1].source == "k = 1"
    assert made.cells[0].source.startswith("# лог\nfolder = 'a'")


@pytest.mark.parametrize("cells", [(parameters("k = 1"),), (new_code_cell("kk = 1"),)], ids=["other name", "no parameters cell"])
def test_an_unknown_parameter_is_refused(cells: tuple[Any, ...]) -> None:
    """The sentence lists the parameters there are."""
    with pytest.raises(SettingsError, match=r"no parameter 'kk'; its parameters cell assigns (k|nothing)\."):
        with_parameters(book(*cells), {"kk": "2"})


def test_pictures_are_named_by_chapter_and_old_ones_go(tmp_path: Path) -> None:
    """Every PNG is written in order; a picture of an earlier run does not stay among them."""
    (tmp_path / "07_old.png").write_bytes(b"old")
    drawn = new_code_cell("plot", outputs=[nbformat.v4.new_output("display_data", {"image/png": DOT})] * 2)
    written = write_pictures(book(new_markdown_cell("# What people hear"), drawn), tmp_path)
    assert [path.name for path in written] == ["01_what_people_hear.png", "02_what_people_hear.png"]
    assert sorted(tmp_path.iterdir()) == written
    assert written[0].read_bytes() == b"a picture"


def test_provenance_differs_when_logs_settings_or_code_differ(project: Path) -> None:
    """Any of the three changes it; addresses of services and the place of artifacts do not."""
    made, package = nbformat.read(project / "recommendations.ipynb", as_version=4), project / "package"
    package.mkdir()
    (package / "a.py").write_text("1")

    def now(**variables: str) -> str:
        changed = settings.load(project / "config.ini", {"MUSICREC_DATA_FOLDER": str(project / "logs"), **variables})
        return provenance(changed, made, package)

    first = now()
    assert now() == first
    assert now(MUSICREC_URLS_EVENTS_STORE_URL="http://127.0.0.1:9", MUSICREC_ARTIFACTS_LOCATION="elsewhere") == first
    assert now(MUSICREC_CANDIDATES_ALS_FACTORS="9") != first
    (package / "a.py").write_text("2")
    second = now()
    made.cells[-1].source += "\n1"
    third = now()
    (project / "logs" / "tracks.parquet").write_bytes(b"changed")
    assert len({first, second, third, now()}) == 4


@pytest.mark.slow
def test_a_good_notebook_is_executed_and_kept(project: Path) -> None:
    """Parameters and variables reach the kernel, chapters are told in order, the copy and its pictures lie in the folder asked for."""
    done = run(project, "--set", "k=8")
    assert (done.returncode, done.stderr) == (0, "")
    assert (project / "seen").read_text() == "8"
    lines = done.stdout.splitlines()
    assert [line.split()[:2] for line in lines[1:-1]] == [["1/3", "Opening"], ["2/3", "Look"], ["3/3", "Learn"]]
    copy = nbformat.read(project / "out" / "recommendations.ipynb", as_version=4)
    assert copy.cells[-1].outputs[0].text == "logs 4\n"
    assert [path.name for path in (project / "out" / "pictures").iterdir()] == ["01_look.png"]
    assert lines[-1].endswith("out/recommendations.ipynb, 1 plots in out/pictures.")


@pytest.mark.slow
def test_a_failing_cell_is_named_and_the_earlier_copy_stays(project: Path) -> None:
    """Chapter, cell and error stand in one sentence; the outputs so far are kept beside, not in place of, the earlier copy."""
    (project / "out").mkdir()
    (project / "out" / "recommendations.ipynb").write_text("earlier")
    failing = book(new_markdown_cell("# Learn"), new_code_cell("print(1)"), new_code_cell("{}['als']"))
    nbformat.write(failing, project / "recommendations.ipynb")
    done = run(project)
    assert done.returncode == 1
    assert done.stderr == ("recommendations.ipynb, chapter 'Learn', cell 3: KeyError: 'als'. "
                           "The cells up to there are in out/recommendations.failed.ipynb.\n")
    assert (project / "out" / "recommendations.ipynb").read_text() == "earlier"
    assert nbformat.read(project / "out" / "recommendations.failed.ipynb", as_version=4).cells[1].outputs[0].text == "1\n"


@pytest.mark.slow
def test_a_kernel_that_dies_is_one_sentence(project: Path) -> None:
    """As when the machine runs out of memory."""
    nbformat.write(book(new_markdown_cell("# Learn"), new_code_cell("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")),
                   project / "recommendations.ipynb")
    done = run(project)
    assert done.returncode == 1
    assert "chapter 'Learn', cell 2: the kernel died, most often because memory ran out" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_ctrl_c_ends_the_kernel_too(project: Path) -> None:
    """One line, exit code 130, no process left."""
    first = "import os; from pathlib import Path; Path('pid').write_text(str(os.getpid()))"
    endless = book(new_markdown_cell("# Learn"), new_code_cell(first), new_code_cell("import time; time.sleep(600)"))
    nbformat.write(endless, project / "recommendations.ipynb")
    process = subprocess.Popen([sys.executable, "-m", "musicrec", "notebook", "--data", "logs", "--out", "out"], cwd=project,
                               env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not (project / "pid").exists():
        time.sleep(0.05)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said == "\nStopped by Ctrl-C; the earlier run and its notebook are untouched.\n"
    with pytest.raises(ProcessLookupError):
        os.kill(int((project / "pid").read_text()), 0)


@pytest.mark.parametrize(("arguments", "sentence"), [
    (("--data", "nowhere"), "nowhere is not a folder"), (("--notebook", "none.ipynb"), "none.ipynb does not exist"),
    (("--notebook", "config.ini"), "config.ini is not a notebook"), (("--set", "nonsense=1"), "no parameter 'nonsense'"),
])
def test_what_cannot_be_run_is_one_sentence(arguments: tuple[str, str], sentence: str, project: Path, monkeypatch: pytest.MonkeyPatch,
                                            capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is made then."""
    monkeypatch.chdir(project)
    assert exit_code("notebook", "--data", "logs", "--out", "out", *arguments) == 1
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1
    assert not (project / "out").exists()


@pytest.mark.slow
def test_reuse_needs_the_run_that_was_made_from_the_same(project: Path, monkeypatch: pytest.MonkeyPatch,
                                                         capsys: pytest.CaptureFixture[str]) -> None:
    """A second run does nothing while its run is the current one; with another one current, or a damaged note, it runs again."""
    nbformat.write(book(), project / "recommendations.ipynb")
    monkeypatch.chdir(project)
    place, reuse = storage("out", {}), ("notebook", "--data", "logs", "--out", "out", "--reuse")
    registry.publish(place, run_folder(project / "made"), RunInfo({}))
    said = []
    for change in (lambda: None, lambda: None, lambda: registry.publish(place, project / "made", RunInfo({})),
                   lambda: (project / "out" / "made_from.json").write_text("{ half")):
        change()
        assert exit_code(*reuse) == 0
        said.append("Nothing to do" in capsys.readouterr().out)
    assert said == [False, True, False, False]
