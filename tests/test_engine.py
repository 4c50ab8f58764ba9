"""The engine starts with its limits, or the error says why it does not."""

import subprocess
import sys
from pathlib import Path

import pytest

from musicrec import engine
from musicrec.errors import SettingsError, StorageError
from tests.s3_server import free_port


def _connect(folder: Path, name: str = "duckdb", memory_limit: str = "1GB") -> object:
    return engine.connect(name, memory_limit=memory_limit, threads=1, temp_folder=folder / "spill")


def test_limits_reach_the_engine(tmp_path: Path) -> None:
    """DuckDB reports the memory, threads and spill folder that were asked for."""
    connection = _connect(tmp_path, memory_limit="1000MB")
    query = "select current_setting('memory_limit'), current_setting('threads'), current_setting('temp_directory')"
    memory, threads, folder = connection.raw_sql(query).fetchone()  # type: ignore[attr-defined]
    assert (memory, threads, folder) == ("953.6 MiB", 1, str(tmp_path / "spill"))


def test_an_unknown_engine_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    """The message names section, key, value and choices."""
    with pytest.raises(SettingsError, match=r"section \[engine\], key 'name', value 'polars': expected one of duckdb, spark"):
        _connect(tmp_path, "polars")


def test_a_limit_that_the_engine_refuses_is_a_sentence(tmp_path: Path) -> None:
    """DuckDB's parser error does not reach the user as a traceback."""
    with pytest.raises(SettingsError, match="rejects memory_limit '5 parsecs'"):
        _connect(tmp_path, memory_limit="5 parsecs")


def test_a_spill_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    """A file where the folder should be is named."""
    (tmp_path / "spill").write_text("in the way")
    with pytest.raises(StorageError, match="spill cannot be created"):
        _connect(tmp_path)


def test_a_spark_that_has_ended_is_one_sentence() -> None:
    """Whichever command asks it, and wherever, ends with 1 and says so."""
    pytest.importorskip("py4j")
    program = ("from py4j.java_gateway import GatewayParameters, JavaGateway\nfrom musicrec import cli, engine\n"
               f"gateway = JavaGateway(gateway_parameters=GatewayParameters(port={free_port()}))\n"
               "cli.app = lambda **_: gateway.jvm.java.lang.System.nanoTime()\ncli.main(['train'])\n")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("Spark failed: the process of its driver has ended")
