"""The engines that the contract tests run on; Spark only where pyspark and Java are installed."""

import importlib.util
import shutil
from pathlib import Path
from typing import Any

import pytest

from musicrec import engine

NAMES = tuple(engine.ENGINES)
# PySpark 4.0 uses parts of pandas 3 that are on their way out, and leaves sockets to the garbage collector.
SPARKS_WARNINGS = pytest.mark.filterwarnings("ignore")
PARAMS = [pytest.param(name, marks=SPARKS_WARNINGS if name == "spark" else ()) for name in NAMES]


def connected(name: str, folder: Path) -> Any:
    """A connection for tests; skips the test where Spark cannot run."""
    if name == "spark" and not (importlib.util.find_spec("pyspark") and shutil.which("java")):
        pytest.skip("pyspark (requirements-spark.txt) or Java is not installed")
    return engine.connect(name, memory_limit="1GB", threads=2, temp_folder=folder / "spill")
