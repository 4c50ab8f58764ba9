"""kill -9, a full disk and nonsense: what is acknowledged stays, what is refused is said."""

import asyncio
import contextlib
import itertools
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pyarrow.parquet as pq
import pytest
import requests

from tests.commands import environment, exit_code
from tests.service_world import USER, Services, published, running, services
from tests.test_readiness import wait_for_ready

pytestmark = pytest.mark.slow
# The daily number is small; FUZZ_REQUESTS=100000 makes a night of it.
FUZZED = int(os.environ.get("FUZZ_REQUESTS", "3000"))
NUMBERS = itertools.count()
MANY = {"MUSICREC_EVENTS_PER_USER": "10000", "MUSICREC_BLENDING_MAX_K": "10000", "MUSICREC_SERVICE_LOG_REQUESTS": "false"}


def test_a_killed_worker_loses_no_acknowledged_play(tmp_path: Path) -> None:
    """Of two workers one is killed under load, twice: the other goes on, and every acknowledged play is there."""
    found = services(tmp_path, **MANY)
    acknowledged: dict[int, list[int]] = defaultdict(list)
    found.start("events", options=("--workers", "2"))
    try:
        for _ in range(2):
            with putting(found, acknowledged):
                wait_for_puts(acknowledged, 300)
                os.kill(workers(found)[0], signal.SIGKILL)
                # All clients may have been talking to the killed one: they come back to the other.
                wait_for_puts(acknowledged, 100)
            deadline = time.monotonic() + 30
            while len(workers(found)) < 2 and time.monotonic() < deadline:
                time.sleep(0.05)
        check_kept(found, acknowledged)
    finally:
        found.stop("events")


def workers(found: Services, name: str = "events") -> list[int]:
    """The process ids of the workers of a service."""
    pid = found.running[name].pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children if b"resource_tracker" not in Path(f"/proc/{child}/cmdline").read_bytes()]


@contextlib.contextmanager
def putting(found: Services, acknowledged: dict[int, list[int]]) -> Iterator[None]:
    """32 clients that put plays until the block ends, whatever becomes of the service; the acknowledged ones go to `acknowledged`."""
    stop = threading.Event()

    async def client(session: aiohttp.ClientSession, user: int) -> None:
        while not stop.is_set():
            item = next(NUMBERS)
            try:
                async with session.post(f"{found.url('events')}/put?user_id={user}&item_id={item}") as answer:
                    if answer.status == 200 and await answer.json() == {"result": "ok"}:
                        acknowledged[user].append(item)
            except aiohttp.ClientError:
                await asyncio.sleep(0.01)

    async def load() -> None:
        async with aiohttp.ClientSession() as session:
            await asyncio.gather(*(client(session, user) for user in range(32)))

    thread = threading.Thread(target=lambda: asyncio.run(load()))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def wait_for_puts(acknowledged: dict[int, list[int]], more: int) -> None:
    """Return when so many more plays are acknowledged."""
    wanted, deadline = sum(map(len, acknowledged.values())) + more, time.monotonic() + 60
    while sum(map(len, acknowledged.values())) < wanted:
        assert time.monotonic() < deadline, "nothing is acknowledged any more"
        time.sleep(0.005)


def check_kept(found: Services, acknowledged: dict[int, list[int]]) -> None:
    """Every acknowledged play is told, in the order of its put: a client sends its next one when the last is answered."""
    assert sum(map(len, acknowledged.values())) > 500
    for user, items in acknowledged.items():
        kept = found.post("events", "/get", user_id=user, k=10_000).json()["events"]
        assert set(items) <= set(kept)
        assert kept == sorted(kept, reverse=True)


