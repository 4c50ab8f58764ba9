"""A Spark cluster of two machines that fail: a worker that stands still, a driver that is lost, a Spark that ends under its driver."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from musicrec import engine, pipeline, registry, settings
from musicrec.runners import spark
from musicrec.storage import storage
from tests import engines, taste_logs
from tests.commands import MUSICREC
from tests.runner_lists import lists_of, saved_recommender
from tests.s3_server import S3Server

pytestmark = [engines.SPARKS_WARNINGS, pytest.mark.slow, pytest.mark.long]
OPTIONS = {"spark.executorEnv.PYTHONPATH": str(engines.ROOT), "spark.executor.memory": "900m", "spark.ui.enabled": "false",
           "spark.driver.host": "127.0.0.1", "spark.sql.shuffle.partitions": "3", "spark.ui.showConsoleProgress": "false",
           "spark.driver.extraJavaOptions": engines.QUICK, "spark.executor.extraJavaOptions": engines.QUICK}


@pytest.fixture(scope="module")
def disks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder below which both workers keep their files."""
    return tmp_path_factory.mktemp("disks")


@pytest.fixture(scope="module")
def address(disks: Path) -> Iterator[str]:
    """The address of a cluster of two workers with one core each."""
    with engines.standalone(disks) as found:
        yield found
        engines.stop()


