"""The engine that computes the large tables: an Ibis backend, DuckDB or Spark, with its limits set.

All other code works on Ibis expressions and does not depend on the engine.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ibis

from musicrec.errors import SettingsError, StorageError
from musicrec.files import make_folder


def connect(name: str, *, memory_limit: str, threads: int, temp_folder: Path) -> Any:
    """A new Ibis backend: "duckdb" or "spark".

    memory_limit: such as "6GB"; data beyond it is written to `temp_folder`, which is created. threads: the number of worker threads
    (Spark: local[threads]). Times are in UTC. On a terminal long queries show a progress bar.
    Raises SettingsError for an unknown name, a limit that the engine rejects, or a missing pyspark, StorageError for a folder that
    cannot be created.

    >>> connect("duckdb", memory_limit="1GB", threads=1, temp_folder=Path("work/spill")).name
    'duckdb'
    """
    if name not in ENGINES:
        raise SettingsError(f"section [engine], key 'name', value {name!r}: expected one of {', '.join(ENGINES)}.")
    try:
        make_folder(temp_folder)
    except OSError as cause:
        raise StorageError(f"{temp_folder} cannot be created: {cause.strerror}; choose another [engine] temp_folder.") from None
    return ENGINES[name](memory_limit, threads, temp_folder)


def _duckdb(memory_limit: str, threads: int, temp_folder: Path) -> Any:
    import duckdb

    try:
        # Keeping the order of rows costs memory in DuckDB; queries that need an order sort.
        connection = ibis.duckdb.connect(memory_limit=memory_limit, threads=threads, temp_directory=str(temp_folder),
                                         preserve_insertion_order=False, autoinstall_known_extensions=False)
    except duckdb.Error as cause:
        raise SettingsError(f"DuckDB rejects memory_limit {memory_limit!r} or threads {threads} of [engine]: {cause}.") from None
    connection.raw_sql("SET TimeZone = 'UTC'")
    if "ipykernel" not in sys.modules:
        # In a notebook even switching the bar off makes DuckDB load widgets.
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
