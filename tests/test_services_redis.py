"""Events in Redis: several machines share them, and what is acknowledged outlives both the service and the server. Real processes."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.redis_server import redis_server
from tests.service_world import PERSONAL, USER, Services, free_port, published, services

pytestmark = pytest.mark.slow


@pytest.fixture
def beside(tmp_path: Path) -> Iterator[Callable[[str], Services]]:
    """Makes services of one more machine over the Redis at an address."""
    made: list[Services] = []

    def machine(url: str) -> Services:
        root = tmp_path / str(len(made))
        root.mkdir()
        published(root)
        made.append(services(root, MUSICREC_EVENTS_STORE="redis", MUSICREC_EVENTS_PATH=url, MUSICREC_SERVICE_BREAKER_PAUSE_S="0.1"))
        return made[-1]

    yield machine
    for one in made:
        for process in one.running.values():
            process.kill()
            process.wait()


def test_two_machines_share_plays(tmp_path: Path, beside: Callable[[str], Services]) -> None:
    """Plays put through either of two events services come back from both, in one order, ten at most, and blend into answers."""
    with redis_server(tmp_path) as url:
        one, two = beside(url), beside(url)
        one.start("events", "features", "recommendations")
        two.start("events")
        for item in range(200, 212):
            assert (one, two)[item % 2].post("events", "/put", user_id=USER, item_id=item).json() == {"result": "ok"}
        for machine in (one, two):
            assert machine.post("events", "/get", user_id=USER, k=100).json() == {"events": list(range(211, 201, -1))}
        assert one.recs("/recommendations", user_id=USER, k=4) == [150, 212, 151, 213]


def test_a_redis_that_hangs_makes_puts_fail_in_time(tmp_path: Path, beside: Callable[[str], Services]) -> None:
    """A stopped server: 503 within ten seconds, and puts again once it goes on."""
    with redis_server(tmp_path) as url:
        found = beside(url)
        found.start("events")
        assert found.post("events", "/put", user_id=1, item_id=2).status_code == 200
        port = url.rpartition(":")[2].partition("/")[0]
        pid = int(subprocess.run(["pgrep", "-f", f"redis-server.*:{port}"], capture_output=True, text=True).stdout.split()[0])
        os.kill(pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            answer = found.post("events", "/put", user_id=1, item_id=3)
            assert (answer.status_code, time.monotonic() - began < 10) == (503, True)
        finally:
            os.kill(pid, signal.SIGCONT)
        assert found.post("events", "/put", user_id=1, item_id=4).status_code == 200


def test_kill_9_of_service_and_server(tmp_path: Path, beside: Callable[[str], Services]) -> None:
    """Both killed, acknowledged plays are there afterwards; without the server puts get 503 and users their offline lists."""
    port, acknowledged = free_port(), list(range(200, 210))
    with redis_server(tmp_path, port, signal.SIGKILL) as url:
        found = beside(url)
        found.start("events", "features", "recommendations")
        for item in acknowledged:
            assert found.post("events", "/put", user_id=USER, item_id=item).json() == {"result": "ok"}
    refused = found.post("events", "/put", user_id=USER, item_id=299)
    assert refused.status_code == 503
    assert "Redis at" in refused.json()["detail"]
    answer = found.post("recommendations", "/recommendations", user_id=USER, k=3).json()
    assert answer["recs"] == list(PERSONAL[:3])
    assert "events service at" in answer["degraded"][0]
    found.stop("events", signal.SIGKILL)
    with redis_server(tmp_path, port):
        found.start("events")
        assert found.post("events", "/get", user_id=USER).json() == {"events": acknowledged[::-1]}
