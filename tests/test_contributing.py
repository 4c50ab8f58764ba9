"""CONTRIBUTING.md followed to the letter, from an empty file."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import taste_logs

PROJECT = Path(__file__).resolve().parents[1]
PAGE = (PROJECT / "CONTRIBUTING.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_newcomer_adds_the_model_as_the_page_says(tmp_path: Path) -> None:
    """The file is saved, the two lines are added, the printed command passes, and a run with the model compares and publishes it."""
    for name in ("musicrec", "tests"):
        # With what numba has compiled.
        shutil.copytree(PROJECT / name, tmp_path / name)
    for name in ("config.ini", "pyproject.toml"):
        shutil.copy(PROJECT / name, tmp_path)
    code, imported, entry = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    file = re.search(r"Save it as `([^`]+)`", PAGE)
    registry = re.search(r"In `([^`]+)` import it", PAGE)
    assert file is not None
    assert registry is not None
    (tmp_path / file[1]).write_text(code, encoding="utf-8")
    text = (tmp_path / registry[1]).read_text(encoding="utf-8")
    for line, before in ((imported, "from musicrec.models.popularity"), (entry, '    "random": Random,')):
        text = text.replace(before, line + before, 1)
    (tmp_path / registry[1]).write_text(text, encoding="utf-8")
    printed = re.search(r"^\.venv/bin/python (-m pytest .*)$", PAGE, re.MULTILINE)
    trained = re.search(r'^MUSICREC_CANDIDATES_MODELS="([^"]+)" musicrec (.+)$', PAGE, re.MULTILINE)
    assert printed is not None
    assert trained is not None
    environ = {**os.environ, "PYTHONPATH": str(tmp_path)}
    tested = subprocess.run([sys.executable, *printed[1].split()], cwd=tmp_path, env=environ, capture_output=True, text=True)
    assert tested.returncode == 0, tested.stdout[-2000:]
    logs = taste_logs.write(tmp_path / "data" / "sample")
    environ |= {**taste_logs.environment(logs, tmp_path), "MUSICREC_CANDIDATES_MODELS": trained[1]}
    ran = subprocess.run([sys.executable, "-m", "musicrec", *trained[2].split()], cwd=tmp_path, env=environ, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert re.search(r"^ *newest ", ran.stdout, re.MULTILINE)