@pytest.mark.skipif(shutil.which("mount") is None or not Path("/dev/shm").is_dir(), reason="no small file system can be made here")
def test_full_disk(tmp_path: Path) -> None:
    """On a full disk a put is answered with 503 and a sentence, and reading goes on."""
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(small)], check=False, capture_output=True).returncode:
        pytest.skip("mounting a small file system needs more rights")
    try:
        with running(tmp_path, "events", MUSICREC_EVENTS_PATH=str(small / "events.sqlite")) as found:
            assert found.post("events", "/put", user_id=USER, item_id=1).status_code == 200
            fill(small / "filler")
            statuses = [found.post("events", "/put", user_id=user, item_id=2).status_code for user in range(3)]
            refused = found.post("events", "/put", user_id=USER + 1, item_id=2)
            assert 503 in (*statuses, refused.status_code)
            assert "cannot be written" in refused.json()["detail"]
            wait_for_ready(found, 503)
            assert found.post("events", "/get", user_id=USER).json() == {"events": [1]}
            (small / "filler").unlink()
            wait_for_ready(found, 200)
            assert found.post("events", "/put", user_id=USER, item_id=3).status_code == 200
            assert found.post("events", "/get", user_id=USER).json() == {"events": [3, 1]}
    finally:
        subprocess.run(["umount", str(small)], check=False)


def fill(path: Path) -> None:
    """Write into `path` until its disk has no room left."""
    with path.open("wb", buffering=0) as filler, contextlib.suppress(OSError):
        while True:
            filler.write(b"0" * 4096)


