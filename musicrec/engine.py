"""The engine on which the large tables are computed: an Ibis backend, DuckDB or Spark, ready with its limits.

Everything above works on Ibis expressions and never asks which engine runs them.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ibis

from musicrec.errors import SettingsError, StorageError


def connect(name: str, *, memory_limit: str, threads: int, temp_folder: Path) -> Any:
    """A fresh Ibis backend: "duckdb" or "spark".

    memory_limit, such as "6GB", bounds what the engine holds; what does not fit goes to `temp_folder`, which is created.
    threads bounds its workers (Spark: local[threads]). Times are read and written in UTC. On a terminal long queries show a bar.
    Raises SettingsError for an unknown name, a limit that the engine refuses, or a missing pyspark, StorageError for a folder
    that cannot be made.

    >>> connect("duckdb", memory_limit="1GB", threads=1, temp_folder=Path("work/spill")).name
    'duckdb'
    """
    if name not in ENGINES:
        raise SettingsError(f"section [engine], key 'name', value {name!r}: expected one of {', '.join(ENGINES)}.")
    try:
        temp_folder.mkdir(parents=True, exist_ok=True)
    except OSError as cause:
        raise StorageError(f"{temp_folder} cannot be made: {cause.strerror}; choose another [engine] temp_folder.") from None
    return ENGINES[name](memory_limit, threads, temp_folder)


def _duckdb(memory_limit: str, threads: int, temp_folder: Path) -> Any:
    import duckdb

    try:
        # Row order costs memory in DuckDB; whoever needs an order asks for it.
        connection = ibis.duckdb.connect(memory_limit=memory_limit, threads=threads, temp_directory=str(temp_folder),
                                         preserve_insertion_order=False, autoinstall_known_extensions=False)
    except duckdb.Error as cause:
        raise SettingsError(f"DuckDB refuses memory_limit {memory_limit!r} or threads {threads} of [engine]: {cause}.") from None
    connection.raw_sql("SET TimeZone = 'UTC'")
    if "ipykernel" not in sys.modules:
        # In a notebook DuckDB takes even switching it off for a wish to show widgets.
        connection.raw_sql(f"SET enable_progress_bar = {str(sys.stdout.isatty()).lower()}")
    return connection


def _spark(memory_limit: str, threads: int, temp_folder: Path) -> Any:
    try:
        from pyspark.sql import SparkSession
    except ImportError:
        raise SettingsError("section [engine], key 'name', value 'spark': install requirements-spark.txt and Java 17 first.") from None
    session = (SparkSession.builder.master(f"local[{threads}]").appName("musicrec")
               .config("spark.driver.memory", memory_limit.replace("B", "").replace(" ", "").lower())
               .config("spark.local.dir", str(temp_folder.resolve()))
               .config("spark.sql.session.timeZone", "UTC")
               .config("spark.sql.shuffle.partitions", 2 * threads)
               .config("spark.sql.timestampType", "TIMESTAMP_NTZ")
               .config("spark.sql.execution.arrow.pyspark.enabled", "true")
               .config("spark.ui.enabled", "false").getOrCreate())
    session.sparkContext.setLogLevel("ERROR")
    return ibis.pyspark.connect(session)


ENGINES: dict[str, Callable[[str, int, Path], Any]] = {"duckdb": _duckdb, "spark": _spark}
