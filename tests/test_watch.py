"""The watch for new runs survives whatever it meets, says so once, and takes up the next good run. Real processes."""

import asyncio
import contextlib
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests

from musicrec import settings
from musicrec.errors import ArtifactError
from musicrec.registry import RunInfo, current, publish
from musicrec.serving import model_store
from musicrec.serving.metrics import Metrics
from musicrec.serving.model_store import Watch
from musicrec.storage import Storage, storage
from tests.s3_server import s3_server
from tests.service_world import PERSONAL, USER, Services, published, running, write_run


def ready(found: Services) -> dict[str, Any]:
    """What /ready says, which is 200 throughout."""
    answer = requests.get(f"{found.url('recommendations')}/ready", timeout=10)
    assert answer.status_code == 200
    return dict(answer.json())


def stats(found: Services) -> dict[str, Any]:
    """What /stats says."""
    return dict(requests.get(f"{found.url('recommendations')}/stats", timeout=10).json())


def wait_until(holds: Callable[[], bool], what: str) -> None:
    """Return when it holds."""
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def swap(path: Path, content: bytes | int) -> None:
    """Replace a file in one step by bytes, or by so many zeros."""
    half = path.with_name("half")
    with half.open("wb") as target:
        target.write(content) if isinstance(content, bytes) else target.truncate(content)
    half.rename(path)


@pytest.mark.slow
def test_no_pointer_and_no_manifest_ends_the_watch(tmp_path: Path) -> None:
    """After each kind of nonsense the old run answers, /ready is degraded, one line is logged, and a good pointer makes it ready again."""
    first = published(tmp_path)
    pointer = tmp_path / "artifacts" / "current.json"
    good, manifest = pointer.read_bytes(), json.loads((pointer.parent / "runs" / first / "manifest.json").read_bytes())
    files = manifest["files"]
    manifests: dict[str, bytes | int] = {"nested": b"[" * 500_000, "large": 300_000_000, "text": b"not json"}
    changed = {"date": {"created_at": "yesterday"}, "checksum": {"files": {name: {**file, "sha256": 7} for name, file in files.items()}},
               "elsewhere": {"files": {**files, "../../x": files["items.parquet"]}}, "other": {"run_id": first}, "info": {"info": 5}}
    for name, change in changed.items():
        manifests[name] = json.dumps({**manifest, "run_id": name, **change}).encode()
    pointers: dict[str, bytes | int] = {"nested": b"[" * 500_000, "large": 300_000_000, "id": b'{"format": 1, "run_id": "../../etc"}'}
    for name, content in manifests.items():
        (pointer.parent / "runs" / name).mkdir()
        swap(pointer.parent / "runs" / name / "manifest.json", content)
        pointers[f"manifest {name}"] = json.dumps({"format": 1, "run_id": name}).encode()
    with running(tmp_path, "recommendations", MUSICREC_SERVICE_POLL_S="0.1") as found:
        for name, content in pointers.items():
            swap(pointer, content)
            wait_until(lambda: ready(found)["status"] == "degraded", f"{name} was not noticed")
            assert "is damaged" in ready(found)["detail"], name
            assert found.recs("/recommendations_offline", user_id=USER, k=1) == [PERSONAL[0]]
            swap(pointer, good)
            wait_until(lambda: ready(found) == {"service": "recommendations", "status": "ready"}, f"{name} stayed")
        swap(pointer, b"{")
        wait_until(lambda: stats(found)["watch"]["failures"] >= 3, "looks ended")
        second = published(tmp_path, personal=range(170, 190))
        wait_until(lambda: stats(found)["run_id"] == second, "the next good run was not taken up")
        wait_until(lambda: found.log("recommendations").count("can be looked up again") == len(pointers) + 1, "an end is not logged")
        lines = [json.loads(line) for line in found.log("recommendations").splitlines() if line.startswith("{")]
        assert len([line for line in lines if line["level"] == "ERROR"]) == len(pointers) + 1
        assert stats(found)["watch"]["problem"] is None
        text = requests.get(f"{found.url('recommendations')}/metrics", timeout=5).text
        assert 'musicrec_run_loads_total{outcome="refused",service="recommendations"}' in text


@pytest.mark.slow
def test_a_run_that_the_cache_did_not_take_is_taken_up_later(tmp_path: Path) -> None:
    """While the cache folder is out of order the old run answers and /ready names the folder; then nobody has to publish again."""
    published(tmp_path)
    with running(tmp_path, "recommendations", MUSICREC_SERVICE_POLL_S="0.1") as found:
        cache = Path(found.environment["MUSICREC_ARTIFACTS_CACHE_FOLDER"])
        away = cache.rename(cache.with_name("away"))
        cache.write_text("a file stands where the folder was")
        second = published(tmp_path, personal=range(170, 190))
        wait_until(lambda: f"cache folder {cache}" in ready(found).get("detail", ""), "the missing folder was not noticed")
        assert found.recs("/recommendations_offline", user_id=USER, k=1) == [PERSONAL[0]]
        cache.unlink()
        away.rename(cache)
        wait_until(lambda: stats(found)["run_id"] == second, "the run was not tried again")
        assert ready(found)["status"] == "ready"


