"""Silent, slow and large clients, at the services themselves and at nginx in front of them. Real processes."""

import contextlib
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import urllib3

from tests.service_world import PERSONAL, PROJECT, USER, Services, free_port, published, running, services

pytestmark = pytest.mark.slow
NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@contextlib.contextmanager
def silent(port: int, count: int, said: bytes = b"") -> Iterator[list[socket.socket]]:
    """So many connections that send `said` and then nothing."""
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30)) for _ in range(count)]
        for one in opened:
            one.sendall(said)
        yield opened


@contextlib.contextmanager
def limited(found: Services, name: str, soft: int, hard: int) -> Iterator[None]:
    """A service started with limits of open files."""
    command = ["sh", "-c", f'ulimit -Sn {soft}; ulimit -Hn {hard}; exec "$@"', "sh", *found.command(name)]
    with (found.root / f"{name}.log").open("ab") as log:
        found.running[name] = subprocess.Popen(command, cwd=PROJECT, env=found.environment, stdout=log, stderr=log)
    try:
        found.wait(name)
        yield
    finally:
        found.running[name].kill()
        found.running.pop(name).wait()


def test_silent_connections_leave_room_for_others(tmp_path: Path) -> None:
    """A service started with room for 256 files takes 1,100 silent connections and still answers; with little room at all it warns."""
    found = services(tmp_path)
    with limited(found, "events", 256, 4096), silent(found.ports["events"], 1100):
        assert found.post("events", "/put", user_id=1, item_id=2).json() == {"result": "ok"}
        assert "files and connections may be open" not in found.log("events")
    with limited(found, "events", 256, 512):
        assert "only 512 files and connections may be open" in found.log("events")


@contextlib.contextmanager
def nginx(found: Services, folder: Path) -> Iterator[str]:
    """The address of the documented front, on free ports and with files in `folder`."""
    if NGINX is None:
        pytest.skip("nginx is not installed")
    folder.mkdir()
    port = free_port()
    text = (PROJECT / "deploy" / "nginx.conf").read_text()
    folders = "".join(f" {kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    ports = {name: f"127.0.0.1:{found.ports[name]}" for name in ("recommendations", "events")}
    changes = {r"^user .*": "", r"listen 80 ": f"listen 127.0.0.1:{port} ", r"/run/nginx\.pid": f"{folder}/pid",
               r"/var/log/nginx/error\.log": f"{folder}/log", r"^http \{": "http {" + folders,
               r"127\.0\.0\.1:8000": ports["recommendations"], r"127\.0\.0\.1:8020": ports["events"]}
    for line, other in changes.items():
        text, count = re.subn(line, other, text, flags=re.MULTILINE)
        assert count == 1, line
    (folder / "nginx.conf").write_text(text)
    checked = subprocess.run([NGINX, "-t", "-p", str(folder), "-c", "nginx.conf"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    assert "[warn]" not in checked.stderr, checked.stderr
    process = subprocess.Popen([NGINX, "-p", str(folder), "-c", "nginx.conf", "-g", "daemon off;"], stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):
            with contextlib.suppress(requests.ConnectionError):
                requests.get(f"http://127.0.0.1:{port}/health", timeout=5)
                break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the front of three services."""
    root = tmp_path_factory.mktemp("front")
    published(root)
    with running(root) as found, nginx(found, root / "nginx") as address:
        yield address


def port_of(address: str) -> int:
    """The port of an address."""
    return int(address.rsplit(":", 1)[1])


def test_the_front_lets_through_what_users_ask(front: str) -> None:
    """Lists, names, plays and health pass; statistics, metrics, /reload and other people's plays are not found."""
    assert requests.post(f"{front}/recommendations_offline?user_id={USER}&k=2", timeout=5).json()["recs"] == list(PERSONAL[:2])
    assert requests.post(f"{front}/recommendations/batch", json={"user_ids": [USER], "k": 1}, timeout=5).ok
    assert requests.get(f"{front}/recommendations/{USER}?k=2", timeout=5).ok
    assert requests.post(f"{front}/session/recommendations", json={"items": [{"item_id": 150}]}, timeout=5).ok
    assert requests.get(f"{front}/radio?track=150", timeout=5).ok
    assert requests.get(f"{front}/items/150", timeout=5).json()["name"] == "Track 150"
    for route in ("put", "feedback"):
        assert requests.post(f"{front}/{route}?user_id=5&item_id=150", timeout=5).json() == {"result": "ok"}
    assert requests.get(f"{front}/ready", timeout=5).ok
    for path in ("/stats", "/metrics", "/reload", "/get?user_id=5", "/get/batch", "/impressions", "/similar_items?item_id=1", "/docs", "/"):
        assert requests.post(front + path, timeout=5).status_code == 404, path


def test_the_front_refuses_large_bodies_and_headers(front: str) -> None:
    """More than 64 KB of body is 413 before a service sees it, 40 KB of headers are refused; a batch of 1,000 users fits."""
    assert requests.post(f"{front}/put", data=b"x" * (65 << 10), timeout=5).status_code == 413
    assert requests.get(f"{front}/ready", headers={"X-Long": "x" * 40_000}, timeout=5).status_code == 400


def test_silent_and_half_sent_requests_end(front: str) -> None:
    """1,100 silent connections and 20 half-sent bodies hold up nobody, and all of them are closed by the front."""
    half = b"POST /put HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{"
    with silent(port_of(front), 1100) as idle, silent(port_of(front), 20, half) as halves:
        for _ in range(10):
            assert requests.post(f"{front}/recommendations_offline?user_id={USER}&k=2", timeout=2).ok
        for one in (*idle, *halves):
            with contextlib.suppress(ConnectionResetError):
                assert one.recv(1000)[:12] in (b"", b"HTTP/1.1 408")


def test_one_address_has_so_many_requests_under_way(front: str) -> None:
    """Of 120 half-sent requests at least 20 are refused with 429 at once."""
    half = b"POST /put HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{"
    with silent(port_of(front), 120, half) as opened:
        time.sleep(0.5)
        refused = 0
        for one in opened:
            one.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                refused += one.recv(1000).startswith(b"HTTP/1.1 429")
        assert refused >= 20


def test_addresses_that_a_client_invents_are_replaced(tmp_path: Path) -> None:
    """Behind the front a client that sends a new X-Forwarded-For with each request is limited as one client."""
    published(tmp_path)
    settings = {"MUSICREC_SERVICE_RATE_LIMIT": "3", "MUSICREC_SERVICE_TRUSTED_ADDRESSES": "127.0.0.1"}
    with running(tmp_path, "recommendations", **settings) as found, nginx(found, tmp_path / "nginx") as address:
        url = f"{address}/recommendations_offline?user_id={USER}&k=2"
        # From another address than the front, which alone is trusted.
        with urllib3.PoolManager(source_address=("127.0.0.7", 0)) as client:
            answers = [client.request("POST", url, headers={"X-Forwarded-For": f"203.0.113.{number}"}) for number in range(30)]
        assert [answer.status for answer in answers].count(429) >= 15
