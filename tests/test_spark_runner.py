"""Lists made by real executors of Spark: the same as on this machine, also when one is killed; and the sessions and settings of Spark."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from musicrec import engine, settings, validation
from musicrec.cli.predict import write_lists
from musicrec.errors import EngineError, SettingsError
from musicrec.models.covisitation import Covisitation
from musicrec.models.item_knn import ItemKNN
from musicrec.models.slim import SLIM
from musicrec.pipeline import serving_tables
from musicrec.pipeline.workspace import Workspace
from musicrec.runners import fits_by, spark, spark_fits
from musicrec.storage import storage
from tests import engines
from tests.logs import raw_rows, raw_tables
from tests.runner_lists import K, Saved, lists_of, saved_recommender
from tests.worlds import random_world

pytestmark = [engines.SPARKS_WARNINGS, pytest.mark.slow]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A Spark cluster with two executors, which are processes of their own."""
    yield from engines.cluster(tmp_path_factory.mktemp("cluster"))


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    """A recommender of every model and feature group, and the folder in which it is saved."""
    return saved_recommender(tmp_path_factory.mktemp("saved") / "recommender")


def test_executors_give_the_lists_of_this_machine(cluster: Any, saved: Saved, tmp_path: Path,
                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    """Users, items, scores and order of every model, the blend and the ranker agree in every bit, also of cold users and in any order."""
    monkeypatch.setattr(spark, "SMALLEST", 16)
    users = np.concatenate([[123_456_789], saved[0].fitted.train.user_ids[::-1], [-5]]).astype(np.int32)
    assert lists_of("spark", saved, tmp_path / "lists", users) == lists_of("duckdb", saved, tmp_path / "lists", users)
    assert list(tmp_path.iterdir()) == []


def test_executors_fit_what_this_machine_fits(cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neighbors, visits and regressions of all items, filled by executors, are those of this machine in every bit; no file is left."""
    world = random_world(n_users=400, n_plays=4000)
    models = [ItemKNN(), Covisitation(), SLIM()]
    here = [model.fit(world).similarity for model in models]
    monkeypatch.setattr(spark_fits, "FEWEST", 1)
    jobs = len(_jobs(cluster))
    with fits_by("spark", storage(str(tmp_path / "fits"), {})):
        there = [model.fit(world).similarity for model in models]
    assert len(_jobs(cluster)) == jobs + 4  # of SLIM co-occurrences and regressions
    for one, other in zip(here, there):
        assert one.nnz
        assert all(getattr(one, name).tobytes() == getattr(other, name).tobytes() for name in ("indptr", "indices", "data"))
    assert list(tmp_path.iterdir()) == []


def test_a_killed_executor_changes_nothing(cluster: Any, saved: Saved, tmp_path: Path,
                                           monkeypatch: pytest.MonkeyPatch) -> None:
    """When an executor is killed with SIGKILL in the middle, the lists are the same, and none is there twice or missing."""
    monkeypatch.setattr(spark, "SMALLEST", 1)
    monkeypatch.setattr(spark, "TASKS_A_CORE", 20)
    before, killed = set(engines.executors()), []
    killer = threading.Thread(target=_kill_when_a_task_is_done, args=(cluster, killed))
    killer.start()
    found = lists_of("spark", saved, tmp_path / "lists")
    killer.join()
    done, tasks = killed[0]
    assert 0 < done < tasks
    assert set(engines.executors()) != before
    assert found == lists_of("duckdb", saved, tmp_path / "lists")


def _kill_when_a_task_is_done(cluster: Any, killed: list[tuple[int, int]]) -> None:
    tracker, deadline = cluster.sparkContext.statusTracker(), time.monotonic() + 120
    while not killed and time.monotonic() < deadline:
        for stage in map(tracker.getStageInfo, tracker.getActiveStageIds()):
            if stage and stage.numCompletedTasks:
                os.kill(engines.executors()[0], signal.SIGKILL)
                killed.append((stage.numCompletedTasks, stage.numTasks))
                return
        time.sleep(0.01)


def test_a_recommender_that_executors_cannot_load_is_one_sentence(cluster: Any, saved: Saved,
                                                                  tmp_path: Path) -> None:
    """The message names the folder and what was wrong with it; no list and no part of one is left."""
    made, _ = saved
    made.save(tmp_path / "damaged")
    (tmp_path / "damaged" / "train.user_ids.npy").unlink()
    with pytest.raises(EngineError, match=r"(?s)holds no readable recommender.*check that every executor .* reaches .*damaged\.$"):
        lists_of("spark", (made, tmp_path / "damaged"), tmp_path / "lists")
    assert [path.name for path in tmp_path.iterdir()] == ["damaged"]


def test_the_pipeline_and_predict_write_the_same_files_with_both_engines(cluster: Any, saved: Saved,
                                                                         tmp_path: Path) -> None:
    """recommendations.parquet, the lists of single models and what predict writes hold the same rows whichever engine is set."""
    made, folder = saved
    for name in engine.ENGINES:
        chosen = settings.load(None, {"MUSICREC_ENGINE_NAME": name, "MUSICREC_ENGINE_TEMP_FOLDER": str(tmp_path / "spill"),
                                      "MUSICREC_RANKING_K": str(K)})
        (tmp_path / name).mkdir()
        serving_tables.write_lists(Workspace(chosen, None, tmp_path / name), made)
        write_lists(chosen, made, folder, made.fitted.train.user_ids[:30].tolist(), K, tmp_path / name / "predicted.parquet")
    theirs, ours = ({path.name: path for path in (tmp_path / name).iterdir() if path.is_file()} for name in engine.ENGINES)
    assert set(theirs) == set(ours) >= {"recommendations.parquet", "personal_als.parquet", "recommendations_ub.json", "predicted.parquet"}
    for name, path in theirs.items():
        read = Path.read_bytes if path.suffix == ".json" else pq.read_table
        assert read(path) == read(ours[name]), name


def test_validation_takes_at_most_ten_jobs(cluster: Any, tmp_path: Path) -> None:
    """All findings come from few jobs, are those of DuckDB, and the session has its settings back afterwards."""
    rows = raw_rows()
    rows["tracks"][0] |= {"albums": [1000, 1000], "artists": None, "genres": [3000, 555]}
    rows["catalog_names"][5]["name"] = " "
    found = []
    for name in engine.ENGINES:
        connection = engine.connect(name, memory_limit="1GB", threads=2, temp_folder=tmp_path / "spill")
        logs, before = raw_tables(rows, connection, tmp_path, ()), len(_jobs(cluster))
        with engine.one_job_a_query(connection):
            found.append(validation.findings(*logs, date(2022, 5, 1)))
    assert len(_jobs(cluster)) - before <= 10
    assert len(found[0]) == 4
    pd.testing.assert_frame_equal(*found)
    assert connection.raw_sql("SET spark.sql.adaptive.enabled").collect()[0]["value"] == "true"


def _jobs(cluster: Any) -> list[int]:
    jobs: list[int] = cluster.sparkContext.statusTracker().getJobIdsForGroup(None)
    return jobs


def test_a_session_that_is_there_is_used_and_stays_as_it_is(cluster: Any, tmp_path: Path) -> None:
    """The engine runs in the application that is active; its own settings of a session take effect there alone."""
    zone = cluster.conf.get("spark.sql.session.timeZone")
    backend = engine.connect("spark", memory_limit="1GB", threads=1, temp_folder=tmp_path / "spill", master="spark://nowhere:7077",
                             options={"spark.sql.shuffle.partitions": "7", "spark.executor.memory": "9g"})
    own = backend.raw_sql("set spark.sql.shuffle.partitions").collect()[0]["value"]
    assert (own, cluster.conf.get("spark.sql.shuffle.partitions")) == ("7", "3")
    assert cluster.conf.get("spark.sql.session.timeZone") == zone
    assert cluster.sparkContext.getConf().get("spark.executor.memory") == "1g"


def test_settings_of_spark_keep_their_capitals_and_secrets(tmp_path: Path) -> None:
    """A key of [engine.spark] reaches the engine as it is written, no dump of the settings shows its value, and another key is refused."""
    (tmp_path / "config.ini").write_text("[engine]\nmaster = yarn\n[engine.spark]\nspark.executorEnv.KEY = s3cret\n")
    chosen = settings.load(tmp_path / "config.ini", {})
    assert chosen.engine_options["options"] == {"spark.executorEnv.KEY": "s3cret"}
    assert chosen.engine_options["master"] == "yarn"
    assert "s3cret" not in str(chosen.model_dump(mode="json"))
    (tmp_path / "config.ini").write_text("[engine.spark]\nexecutor.memory = 2g\n")
    with pytest.raises(SettingsError, match=r"key 'executor.memory' in section \[engine.spark\] is no setting of Spark"):
        settings.load(tmp_path / "config.ini", {})