def test_a_task_that_stands_still_is_done_elsewhere(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the Python worker of one machine stands still in the middle, the other answers a copy of its task: the lists are the same."""
    from pyspark.sql import SparkSession

    saved = saved_recommender(tmp_path / "recommender")
    monkeypatch.setattr(spark, "SMALLEST", 1)
    monkeypatch.setattr(spark, "TASKS_A_CORE", 30)
    monkeypatch.setenv("PYSPARK_PYTHON", MUSICREC[0])
    engines.stop()
    engine.connect("spark", memory_limit="1GB", threads=2, temp_folder=tmp_path / "spill", master=address,
                   options={**OPTIONS, "spark.speculation": "true"})
    stopped: list[int] = []

    def stop_a_worker() -> None:
        tracker, deadline = SparkSession.active().sparkContext.statusTracker(), time.monotonic() + 300
        while not stopped and time.monotonic() < deadline:
            if any(stage and stage.numCompletedTasks for stage in map(tracker.getStageInfo, tracker.getActiveStageIds())):
                # The first daemon has forked the workers of one executor.
                stopped.extend(engines.descendants("pyspark.daemon", engines.executors()[0])[1:])
                for pid in stopped:
                    os.kill(pid, signal.SIGSTOP)
            time.sleep(0.01)

    stopper = threading.Thread(target=stop_a_worker)
    stopper.start()
    try:
        found = lists_of("spark", saved, tmp_path / "lists")
        stopper.join()
        assert stopped
        assert found == lists_of("duckdb", saved, tmp_path / "lists")
    finally:
        for pid in stopped:
            engines.signalled(pid, signal.SIGCONT)
        engines.stop()


def test_executors_fetch_the_recommender_from_a_bucket_once_a_machine(disks: Path, address: str, server: S3Server, tmp_path: Path,
                                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the scratch is in S3, executors need no folder of the driver: the lists are the same, each machine has one copy, and nothing
    stays in the bucket."""
    saved = saved_recommender(tmp_path / "recommender")
    monkeypatch.setattr(spark, "SMALLEST", 16)
    monkeypatch.setenv("PYSPARK_PYTHON", MUSICREC[0])
    engines.stop()
    engine.connect("spark", memory_limit="1GB", threads=2, temp_folder=tmp_path / "spill", master=address,
                   options={**OPTIONS, **executors_environment(server)})
    place = storage("s3a://music/scratch/lists", server.environment())
    assert lists_of("spark", saved, place) == lists_of("duckdb", saved, tmp_path / "lists")
    assert place.list() == []
    assert len(list(disks.rglob("recommender.json"))) == 2
    engines.stop()


def executors_environment(server: S3Server) -> dict[str, str]:
    """Settings of Spark that tell executors where the server is and with which keys."""
    return {f"spark.executorEnv.{name}": value for name, value in server.environment().items()}


@pytest.fixture(scope="module")
def project(address: str, server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project folder whose logs, runs and scratch are in a bucket, with the cluster in its config.ini, and one run, made with DuckDB."""
    folder = tmp_path_factory.mktemp("project")
    logs, place = taste_logs.write(folder / "logs"), storage("s3://music/logs", server.environment())
    for path in logs.iterdir():
        place.upload(path, path.name)
    place.delete("interactions.parquet")
    plays = pq.read_table(logs / "interactions.parquet")
    for number, part in enumerate((plays.slice(0, 500), plays.slice(500))):
        pq.write_table(part, folder / "part.parquet")
        place.upload(folder / "part.parquet", f"interactions.parquet/part-{number}.parquet")
    spark_settings = "".join(f"{key} = {value}\n" for key, value in {**OPTIONS, **executors_environment(server)}.items())
    (folder / "config.ini").write_text(f"[engine]\nmaster = {address}\nscratch = s3a://music/scratch\n[engine.spark]\n{spark_settings}")
    (folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in server.environment().items()))
    pipeline.run(settings.load(folder / "config.ini", variables(folder)))
    return folder


def variables(project: Path) -> dict[str, str]:
    """Settings of the project for a small quick training."""
    return {**taste_logs.environment(project / "logs", project), "MUSICREC_DATA_FOLDER": "s3a://music/logs",
            "MUSICREC_ARTIFACTS_LOCATION": "s3a://music/artifacts"}


def started(project: Path, *command: str) -> subprocess.Popen[str]:
    """`musicrec` with the engine Spark in the project, in a process group of its own."""
    environment = {**os.environ, **variables(project), "MUSICREC_ENGINE_NAME": "spark", "PYSPARK_PYTHON": MUSICREC[0]}
    return subprocess.Popen([*MUSICREC, *command, "--config", str(project / "config.ini")], cwd=engines.ROOT, env=environment, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)


def wait_for(what: Callable[[], object], process: subprocess.Popen[str] | None = None) -> None:
    """Return when `what` is true; raises AssertionError after five minutes, or when the process has ended before."""
    deadline = time.monotonic() + 300
    while not what():
        assert time.monotonic() < deadline
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.02)


def test_a_lost_driver_leaves_the_earlier_run_and_the_next_one_works(project: Path, server: S3Server) -> None:
    """A training that is killed with all of its processes while executors answer publishes nothing, its executors end, and the next one
    publishes the lists that DuckDB makes."""
    place, bucket = storage("s3://music/artifacts", server.environment()), server.folder / "music"
    before = registry.current_id(place)
    lost = started(project, "train")
    wait_for(lambda: list(bucket.glob("scratch/lists.part-*/*/given/users.npy")), lost)
    os.killpg(lost.pid, signal.SIGKILL)
    lost.communicate()
    assert (registry.current_id(place), registry.runs(place)) == (before, [before])
    wait_for(lambda: not engines.executors())
    done = started(project, "train")
    said = done.communicate(timeout=900)
    assert done.returncode == 0, said
    runs = registry.runs(place)
    assert runs == [before, registry.current_id(place)]
    theirs, ours = (pq.read_table(bucket / "artifacts" / "runs" / run / "recommendations.parquet") for run in runs)
    assert theirs == ours


def test_a_spark_that_ends_under_its_driver_is_one_sentence(project: Path, server: S3Server) -> None:
    """When the Java process is killed in the middle, the command says so in one line and ends with 1; an earlier file stays as it was, and
    nothing stays beside it."""
    bucket, scratch = storage("s3://music", server.environment()), server.folder / "music" / "scratch"
    bucket.write("lists.parquet", b"earlier")
    process = started(project, "predict", "--out", "s3a://music/lists.parquet")
    wait_for(lambda: list(scratch.glob("lists.parquet.lists-*/*/given/users.npy")), process)
    for pid in engines.descendants("SparkSubmit", process.pid):
        os.kill(pid, signal.SIGKILL)
    said = process.communicate(timeout=900)[1]
    assert process.returncode == 1
    assert "Traceback" not in said
    assert said.strip().splitlines()[-1].startswith("Spark could not answer the users: the process of its driver has ended")
    assert bucket.read("lists.parquet") == b"earlier"
    assert not list(scratch.glob("lists.parquet.lists-*"))
