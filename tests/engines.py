"""The engines that the contract tests run on; Spark only where pyspark and Java are installed."""

import importlib.util
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from musicrec import engine
from tests.s3_server import free_port

ROOT = Path(__file__).parents[1]
NAMES = tuple(engine.ENGINES)
# PySpark 4.0 uses parts of pandas 3 that are on their way out, and leaves sockets to the garbage collector.
SPARKS_WARNINGS = pytest.mark.filterwarnings("ignore")
# A session of small tables ends before the second compiler of Java has paid for itself.
QUICK = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
PARAMS = [pytest.param(name, marks=(SPARKS_WARNINGS, pytest.mark.slow) if name == "spark" else ()) for name in NAMES]


def connected(name: str, folder: Path) -> Any:
    """A connection for tests; skips the test where Spark cannot run."""
    if name == "spark":
        skip_without_spark()
    options = {"spark.driver.extraJavaOptions": QUICK} if name == "spark" else {}
    return engine.connect(name, memory_limit="1GB", threads=2, temp_folder=folder / "spill", options=options)


def cluster(folder: Path) -> Iterator[Any]:
    """The session of a cluster of two executors with one core each, which ends with the generator; skips where Spark cannot run."""
    skip_without_spark()
    from pyspark.sql import SparkSession

    stop()
    options = {"spark.executorEnv.PYTHONPATH": str(ROOT), "spark.sql.shuffle.partitions": "3", "spark.executor.memory": "1g",
               "spark.ui.showConsoleProgress": "false", "spark.driver.extraJavaOptions": QUICK, "spark.executor.extraJavaOptions": QUICK}
    engine.connect("spark", memory_limit="1GB", threads=2, temp_folder=folder, master="local-cluster[2,1,2048]", options=options)
    yield SparkSession.active()
    stop()


@contextmanager
def standalone(folder: Path) -> Iterator[str]:
    """The address of a master with two workers of one core, each with an address of its own, as if they were two machines; skips where
    Spark cannot run."""
    skip_without_spark()
    import pyspark

    port, processes = free_port(), []
    program = str(Path(pyspark.__file__).parent / "bin" / "spark-class")
    address, package = f"spark://127.0.0.1:{port}", "org.apache.spark.deploy"
    worker = [f"{package}.worker.Worker", "--cores", "1", "--memory", "1g", "--webui-port", "0", "--work-dir", str(folder), address]
    try:
        for options in ([f"{package}.master.Master", "--host", "127.0.0.1", "--port", str(port), "--webui-port", "0"],
                        [*worker, "--host", "127.0.0.2"], [*worker, "--host", "127.0.0.3"]):
            with (folder / "cluster.log").open("ab") as log:
                processes.append(subprocess.Popen([program, *options], stdout=log, stderr=log,
                                                  env={**os.environ, "SPARK_DAEMON_JAVA_OPTS": QUICK, "SPARK_LOCAL_DIRS": str(folder)}))
        yield address
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait()


def executors() -> list[int]:
    """The process ids of the executors of this process's cluster, ascending."""
    return descendants("CoarseGrainedExecutorBackend")


def descendants(command: str, of: int | None = None) -> list[int]:
    """The process ids of this process's descendants, or those of another, whose command line holds `command`, ascending."""
    parents = {int(path.name): _parent(path) for path in Path("/proc").iterdir() if path.name.isdigit()}
    return sorted(pid for pid in parents if (of or os.getpid()) in _ancestors(pid, parents)
                  and command.encode() in _read(Path(f"/proc/{pid}/cmdline")))


def signalled(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process that may have ended."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _ancestors(pid: int, parents: dict[int, int]) -> set[int]:
    found = set()
    while (pid := parents.get(pid, 0)) > 1:
        found.add(pid)
    return found


def _parent(process: Path) -> int:
    return int((_read(process / "stat").rpartition(b")")[2].split() or [b"", b"0"])[1])


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # the process has ended
        return b""


def stop() -> None:
    """End the active session of Spark, if there is one."""
    from pyspark.sql import SparkSession

    session = SparkSession.getActiveSession()
    if session is not None:
        session.stop()


def skip_without_spark() -> None:
    """Skip the test where Spark cannot run."""
    if not (importlib.util.find_spec("pyspark") and shutil.which("java")):
        pytest.skip("pyspark (requirements-spark.txt) or Java is not installed")
