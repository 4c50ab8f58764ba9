"""Three real services started, asked, killed and stopped; what they load is what was published whole."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests

from musicrec import registry, settings
from musicrec.cli import demo
from musicrec.cli.processes import free_urls, running
from musicrec.cli.serve import watch
from musicrec.errors import ServiceError, StorageError
from musicrec.registry import RunInfo
from musicrec.settings import UrlSettings
from musicrec.storage import storage
from musicrec.storage.s3 import PART_BYTES
from tests import service_world
from tests.s3_server import free_port, s3_server
from tests.service_world import Services, write_run

PROJECT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.slow


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own with config.ini and the programs, a little run published in `artifacts`; the current folder."""
    for name in ("config.ini", "test_service.py", "recommendations_service.py", "features_service.py", "events_service.py"):
        shutil.copy(PROJECT / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(PROJECT))
    registry.publish(storage("artifacts", {}), write_run(tmp_path / "made"), RunInfo({}))
    return tmp_path


def addresses() -> UrlSettings:
    """Three free ports."""
    names = ("recommendations_url", "features_store_url", "events_store_url")
    return UrlSettings(**{name: f"http://127.0.0.1:{free_port()}" for name in names})


def told(urls: UrlSettings) -> dict[str, str]:
    """The environment that makes a program use these addresses."""
    return {**os.environ, **{f"MUSICREC_URLS_{key.upper()}": url for key, url in urls.model_dump().items()}}


def is_silent(url: str) -> bool:
    """Whether nobody answers there."""
    try:
        requests.get(url, timeout=2)
    except requests.ConnectionError:
        return True
    return False


def test_services_answer_inside_the_block_and_are_gone_after_it(project: Path) -> None:
    """They are ready when the block begins and find each other; a taken port is named, or replaced; no process stays behind."""
    urls = addresses()
    with running(urls, os.environ, project / "log") as services:
        assert [requests.get(f"{service.url}/ready", timeout=5).status_code for service in services] == [200] * 3
        requests.post(f"{urls.events_store_url}/put", params={"user_id": 617032, "item_id": 200}, timeout=5)
        found = requests.post(f"{urls.recommendations_url}/recommendations_online", params={"user_id": 617032, "k": 3}, timeout=5)
        assert found.json()["recs"] == [201, 202, 203]
        with pytest.raises(ServiceError, match=f"{urls.recommendations_url} is taken by another program"), \
                running(urls, os.environ, project / "log"):
            pass
        free = f"http://127.0.0.1:{free_port()}"
        moved = free_urls(urls.model_copy(update={"events_store_url": free}))
    assert (moved.recommendations_url == urls.recommendations_url, moved.events_store_url) == (False, free)
    assert free_urls(urls) == urls
    assert all(service.process.poll() is not None for service in services)
    assert all(is_silent(service.url) for service in services)


def test_a_service_without_artifacts_says_why(project: Path) -> None:
    """The reason that the service gave is the reason that is told, and the others are stopped."""
    shutil.rmtree(project / "artifacts")
    urls = addresses()
    sentence = r"The recommendations service did not start: nothing is published at artifacts; run `make demo`"
    with pytest.raises(ServiceError, match=sentence), running(urls, os.environ, project / "log"):
        pass
    assert all(is_silent(url) for url in urls.model_dump().values())


def test_ctrl_c_stops_all_three(project: Path) -> None:
    """`musicrec serve` then ends in exit code 0, and nobody answers any more."""
    urls = addresses()
    process = subprocess.Popen([sys.executable, "-m", "musicrec", "serve"], env=told(urls), stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True, bufsize=1)
    assert process.stdout
    names = [process.stdout.readline().split()[0] for _ in range(4)]
    assert names == ["recommendations", "features", "events", "Running;"]
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (0, "")
    assert all(is_silent(url) for url in urls.model_dump().values())


