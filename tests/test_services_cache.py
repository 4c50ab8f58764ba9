"""What a service does when its cache is damaged or its storage is down at a restart. Real processes."""

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import requests

from musicrec.registry import RunInfo, current, publish
from musicrec.storage import storage
from tests.s3_server import s3_server
from tests.service_world import PERSONAL, USER, Services, published, services, write_run
from tests.test_watch import ready, stats, wait_until

pytestmark = pytest.mark.slow


@contextlib.contextmanager
def stopped_at_the_end(found: Services) -> Iterator[Services]:
    """The services, none of them running afterwards."""
    try:
        yield found
    finally:
        for process in found.running.values():
            process.kill()
            process.wait()


@pytest.fixture(scope="module", autouse=True)
def silent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Services, "Future[float]"]]:
    """A features service with a cache, started again while S3 accepts connections and never answers, and the seconds until it is ready:
    it waits while the tests run."""
    root = tmp_path_factory.mktemp("silent")
    (root / "s3" / "music").mkdir(parents=True)
    with s3_server(root / "s3") as server:
        publish(storage("s3://music/app", server.environment()), write_run(root / "made"), RunInfo({}))
        settings = {**server.environment(), "MUSICREC_ARTIFACTS_LOCATION": "s3://music/app", "MUSICREC_SERVICE_POLL_S": "0.2",
                    "MUSICREC_ARTIFACTS_CACHE_FOLDER": str(root / "cache")}
        with stopped_at_the_end(services(root, **settings)) as found:
            found.start("features")
            found.stop("features")
            server.process.kill()
            server.process.wait()
            with (socket.create_server(("127.0.0.1", int(server.endpoint.rsplit(":", 1)[1])), backlog=1000),
                  ThreadPoolExecutor(1) as thread):
                yield found, thread.submit(seconds_until_ready, found)


def seconds_until_ready(found: Services) -> float:
    """How long the features service takes to start."""
    began = time.monotonic()
    found.start("features")
    return time.monotonic() - began


def test_random_bytes_in_the_cache_change_no_answer(tmp_path: Path) -> None:
    """A restart after keys.npy was overwritten gives users their own lists, not the popular one, and the log names the folder."""
    published(tmp_path)
    cache = tmp_path / "cache"
    with stopped_at_the_end(services(tmp_path, MUSICREC_ARTIFACTS_CACHE_FOLDER=str(cache))) as found:
        found.start("recommendations")
        found.stop("recommendations")
        (keys,) = cache.glob("recommendations-*/keys.npy")
        keys.write_bytes(keys.read_bytes()[:-8] + np.random.default_rng(0).bytes(8))
        found.start("recommendations")
        assert found.recs("/recommendations_offline", user_id=USER, k=3) == list(PERSONAL[:3])
        assert f"cache folder {keys.parent} is damaged (keys.npy changed) and made again" in found.log("recommendations")
        assert ready(found)["status"] == "ready"


def test_a_restart_while_s3_is_down_goes_on_with_the_last_run(tmp_path: Path) -> None:
    """Both services answer from the cache, log, /ready and /stats say so, and the next run is taken up once S3 is back."""
    (tmp_path / "s3" / "music").mkdir(parents=True)
    made = write_run(tmp_path / "made")
    with s3_server(tmp_path / "s3") as server:
        place = storage("s3://music/app", server.environment())
        run_id = publish(place, made, RunInfo({}))
        port = int(server.endpoint.rsplit(":", 1)[1])
        settings = {**server.environment(), "MUSICREC_ARTIFACTS_LOCATION": "s3://music/app", "MUSICREC_SERVICE_POLL_S": "0.2",
                    "MUSICREC_ARTIFACTS_CACHE_FOLDER": str(tmp_path / "cache")}
        with stopped_at_the_end(services(tmp_path, **settings)) as found:
            found.start("recommendations", "features")
            for name in ("recommendations", "features"):
                found.stop(name)
            server.process.kill()
            server.process.wait()
            found.start("recommendations", "features")
            assert found.recs("/recommendations_offline", user_id=USER, k=3) == list(PERSONAL[:3])
            assert found.post("features", "/similar_items", item_id=150, k=2).json()["item_id_2"] == [151, 152]
            assert ready(found)["status"] == "degraded"
            assert "does not answer" in ready(found)["detail"]
            assert (stats(found)["run_id"], stats(found)["from_cache"]) == (run_id, True)
            lines = [json.loads(line)["message"] for line in found.log("recommendations").splitlines() if line.startswith("{")]
            assert f"run {run_id} is served from the cache" in lines
            with s3_server(tmp_path / "s3", port=port):
                wait_until(lambda: ready(found)["status"] == "ready", "S3 was not noticed")
                assert stats(found)["from_cache"] is False
                publish(place, write_run(made, range(170, 190)), RunInfo({}))
                wait_until(lambda: stats(found)["run_id"] == current(place).run_id, "the next run was not taken up")


def test_a_damaged_cache_starts_nothing_while_s3_is_down(tmp_path: Path) -> None:
    """Without the storage damaged arrays cannot be made again: the start fails with the storage's sentence, and the log names the array."""
    (tmp_path / "s3" / "music").mkdir(parents=True)
    with s3_server(tmp_path / "s3") as server:
        publish(storage("s3://music/app", server.environment()), write_run(tmp_path / "made"), RunInfo({}))
        settings = {**server.environment(), "MUSICREC_ARTIFACTS_LOCATION": "s3://music/app",
                    "MUSICREC_ARTIFACTS_CACHE_FOLDER": str(tmp_path / "cache")}
        with stopped_at_the_end(services(tmp_path, **settings)) as found:
            found.start("features")
            found.stop("features")
            (keys,) = (tmp_path / "cache").glob("similar-*/keys.npy")
            keys.write_bytes(keys.read_bytes()[:-1] + b"x")
            server.process.kill()
            server.process.wait()
            with pytest.raises(AssertionError, match="did not start") as told:
                found.start("features")
            assert "cannot be used (keys.npy changed)" in str(told.value)
            assert "does not answer; check S3_ENDPOINT_URL" in str(told.value).splitlines()[-2]


def test_a_server_that_says_nothing_holds_up_neither_start_nor_stop(silent: tuple[Services, "Future[float]"]) -> None:
    """While S3 accepts connections and never answers, a restart goes on from the cache within 40 seconds and a stop takes less than 10."""
    found, seconds = silent
    assert seconds.result() < 40
    assert "does not answer" in requests.get(f"{found.url('features')}/ready", timeout=5).json()["detail"]
    time.sleep(1)  # so that a look is under way
    began = time.monotonic()
    found.stop("features")
    assert time.monotonic() - began < 10
