"""Planted secrets, and everything that the product writes searched for them. Real processes, a Redis with a password, an S3 server."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import requests
from pydantic import SecretStr

from musicrec import pipeline, settings
from musicrec.errors import EventStoreError, SettingsError, StorageError
from musicrec.events import event_store
from musicrec.pipeline.publishing import published
from musicrec.recommender import TwoStageRecommender
from musicrec.settings import Settings
from musicrec.storage import storage
from tests import s3_server
from tests.redis_server import redis_server
from tests.service_world import APPS, PROJECT, USER, Services, free_port, services, write_run
from tests.worlds import train_set

API, READ, RELOAD, REDIS = "planted-api-key", "planted-read-key", "planted-reload-key", "planted-redis-password"
PLANTED = (API, READ, RELOAD, REDIS, s3_server.SECRET, s3_server.KEY)


@pytest.mark.slow
def test_no_secret_is_in_anything_that_is_written(tmp_path: Path) -> None:
    """Manifest, cache, logs, answers, metrics, command lines and messages of failures, with Redis and S3 there and gone, hold none."""
    (tmp_path / "s3" / "music").mkdir(parents=True)
    with s3_server.s3_server(tmp_path / "s3") as bucket:
        with redis_server(tmp_path, password=REDIS) as redis_url:
            found = services(tmp_path, **bucket.environment(), MUSICREC_ARTIFACTS_LOCATION="s3://music/app", MUSICREC_EVENTS_STORE="redis",
                             MUSICREC_EVENTS_PATH=redis_url, MUSICREC_SERVICE_API_KEY=API, MUSICREC_SERVICE_RELOAD_KEY=RELOAD,
                             MUSICREC_SERVICE_READ_KEY=READ,
                             MUSICREC_DATA_WORK_FOLDER=str(tmp_path / "run"), MUSICREC_SERVICE_POLL_S="1",
                             MUSICREC_ARTIFACTS_CACHE_FOLDER=str(tmp_path / "cache"))
            work = pipeline.workspace(settings.load(PROJECT / "config.ini", found.environment))
            write_run(tmp_path / "run")
            with pytest.MonkeyPatch.context() as patch:
                for name, value in bucket.environment().items():
                    patch.setenv(name, value)
                published(work, TwoStageRecommender({}).fit(train_set([(1, 0, 1)], 2)), {}, pd.DataFrame())
            try:
                found.start(*APPS)
                said = dict(answers(found, "well"))
                assert said["well put"].startswith("200")
                bucket.process.kill()
                bucket.process.wait()
                said |= {f"{name} command line": command_line(process.pid) for name, process in found.running.items()}
            except BaseException:
                end(found)
                raise
        try:
            said |= dict(answers(found, "gone"))
        finally:
            end(found)
    assert said["gone put"].startswith("503")
    assert said["gone reload"].startswith("503")
    said |= dict(commands(found, tmp_path))
    said |= {name: found.log(name) for name in APPS}
    said |= {path.name: path.read_bytes().decode(errors="replace") for folder in ("s3", "cache") for path in (tmp_path / folder).rglob("*")
             if path.is_file()}
    assert '"api_key": "**********"' in said["manifest.json"]
    assert "does not answer" in said["artifacts list"]
    assert {(name, secret) for name, text in said.items() for secret in PLANTED if secret in text} == set()


def answers(found: Services, when: str) -> Iterator[tuple[str, str]]:
    """Status, headers and body of every kind of answer, with the right keys."""
    headers = {"X-API-Key": API, "X-Reload-Key": RELOAD}
    for name in APPS:
        for path in ("/", "/ready", "/stats", "/metrics", "/openapi.json", "/nowhere"):
            yield f"{when} {name}{path}", shown(requests.get(found.url(name) + path, headers=headers, timeout=20))
    for name, path in (("events", "/put"), ("events", "/get"), ("recommendations", "/recommendations"), ("recommendations", "/reload")):
        asked = {"user_id": USER, "item_id": "x" if path == "/get" else 200, **({} if path == "/put" else {"k": 3})}
        yield f"{when} {path.strip('/')}", shown(requests.post(found.url(name) + path, params=asked, headers=headers, timeout=60))
    yield f"{when} refused", shown(requests.post(f"{found.url('events')}/put", headers={"X-API-Key": "wrong"}, timeout=20))


def shown(answer: requests.Response) -> str:
    """Everything that a caller sees."""
    return f"{answer.status_code} {answer.headers} {answer.text}"


def command_line(pid: int) -> str:
    """What every user of the machine sees of a process and its threads."""
    return "".join(path.read_text() for path in Path(f"/proc/{pid}").rglob("comm")) + Path(f"/proc/{pid}/cmdline").read_text()


def commands(found: Services, folder: Path) -> Iterator[tuple[str, str]]:
    """What our commands print, and the log of the client, when the servers behind them are gone."""
    orders = {"artifacts list": ["-m", "musicrec", "runs", "list"], "client": [str(PROJECT / "test_service.py")],
              "export": ["-m", "musicrec", "events", "export", "--out", "plays.parquet"],
              "start": ["-m", "uvicorn", APPS["events"], "--port", str(free_port())]}
    (folder / "config.ini").write_text((PROJECT / "config.ini").read_text())
    environment = {**found.environment, "PYTHONPATH": str(PROJECT)}
    begun = {name: subprocess.Popen([sys.executable, *order], cwd=folder, env=environment, text=True, stdout=subprocess.PIPE,
                                    stderr=subprocess.STDOUT) for name, order in orders.items()}
    for name, process in begun.items():
        yield name, process.communicate(timeout=60)[0]
        assert process.returncode, name
    yield "log of the client", (folder / "test_service.log").read_text()


def end(found: Services) -> None:
    """Kill what runs."""
    for process in found.running.values():
        process.kill()
        process.wait()


def test_a_key_that_may_hold_a_secret_is_typed_as_such() -> None:
    """Keys, passwords and paths of stores are SecretStr, so that no text made of settings holds their values."""
    named = {(section, key) for section, kind in Settings.model_fields.items() if hasattr(kind.annotation, "model_fields")
             for key, field in kind.annotation.model_fields.items()  # type: ignore[union-attr]
             if field.annotation is SecretStr}
    assert named == {("service", "api_key"), ("service", "read_key"), ("service", "reload_key"), ("events", "path")}
    found = settings.load(PROJECT / "config.ini", {f"MUSICREC_{section}_{key}".upper(): REDIS for section, key in named})
    assert REDIS not in f"{found} {found!r} {found.model_dump()} {found.model_dump_json()}"


@pytest.mark.parametrize("line", [f"{API}\n", f"[service]\n{API}\n", f"[service]\napi_key = x\napi_key = {API}\n",
                                  f"[service]\napi_key {API}\n"], ids=["no section", "no key", "twice", "no equals sign"])
def test_a_broken_config_is_refused_without_its_secrets(line: str, tmp_path: Path) -> None:
    """The line is told by its number and not by its content."""
    (tmp_path / "config.ini").write_text(line)
    with pytest.raises(SettingsError, match="line") as told:
        settings.load(tmp_path / "config.ini", {})
    assert API not in str(told.value)


def test_an_address_with_a_password_is_refused_without_it() -> None:
    """Addresses of services, buckets and S3 servers are shown in many places, so they may hold no password."""
    with pytest.raises(SettingsError, match="events_store_url") as told:
        settings.load(PROJECT / "config.ini", {"MUSICREC_URLS_EVENTS_STORE_URL": f"http://me:{API}@127.0.0.1:8020"})
    assert API not in str(told.value)
    for location, endpoint in ((f"s3://key:{API}@bucket/x", "http://127.0.0.1:1"), ("s3://bucket", f"http://me:{API}@127.0.0.1:1"),
                               (f"gs://key:{API}@bucket", "http://127.0.0.1:1")):
        with pytest.raises(StorageError) as refused:
            storage(location, {"S3_ENDPOINT_URL": endpoint})
        assert API not in str(refused.value)


@pytest.mark.parametrize("rest", [":{}@127.0.0.1:{}/0", "me:{}@127.0.0.1:{}", ":a/{}@127.0.0.1:{}/0", ":{}/b@127.0.0.1:{}/0",
                                  ":{}#c@127.0.0.1:{}/0", ":{}?d@127.0.0.1:{}", ":@{}@127.0.0.1:{}", "127.0.0.1:{1}/0?password={0}"])
@pytest.mark.parametrize("store", ["redis", "sqlite"])
def test_a_redis_address_is_told_without_its_password(store: str, rest: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever characters the password has, and whichever store is told to open the address."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EventStoreError) as told:
        event_store(store, "redis://" + rest.format(REDIS, free_port()))
    assert REDIS not in str(told.value)
    assert os.listdir(tmp_path) == []