def nonsense(chance: random.Random) -> bytes:
    """One HTTP request with a plausible shape and senseless content."""
    path = chance.choice(["/", "/recommendations", "/recommendations_online", "/recommendations/batch", "/recommendations/%ff", "/put",
                          "/get", "/similar_items", "/similar_items/batch", "/impressions", "/reload", "/items/x", "/../etc/passwd",
                          "/" + "a" * 3000])
    values = ["", "1", "-1", "abc", "9" * 40, "%00", "null", "1e9", "true", "[]", "%F0%9F%8E%B5", "0x10", " 7 "]
    names = ["user_id", "k", "item_id", "n", "verbose", "track_id", "user_ids", "\N{SNOWMAN}"]
    query = "&".join(f"{chance.choice(names)}={chance.choice(values)}" for _ in range(chance.randrange(4)))
    body = chance.choice([b"", b"{", b"[]", b"null", b"\xff\xfe\x00", b'{"user_id": 1e400}', b'{"k": {"k": 1}}', b'{"user_ids": [1, null]}',
                          b'{"item_ids": "all"}', b'{"impressions": [{}]}', json.dumps({"user_id": chance.getrandbits(80)}).encode(),
                          b"[" * 5000, bytes(chance.getrandbits(8) for _ in range(50))])
    method = chance.choice(["POST", "POST", "GET", "PUT", "DELETE", "HEAD", "BREW"])
    head = f"{method} {path}?{query} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def fuzzed(found: Services, name: str, requests_: int, seed: int) -> set[int]:
    """Send nonsense; returns the statuses that came back (0 for a closed connection)."""
    chance, statuses = random.Random(seed), set()

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", found.ports[name])
        try:
            writer.write(nonsense(chance))
            head = await asyncio.wait_for(reader.read(), 20)
            statuses.add(int(head[9:12]) if head.startswith(b"HTTP/1.1 ") else 0)
        except ConnectionError:
            statuses.add(0)
        finally:
            writer.close()

    async def everything() -> None:
        for _ in range(requests_ // 50):
            await asyncio.gather(*(one() for _ in range(50)))
    asyncio.run(everything())
    return statuses


def test_fuzz(tmp_path: Path) -> None:
    """Thousands of senseless requests get no 5xx, and neither stop the service nor make its memory grow."""
    published(tmp_path)
    with running(tmp_path, MUSICREC_SERVICE_LOG_REQUESTS="false") as found:
        for name in found.ports:
            fuzzed(found, name, 500, seed=1)
            before = memory_mb(found.running[name].pid)
            statuses = fuzzed(found, name, FUZZED // 3, seed=2)
            assert not {status for status in statuses if status >= 500}, name
            assert found.running[name].poll() is None
            assert memory_mb(found.running[name].pid) < before + 20
        assert len(found.recs("/recommendations", user_id=USER, k=10)) == 10


ENDLESS = {"path": b"POST /put?user_id=", "header": b"POST /put HTTP/1.1\r\nHost: ", "headers": b"POST /put HTTP/1.1\r\nHost: x\r\n",
           "body": b"POST /put HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"}


@pytest.mark.parametrize(("parser", "endless"), [("h11", endless) for endless in sorted(ENDLESS)] + [("auto", "body")])
def test_endless_request(parser: str, endless: str, endless_events: dict[str, Services]) -> None:
    """A request whose body has no end is refused, with uvicorn's parser h11 also one whose path, header or headers have none."""
    found = endless_events[parser]
    pid, piece = found.running["events"].pid, b"a" * 65_000
    before = memory_mb(pid)
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", found.ports["events"]), 5) as connection, contextlib.suppress(OSError):
            connection.sendall(ENDLESS[endless])
            for number in range(300):
                whole = {"headers": b"X-%d: %b\r\n" % (number, piece), "body": b"%x\r\n%b\r\n" % (len(piece), piece)}
                connection.sendall(whole.get(endless, piece))
    assert memory_mb(pid) < before + 10
    assert found.post("events", "/put", user_id=1, item_id=2).json() == {"result": "ok"}


@pytest.fixture(scope="module")
def endless_events(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Services]]:
    """An events service with each parser of uvicorn, after a first request."""
    found = {parser: services(tmp_path_factory.mktemp(parser)) for parser in ("h11", "auto")}
    for parser, one in found.items():
        one.start("events", options=("--http", parser))
        one.post("events", "/put", user_id=1, item_id=2)
    yield found
    for one in found.values():
        one.stop("events")


def test_many_large_batches(tmp_path: Path) -> None:
    """Batches of 1,000 users x 1,000 items, ten at once, take less than 200 MB."""
    published(tmp_path)
    body = {"user_ids": list(range(1000)), "k": 1000}
    with running(tmp_path, "recommendations") as found:
        url, pid = found.url("recommendations") + "/recommendations/batch", found.running["recommendations"].pid
        before, statuses = memory_mb(pid), []
        threads = [threading.Thread(target=lambda: statuses.append(requests.post(url, json=body, timeout=60).status_code))
                   for _ in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert statuses == [200] * 10
        assert memory_mb(pid) < before + 200


def memory_mb(pid: int) -> float:
    """Resident memory of a process."""
    return next(int(line.split()[1]) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS")) / 1024


def test_schemathesis(tmp_path: Path) -> None:
    """Requests made from the three OpenAPI texts get no 5xx, no undocumented status, and answers of the documented form."""
    published(tmp_path)
    program = str(Path(sys.executable).with_name("schemathesis"))
    checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
    options = ["--checks", checks, "--max-examples", "10", "--phases", "examples,coverage,fuzzing", "--seed", "1", "--workers", "1"]
    with running(tmp_path, MUSICREC_SERVICE_LOG_REQUESTS="false") as found:
        runs = [subprocess.Popen([program, "run", f"{found.url(name)}/openapi.json", *options], cwd=tmp_path, text=True,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for name in found.ports]
        for run in runs:
            said = run.communicate(timeout=240)[0]
            assert run.returncode == 0, said[-4000:]


def test_export(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exported plays are events: ordered by user and time, numbered from 1 within a user; the raw form and impressions too."""
    with running(tmp_path, "events") as found:
        for user, item in [(2, 10), (1, 10), (2, 20), (2, 10)]:
            found.post("events", "/put", user_id=user, item_id=item)
        requests.post(f"{found.url('events')}/impressions", timeout=5,
                      json={"impressions": [{"user_id": 1, "item_id": 2, "source": "online", "position": 0}]})
        tables = {}
        for form in ("events", "interactions", "impressions"):
            out = tmp_path / f"{form}.parquet"
            with environment(found.environment):
                assert exit_code("events", "export", "--form", form, "--out", out) == 0
            assert f"rows are in {out}." in capsys.readouterr().out
            tables[form] = pq.read_table(out)
    from musicrec import schema

    schema.check(tables["events"], schema.EVENTS, "events")
    schema.check(tables["interactions"], schema.RAW_INTERACTIONS, "interactions")
    assert tables["events"].select(["user_id", "item_id", "track_seq"]).to_pydict() == \
        {"user_id": [1, 2, 2, 2], "item_id": [10, 10, 20, 10], "track_seq": [1, 1, 2, 3]}
    assert tables["impressions"].num_rows == 1