def test_a_cache_without_room_says_where_and_how_much(tmp_path: Path) -> None:
    """A disk that takes only 100 bytes a file: one sentence with the folder, the reason and the bytes that are needed."""
    published(tmp_path)
    code = ("import resource, sys; from musicrec.serving.cache import make; from musicrec.registry import current; "
            "from musicrec.storage import storage; resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100)); "
            "make('artifacts', {}, current(storage('artifacts', {})).run_id, ('recommendations',), __import__('pathlib').Path('cache'))")
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])})
    said = done.stderr.splitlines()[-1]
    assert re.search(r"ArtifactError: cache folder cache does not take run .*: .*File too large.*; about [\d,]+ bytes are needed", said)


class Moved(BaseHTTPRequestHandler):
    """Answers 301 to everything, as a load balancer that is being set up does."""

    def do_GET(self) -> None:
        """301 and nothing else."""
        self.send_response(301)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_HEAD(self) -> None:
        """As GET."""
        self.do_GET()

    def log_message(self, *arguments: object) -> None:
        """Nothing."""


@contextlib.contextmanager
def moved(port: int) -> Iterator[None]:
    """A server on `port` that answers 301."""
    with ThreadingHTTPServer(("127.0.0.1", port), Moved) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield
        finally:
            server.shutdown()


@pytest.mark.slow
def test_a_storage_that_redirects_for_a_while_ends_no_watch(tmp_path: Path) -> None:
    """While S3 answers 301 the service is degraded, and counts; once S3 is back it takes up the next run."""
    (tmp_path / "s3" / "music").mkdir(parents=True)
    made = write_run(tmp_path / "made")
    with s3_server(tmp_path / "s3") as server:
        place = storage("s3://music/app", server.environment())
        publish(place, made, RunInfo({}))
        port = int(server.endpoint.rsplit(":", 1)[1])
        settings = {**server.environment(), "MUSICREC_ARTIFACTS_LOCATION": "s3://music/app", "MUSICREC_SERVICE_POLL_S": "0.2"}
        with running(tmp_path, "recommendations", **settings) as found:
            server.process.kill()
            server.process.wait()
            with moved(port):
                wait_until(lambda: "redirects without end" in ready(found).get("detail", ""), "301 was not noticed")
                text = requests.get(f"{found.url('recommendations')}/metrics", timeout=5).text
                assert 'musicrec_run_loads_total{outcome="failed",service="recommendations"}' in text
            with s3_server(tmp_path / "s3", port=port):
                publish(place, write_run(made, range(170, 190)), RunInfo({}))
                wait_until(lambda: stats(found)["run_id"] == current(place).run_id, "the next run was not taken up")
                assert ready(found)["status"] == "ready"


class Faulty:
    """A served run whose every look fails in a way that nobody foresaw."""

    run, refused, restored = SimpleNamespace(run_id="earlier", created_at="2026-01-01"), None, False

    def __init__(self) -> None:
        self.looks = 0

    def refresh(self, again: bool) -> bool:
        """Never well."""
        self.looks += 1
        raise (KeyError("x"), MemoryError(), RecursionError("deep"))[self.looks % 3]


def test_an_unforeseen_error_ends_no_watch() -> None:
    """The looks go on, ever more rarely, and /ready says why the run may be out of date."""
    async def steps() -> None:
        served, metrics = Faulty(), Metrics("trial")
        watch = Watch(served, metrics)  # type: ignore[arg-type]
        work = asyncio.create_task(watch.look_for_ever(0.001))
        while served.looks < 6:
            await asyncio.sleep(0.01)
            assert not work.done()
        readiness = await watch.readiness()
        assert readiness.problem is None
        assert readiness.degraded
        assert watch.state()["watch"]["failures"] >= 5
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work
    asyncio.run(steps())


def test_a_place_is_kept_until_a_look_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks that succeed share one client of the storage; the look after a failed one has another."""
    published(tmp_path)
    made: list[object] = []

    def counted(location: str, environment: Mapping[str, str]) -> Storage:
        made.append(location)
        return storage(location, environment)
    monkeypatch.setattr(model_store, "storage", counted)
    pointer = tmp_path / "artifacts" / "current.json"
    artifacts = settings.load(environ={"MUSICREC_ARTIFACTS_LOCATION": str(pointer.parent),
                                       "MUSICREC_ARTIFACTS_CACHE_FOLDER": str(tmp_path / "cache")}).artifacts
    store = model_store.ModelStore(artifacts, {}, ("popular",), lambda run_id, folders: run_id)
    assert [store.refresh() for _ in range(4)] == [True, False, False, False]
    assert len(made) == 1
    hidden = pointer.rename(pointer.with_name("hidden"))
    with pytest.raises(ArtifactError):
        store.refresh()
    hidden.rename(pointer)
    assert [store.refresh() for _ in range(3)] == [False] * 3
    assert len(made) == 2
