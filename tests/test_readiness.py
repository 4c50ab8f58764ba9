"""A service is ready when its work succeeds: what makes every put fail makes /ready answer 503, and mended it is 200. Real processes."""

import asyncio
import fcntl
import os
import shutil
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest
import redis
import requests

from musicrec.errors import EventStoreError
from musicrec.events import event_store
from musicrec.serving.events import StoreHealth
from tests.redis_server import redis_server
from tests.service_world import USER, Services, free_port, running, services


def wait_for_ready(found: Services, status: int) -> str:
    """What /ready of the events service says once it answers with `status`."""
    deadline = time.monotonic() + 30
    while True:
        answer = requests.get(f"{found.url('events')}/ready", timeout=5)
        if answer.status_code == status:
            return answer.text
        assert time.monotonic() < deadline, f"/ready stayed {answer.status_code}: {answer.text}"
        time.sleep(0.05)


def put(found: Services) -> int:
    """The status of one put."""
    return found.post("events", "/put", user_id=USER, item_id=200).status_code


@pytest.mark.slow
def test_ready_follows_redis(tmp_path: Path) -> None:
    """A key of the wrong type, no memory, a server that is gone: puts get 503 and /ready too, without a put as well; later both are 200."""
    port = free_port()
    with redis_server(tmp_path, port) as url, redis.Redis(port=port) as client, \
            running(tmp_path, "events", MUSICREC_EVENTS_STORE="redis", MUSICREC_EVENTS_PATH=url) as found:
        client.set("musicrec:plays", "no stream")
        assert "WRONGTYPE" in wait_for_ready(found, 503)
        assert put(found) == 503
        client.delete("musicrec:plays")
        wait_for_ready(found, 200)
        assert put(found) == 200
        client.config_set("maxmemory", 1)
        assert put(found) == 503
        assert "maxmemory" in wait_for_ready(found, 503)
        client.config_set("maxmemory", 0)
        assert put(found) == 200
        wait_for_ready(found, 200)
        os.kill(client.info("server")["process_id"], 9)
        assert put(found) == 503
        assert "failed" in wait_for_ready(found, 503)
        with redis_server(tmp_path, port):
            wait_for_ready(found, 200)
            assert put(found) == 200


@pytest.mark.slow
def test_ready_follows_sqlite(tmp_path: Path) -> None:
    """A writer that holds the lock, and pages that are no longer those of a database, are told by /ready without a put."""
    with running(tmp_path, "events") as found:
        assert put(found) == 200
        with (tmp_path / "events.sqlite-turn").open("w") as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)
            assert "has not answered a check" in wait_for_ready(found, 503)
        wait_for_ready(found, 200)
        with sqlite3.connect(tmp_path / "events.sqlite") as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        with (tmp_path / "events.sqlite").open("r+b") as pages:
            size = pages.seek(0, os.SEEK_END)
            pages.seek(4096)
            pages.write(os.urandom(size - 4096))
        assert "malformed" in wait_for_ready(found, 503)
        assert put(found) == 503


def test_a_redis_cluster_is_refused_at_the_start(tmp_path: Path) -> None:
    """One sentence instead of a service whose every put fails."""
    with redis_server(tmp_path, None, 15, "--cluster-enabled", "yes", "--cluster-port", str(free_port())) as url, \
            pytest.raises(EventStoreError, match=r"redis://127\.0\.0\.1:\d+/0 belongs to a Redis Cluster, .* name a single server"):
        event_store("redis", url)


def test_a_redis_sentinel_is_refused_at_the_start(tmp_path: Path) -> None:
    """Its address is easily taken for that of the server."""
    program, port = shutil.which("redis-server"), free_port()
    if program is None:
        pytest.skip("redis-server is not installed (Debian: apt-get install redis-server)")
    (tmp_path / "sentinel.conf").write_text(f"port {port}\nbind 127.0.0.1\ndir {tmp_path}\n")
    process = subprocess.Popen([program, str(tmp_path / "sentinel.conf"), "--sentinel"], stdout=subprocess.DEVNULL)
    said, deadline = "no Redis answers", time.monotonic() + 10
    try:
        while "no Redis answers" in said and time.monotonic() < deadline:
            with pytest.raises(EventStoreError) as told:
                event_store("redis", f"redis://127.0.0.1:{port}/0")
            said = str(told.value)
    finally:
        process.terminate()
        process.wait()
    assert "is a Redis Sentinel, which stores no plays; name the server it monitors" in said


@pytest.mark.slow
def test_health_is_open_below_a_root_path_and_to_head(tmp_path: Path) -> None:
    """With a key and --root-path health routes need no key, others do; HEAD gets the status of GET and no body."""
    found = services(tmp_path, MUSICREC_SERVICE_API_KEY="sesame")
    try:
        found.start("events", options=("--root-path", "/music"))
        url = found.url("events")
        for path in ("/", "/health", "/healthy", "/ready"):
            assert requests.get(url + path, timeout=5).status_code == 200
            head = requests.head(url + path, timeout=5)
            assert (head.status_code, head.content) == (200, b"")
        for path in ("/stats", "/music/ready", "/get?user_id=1"):
            assert requests.get(url + path, timeout=5).status_code == 401
        assert requests.get(f"{url}/get?user_id=1", headers={"X-API-Key": "sesame"}, timeout=5).json() == {"events": []}
        counted = requests.get(f"{url}/stats", headers={"X-API-Key": "sesame"}, timeout=5).json()["requests"]
        assert {"/get 200", "/ready 200"} <= set(counted)
    finally:
        found.stop("events")


def test_many_questions_are_one_check() -> None:
    """However many ask whether the store works, it is tried once at a time and once a second; recent puts need no check."""
    now, checks = [10.0], []

    async def check() -> None:
        checks.append(now[0])
        await asyncio.sleep(0.01)

    async def well() -> None:
        """A put."""

    async def steps() -> None:
        health = StoreHealth(check, lambda: now[0])
        await asyncio.gather(*(health.readiness() for _ in range(100)))
        await health.readiness()
        assert checks == [10.0]
        now[0] += 1.5
        await asyncio.gather(*(health.readiness() for _ in range(100)))
        assert checks == [10.0, 11.5]
        now[0] += 1.5
        await health.watch("put", well())
        assert await health.readiness() == (None, None)
        assert checks == [10.0, 11.5]
    asyncio.run(steps())


def test_one_kind_of_work_that_fails_is_told() -> None:
    """While puts succeed and all gets fail, the service is not ready; one get that succeeds makes it ready."""
    async def steps() -> None:
        async def well() -> None:
            """Any work."""

        async def badly() -> None:
            raise EventStoreError("the disk is gone.")

        now = [10.0]
        health = StoreHealth(well, lambda: now[0])
        await health.watch("put", well())
        with pytest.raises(EventStoreError):
            await health.watch("get", badly())
        assert (await health.readiness()).problem == "the disk is gone."
        await health.watch("get", well())
        assert (await health.readiness()).problem is None
    asyncio.run(steps())
