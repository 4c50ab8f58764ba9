"""The engine that computes the large tables: an Ibis backend, DuckDB or Spark, with its limits set.

All other code works on Ibis expressions and does not depend on the engine.
"""

import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from traceback import walk_tb
from types import MappingProxyType
from typing import Any

import ibis

from musicrec.errors import SettingsError, StorageError
from musicrec.files import make_folder

NOTHING: Mapping[str, str] = MappingProxyType({})


def connect(name: str, *, memory_limit: str, threads: int, temp_folder: Path, master: str = "",
            options: Mapping[str, str] = NOTHING) -> Any:
    """A new Ibis backend: "duckdb" or "spark".

    memory_limit: such as "6GB"; data beyond it is written to `temp_folder`, which is created. threads: the number of worker threads.
    Times are in UTC. On a terminal long queries show a progress bar.
    For Spark alone: master is its address, local[threads] where empty; options are further settings of Spark. Where a session is active
    already, as after spark-submit and on Databricks, it is used: of the options only those take effect that a session can change, and
    none of them outside this backend.
    Raises SettingsError for an unknown name, a limit or option that the engine rejects, or a missing pyspark, StorageError for a folder
    that cannot be created.

    >>> connect("duckdb", memory_limit="1GB", threads=1, temp_folder=Path("work/spill")).name
    'duckdb'
    """
    if name not in ENGINES:
        raise SettingsError(f"section [engine], key 'name', value {name!r}: expected one of {', '.join(ENGINES)}.")
    try:
        make_folder(temp_folder)
    except OSError as cause:
        raise StorageError(f"{temp_folder} cannot be created: {cause.strerror}; choose another [engine] temp_folder.") from None
    if name == "duckdb":
        return _duckdb(memory_limit, threads, temp_folder)
    local = {"spark.driver.memory": memory_limit.replace("B", "").replace(" ", "").lower(), "spark.local.dir": str(temp_folder.resolve()),
             "spark.sql.shuffle.partitions": str(2 * threads), "spark.ui.enabled": "false"}
    return _spark(master or f"local[{threads}]", {**(local if not master or master.startswith("local") else {}), **options})


@contextmanager
def one_job_a_query(connection: Any) -> Iterator[None]:
    """Let Spark answer each query inside in one job, for many small answers: adaptive plans and broadcasts are jobs of their own.

    Other engines have no such choice. Afterwards the session has the settings it had.
    """
    before = {}
    if connection.name == "pyspark":
        before = {key: connection.raw_sql(f"SET {key}").collect()[0]["value"] for key in _ONE_JOB}
    try:
        for key in before:
            connection.raw_sql(f"SET {key}={_ONE_JOB[key]}")
        yield
    finally:
        for key, value in before.items():
            connection.raw_sql(f"SET {key}={value}")


def failure(cause: BaseException) -> str | None:
    """What an error of Spark says, in one line, also of a Spark whose process has ended; None for any other error.

    >>> failure(ValueError("no")) is None
    True
    """
    kind, text = type(cause).__name__, str(cause)
    ended = kind == "Py4JNetworkError" or (kind == "Py4JError" and "Trace:" not in text)
    if ended or (isinstance(cause, ConnectionError) and _came_from("py4j", cause)):
        return "the process of its driver has ended, killed or out of memory"
    if type(cause).__module__.partition(".")[0] not in ("pyspark", "py4j"):
        return None
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    told = [line for line in lines if "Error" in line or "Exception" in line]
    return (told or lines or [kind])[-1][:300].rstrip(".")


def _came_from(package: str, cause: BaseException) -> bool:
    return any(frame.f_globals.get("__name__", "").startswith(package) for frame, _ in walk_tb(cause.__traceback__))


def _is_news(record: logging.LogRecord) -> bool:
    # py4j writes a traceback as well as it raises an error when Spark has ended.
    return record.msg != "Exception while sending command."


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


def _spark(master: str, options: Mapping[str, str]) -> Any:
    try:
        from pyspark.errors import PySparkException
        from pyspark.sql import SparkSession
    except ImportError:
        raise SettingsError("section [engine], key 'name', value 'spark': install requirements-spark.txt and Java 17 first.") from None
    session = SparkSession.getActiveSession()
    try:
        if session is None:
            session = SparkSession.builder.master(master).appName("musicrec").config(map=dict(options)).getOrCreate()
            session.sparkContext.setLogLevel("ERROR")
            logging.getLogger().addFilter(_is_news)
            if master.startswith("local") and session.sparkContext.pythonExec == "python3":
                # PYSPARK_PYTHON is not set, and whatever python3 is on this machine need not have musicrec.
                session.sparkContext.pythonExec = sys.executable
        # Of its own, so that the settings and views of a session that was there stay as they are.
        own = session.newSession()
        for key, value in {**_SESSION, **options}.items():
            if own.conf.isModifiable(key):
                own.conf.set(key, value)
    except (PySparkException, RuntimeError) as cause:
        raise SettingsError(f"Spark does not start at [engine] master {master!r}: {str(cause).strip().splitlines()[0]}; "
                            "check the address and [engine.spark].") from None
    return ibis.pyspark.connect(own)


_SESSION = {"spark.sql.session.timeZone": "UTC", "spark.sql.timestampType": "TIMESTAMP_NTZ",
            "spark.sql.execution.arrow.pyspark.enabled": "true"}
_ONE_JOB = {"spark.sql.adaptive.enabled": "false", "spark.sql.autoBroadcastJoinThreshold": "-1"}
ENGINES = ("duckdb", "spark")
