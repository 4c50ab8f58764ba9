"""make on a bare machine: what is missing is one sentence, and what was done once is not done again.

A stand-in `python3` answers as an interpreter would that is too old, has no venv module, or cannot reach the package index:
faults that this machine's own interpreter does not have.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
TOOLS = ("sh", "awk", "date", "rm", "tail", "touch", "cat", "chmod", "cp", "mkdir", "env")
GOOD = """#!/bin/sh
case "$1" in
  --version) echo "Python 3.12.1";;
  -c) exit 0;;
  -m) case "$2" in
        venv) mkdir -p .venv/bin; cat "$0" > .venv/bin/python; chmod +x .venv/bin/python; cp .venv/bin/python .venv/bin/musicrec;;
        pip) echo "$@" >> pip.log; exit ${PIP_CODE:-0};;
        *) echo "ran $*";;
      esac;;
  *) echo "ran $*";;
esac
"""
OLD = """#!/bin/sh
case "$1" in
  --version) echo "Python 3.9.2";;
  *) exit 1;;
esac
"""
NO_VENV = GOOD.replace('mkdir -p .venv/bin; cat "$0" > .venv/bin/python; chmod +x .venv/bin/python; cp .venv/bin/python .venv/bin/musicrec',
                       'mkdir .venv; echo "ensurepip is not available"; exit 1')


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A folder with the Makefile and requirements, and beside it a folder of tools without any Python."""
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    (tmp_path / "tools").mkdir()
    for tool in (*TOOLS, "make"):
        (tmp_path / "tools" / tool).symlink_to(str(shutil.which(tool)))
    (tmp_path / "clone").mkdir()
    for name in ("Makefile", "requirements.txt", "requirements-dev.txt", "constraints.txt", "pyproject.toml"):
        shutil.copy(PROJECT / name, tmp_path / "clone" / name)
    return tmp_path


def make(machine: Path, *arguments: str, python: str | None = GOOD, **variables: str) -> subprocess.CompletedProcess[str]:
    """make in the clone, with nothing on the path but the tools and this stand-in for python3."""
    if python is not None:
        (machine / "tools" / "python3").write_text(python)
        (machine / "tools" / "python3").chmod(0o755)
    return subprocess.run([str(machine / "tools" / "make"), *arguments], cwd=machine / "clone", capture_output=True, text=True,
                          env={"PATH": str(machine / "tools"), **variables}, timeout=60)


def test_help_lists_every_target(machine: Path) -> None:
    """Also plain `make`; no command is hidden."""
    phony = re.findall(r"^\.PHONY: (.*)$", (PROJECT / "Makefile").read_text(), re.MULTILINE)[0].split()
    told = make(machine).stdout.splitlines()
    assert [line.split()[1] for line in told] == phony or {line.split()[1] for line in told} == set(phony)
    assert make(machine, "help").stdout.splitlines() == told


@pytest.mark.parametrize("python", [None, OLD], ids=["no python", "too old"])
def test_a_missing_or_old_python_is_one_sentence(python: str | None, machine: Path) -> None:
    """It says what is needed and how to name an interpreter; no .venv is left."""
    done = make(machine, "demo", python=python)
    assert done.returncode != 0
    assert "No Python 3.11, 3.12 or 3.13 found" in done.stderr
    assert "make demo PYTHON=/path/to/python3.12" in done.stderr
    assert not (machine / "clone" / ".venv").exists()


def test_a_python_without_venv_is_one_sentence(machine: Path) -> None:
    """The package that Debian keeps apart is named, the reason shown, and no half .venv is left."""
    done = make(machine, "demo", python=NO_VENV)
    assert done.returncode != 0
    assert "apt install python3-venv" in done.stderr
    assert "ensurepip is not available" in done.stderr
    assert [path.name for path in (machine / "clone").iterdir() if path.name.startswith(".venv")] == []


def test_a_failed_installation_is_tried_again(machine: Path) -> None:
    """It is said in one sentence, and the next call installs."""
    failed = make(machine, "demo", PIP_CODE="1")
    assert failed.returncode != 0
    assert "could not be installed" in failed.stderr
    assert "ran demo" not in failed.stdout
    assert "ran demo" in make(machine, "demo").stdout


def test_a_second_call_installs_nothing(machine: Path) -> None:
    """Packages are installed once, for the notebook and services alone; again when a pin changes; more when tests need more."""
    for _ in range(2):
        assert "ran demo" in make(machine, "demo").stdout
    installed = machine / "clone" / "pip.log"
    assert installed.read_text().splitlines()[0].endswith("-r requirements.txt")
    assert len(installed.read_text().splitlines()) == 1
    pins = machine / "clone" / "requirements.txt"
    os.utime(pins, (pins.stat().st_mtime + 100,) * 2)
    make(machine, "demo")
    assert len(installed.read_text().splitlines()) == 2


def test_notebook_asks_for_logs(machine: Path) -> None:
    """Without DATA it says how; it hands DATA on, and OUT where it is given: else config.ini says where artifacts go."""
    done = make(machine, "notebook")
    assert done.returncode != 0
    assert "make notebook DATA=data/sample" in done.stderr
    assert "ran notebook --data my logs\n" in make(machine, "notebook", "DATA=my logs").stdout
    assert "ran notebook --data my logs --out there" in make(machine, "notebook", "DATA=my logs", "OUT=there").stdout


def test_the_build_server_runs_everything(machine: Path) -> None:
    """.ci/run is executable and ends in `make test-all`, whose last command is pytest without any choice of tests."""
    script = PROJECT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert script.read_text().splitlines()[-1] == "exec make test-all"
    last = [make(machine, "-n", target).stdout.splitlines()[-1] for target in ("test", "test-all")]
    assert last[0].endswith(' -m "not long"')
    assert " -m " not in last[1].partition(" -m pytest ")[2]
