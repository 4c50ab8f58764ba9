"""The package: what the wheel holds, and models, features and sources of other packages."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from musicrec.project import FILES

PROJECT = Path(__file__).resolve().parents[1]
MODEL = '''"""A model of another package."""

from dataclasses import dataclass

import numpy as np

from musicrec.dataset import TrainSet
from musicrec.models.popularity import FittedPopularity


@dataclass(frozen=True)
class Alphabetical:
    """Items by ascending id."""

    def fit(self, train: TrainSet) -> FittedPopularity:
        """The lower the id, the higher the score."""
        nobody = np.full(len(train.user_ids), -1, np.int32)
        return FittedPopularity(train, -np.arange(len(train.item_ids), dtype=np.float32), train.n_listeners, nobody)
'''


def installed(folder: Path, entry_points: str, code: str = MODEL) -> dict[str, str]:
    """The environment in which a package `tiny` with these entry points is installed."""
    (folder / "tiny").mkdir(parents=True)
    (folder / "tiny" / "__init__.py").write_text(code)
    (folder / "tiny-0.1.dist-info").mkdir()
    (folder / "tiny-0.1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny\nVersion: 0.1\n")
    (folder / "tiny-0.1.dist-info" / "entry_points.txt").write_text(entry_points)
    return {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{PROJECT}"}


def python(code: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """A process of its own that runs this code."""
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, cwd=PROJECT)


def test_an_installed_package_adds_to_each_registry(tmp_path: Path) -> None:
    """Its entry stands behind our own under the name that it declares."""
    registries = {"models": "MODELS", "features": "FEATURES", "sources": "SOURCES", "event_stores": "EVENT_STORES"}
    environment = installed(tmp_path, "".join(f"[musicrec.{group}]\nalphabetical = tiny:Alphabetical\n" for group in registries))
    code = "".join(f"from musicrec.{group.replace('event_stores', 'events')} import {name} as found; "
                   "print(list(found)[-1], found['alphabetical'].__name__)\n" for group, name in registries.items())
    done = python(code, environment)
    assert done.stdout == "alphabetical Alphabetical\n" * 4, done.stderr


def test_a_package_may_import_what_it_adds_to(tmp_path: Path) -> None:
    """One module with a model and a feature group can be imported first, and both registries find it."""
    code = MODEL.replace("from musicrec.dataset", "from musicrec.features.tables import ItemTable  # noqa: F401\nfrom musicrec.dataset")
    entries = "".join(f"[musicrec.{group}]\nalphabetical = tiny:Alphabetical\n" for group in ("models", "features"))
    environment = installed(tmp_path, entries, code)
    done = python("import tiny; from musicrec.models import MODELS; from musicrec.features import FEATURES; "
                  "print(MODELS['alphabetical'] is FEATURES['alphabetical'] is tiny.Alphabetical)", environment)
    assert done.stdout == "True\n", done.stderr


def test_the_settings_take_a_model_of_another_package(tmp_path: Path) -> None:
    """Named in [candidates] models it is part of the recommender that the settings describe."""
    environment = installed(tmp_path, "[musicrec.models]\nalphabetical = tiny:Alphabetical\n")
    code = "from musicrec import pipeline, settings; print(list(pipeline.recommender(settings.load()).models))"
    done = python(code, {**environment, "MUSICREC_CANDIDATES_MODELS": "als alphabetical"})
    assert done.stdout == "['als', 'alphabetical']\n", done.stderr


@pytest.mark.parametrize(("entry", "code", "said"), [
    ("als = tiny:Alphabetical", MODEL, "tiny declares 'als' as an entry point of musicrec.models, and that name is taken"),
    ("broken = tiny:Nothing", MODEL, "and tiny:Nothing cannot be imported (AttributeError: "),
    ("broken = tiny:Alphabetical", "import no_such_module\n", "and tiny:Alphabetical cannot be imported (ModuleNotFoundError: "),
])
def test_a_package_that_cannot_be_used_is_named(entry: str, code: str, said: str, tmp_path: Path) -> None:
    """A taken name, or a broken import of a model that the settings name, is one sentence with the name of the package."""
    environment = installed(tmp_path, f"[musicrec.models]\n{entry}\n", code) | {"MUSICREC_CANDIDATES_MODELS": entry.partition(" ")[0]}
    done = subprocess.run([sys.executable, "-m", "musicrec", "train"], capture_output=True, text=True, cwd=PROJECT, env=environment)
    assert done.returncode == 1
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_the_wheel_holds_the_package_its_types_and_the_files_of_a_project(tmp_path: Path) -> None:
    """And neither tests nor data; its metadata names the extras and the command."""
    subprocess.run([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(PROJECT)], check=True,
                   capture_output=True)
    (path,) = tmp_path.glob("musicrec-*.whl")
    with zipfile.ZipFile(path) as wheel:
        names = set(wheel.namelist())
        (info,) = {name.split("/")[0] for name in names if ".dist-info/" in name}
        metadata, entries = (wheel.read(f"{info}/{name}").decode() for name in ("METADATA", "entry_points.txt"))
        assert wheel.read("musicrec/project/config.ini") == (PROJECT / "config.ini").read_bytes()
    assert {f"musicrec/project/{name}" for name in FILES} <= names
    assert {"musicrec/py.typed", "musicrec/cli/__init__.py", "musicrec/cli/presets.py"} <= names
    assert {name.split("/")[0] for name in names} == {"musicrec", info}
    assert "musicrec = musicrec.cli:main" in entries
    for extra in ("serve", "train", "notebook", "lab", "redis", "spark", "docs", "dev"):
        assert f"Provides-Extra: {extra}\n" in metadata, extra