def test_a_service_that_dies_ends_the_watch(project: Path) -> None:
    """It is named with its code and log, and the two others are stopped."""
    with running(addresses(), os.environ, Path("log")) as services:
        services[2].process.kill()
        with pytest.raises(ServiceError, match=r"The events service ended by itself with code -9; see log/events_service\.log"):
            watch(services)
    assert all(is_silent(service.url) for service in services)


def test_the_demo_asks_all_seven_questions(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Each command of the fifth seed is shown with its answer; what an earlier demo left behind does not matter."""
    (project / "var").mkdir()
    demo.PLAYS.write_bytes(b"no database")
    demo.served({**told(addresses()), "MUSICREC_EVENTS_PATH": str(demo.PLAYS)})
    said = capfd.readouterr().out
    assert re.findall(r"^\$ python (.*)$", said, re.MULTILINE) == [
        "test_service.py", "test_service.py --offline --user_id 617032 --k 10",
        *(f"test_service.py --add_online --user_id 617032 --item_id {item}" for item in (99262, 590303, 597196)),
        "test_service.py --online --user_id 617032 --k 10", "test_service.py --blended --user_id 617032 --k 10"]
    assert "Track 150" in said


def on_s3(project: Path, environment: Mapping[str, str]) -> contextlib.AbstractContextManager[Services]:
    """A recommendations service that loads from the bucket."""
    return service_world.running(project, "recommendations", **environment, MUSICREC_ARTIFACTS_LOCATION="s3://music/app",
                                 MUSICREC_ARTIFACTS_CACHE_FOLDER=str(project / "cache"))


def run_served(project: Path, environment: Mapping[str, str]) -> str:
    """The run from which a freshly started service answers."""
    with on_s3(project, environment) as found:
        return found.post("recommendations", "/recommendations_offline", user_id=617032).headers["X-Run-Id"]


def test_services_load_the_earlier_run_after_the_server_died_while_publishing(project: Path) -> None:
    """The publisher is told in one sentence; a service started afterwards answers from the run before."""
    (project / "s3" / "music").mkdir(parents=True)
    with s3_server(project / "s3") as server:
        place = storage("s3://music/app", server.environment())
        first = registry.publish(place, project / "made", RunInfo({}))
        (project / "made" / "als_model.npz").write_bytes(os.urandom(4 * PART_BYTES))
        moved = []

        def killing(count: int) -> None:
            moved.append(count)
            server.process.kill()

        with pytest.raises(StorageError, match="does not answer"):
            place.upload(project / "made" / "als_model.npz", "runs/next/als_model.npz", killing)
        with pytest.raises(StorageError, match="does not answer"):
            registry.publish(place, project / "made", RunInfo({}))
        assert moved
    with s3_server(project / "s3") as server:
        assert run_served(project, server.environment()) == first


def test_a_service_refuses_a_changed_byte_in_the_bucket(project: Path) -> None:
    """It names the file; after rolling back to the earlier run it starts."""
    (project / "s3" / "music").mkdir(parents=True)
    with s3_server(project / "s3") as server:
        place = storage("s3://music/app", server.environment())
        first = registry.publish(place, project / "made", RunInfo({}), datetime(2022, 1, 1, tzinfo=UTC))
        later = registry.publish(place, write_run(project / "later", range(200, 220)), RunInfo({}))
        stored = project / "s3" / "music" / "app" / "runs" / later / "recommendations.parquet"
        content = bytearray(stored.read_bytes())
        content[len(content) // 2] ^= 1
        stored.write_bytes(content)
        with pytest.raises(AssertionError, match=r"recommendations\.parquet is damaged"), on_s3(project, server.environment()):
            pass
        registry.rollback(place, first)
        assert run_served(project, server.environment()) == first


def test_the_shipped_addresses_are_those_of_the_seed() -> None:
    """8000, 8010 and 8020, as the commands by hand say."""
    urls = settings.load(PROJECT / "config.ini", {}).urls
    assert [url.rsplit(":", 1)[1] for url in urls.model_dump().values()] == ["8000", "8010", "8020"]
