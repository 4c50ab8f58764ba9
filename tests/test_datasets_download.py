"""Downloads from a local server, which closes connections, ignores ranges or does not have the file."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from musicrec.datasets.download import fetch
from musicrec.errors import SourceError


class Server(ThreadingHTTPServer):
    """Serves `body` at /f.parquet; closes the connection after `cut` bytes, and supports ranges where knows_ranges is set."""

    body, cut, knows_ranges = b"", 10**9, True
    ranges: list[str]


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        if self.path != "/f.parquet":
            self.send_error(404)
            return
        asked = self.headers["Range"]
        self.server.ranges.append(asked)
        start = int(asked.removeprefix("bytes=").rstrip("-")) if self.server.knows_ranges else 0
        part = self.server.body[start:]
        self.send_response(206 if self.server.knows_ranges else 200)
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part[: self.server.cut])
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@contextmanager
def serving(body: bytes, cut: int = 10**9, knows_ranges: bool = True) -> Iterator[tuple[str, Server]]:
    """A running server and its address."""
    with Server(("127.0.0.1", 0), _Handler) as server:
        server.body, server.cut, server.knows_ranges, server.ranges = body, cut, knows_ranges, []
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def body(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A parquet file of about 4 MB."""
    path = tmp_path_factory.mktemp("served") / "f.parquet"
    pq.write_table(pa.table({"x": np.random.default_rng(0).random(500_000)}), path)
    return path.read_bytes()


def test_a_broken_connection_is_resumed(tmp_path: Path, body: bytes) -> None:
    """The file is complete although every response ends after 1.5 MB, and each request resumes within 64 KB of the break."""
    cut = 1_500_000
    with serving(body, cut) as (address, server):
        [path] = fetch(tmp_path, address, {"f.parquet": len(body)})
    assert path.read_bytes() == body
    starts = [int(asked[6:-1]) for asked in server.ranges]
    assert all(cut - 65536 < step <= cut for step in np.diff(starts))
    assert [file.name for file in tmp_path.iterdir()] == ["f.parquet"]


def test_a_later_call_resumes_from_the_partial_file(tmp_path: Path, body: bytes) -> None:
    """The bytes of an interrupted download are not requested again, nor is a complete file."""
    (tmp_path / "f.parquet.part").write_bytes(body[:1000])
    with serving(body) as (address, server):
        for _ in range(2):
            fetch(tmp_path, address, {"f.parquet": len(body)})
    assert server.ranges == ["bytes=1000-"]
    assert (tmp_path / "f.parquet").read_bytes() == body


def test_a_server_without_ranges_starts_over(tmp_path: Path, body: bytes) -> None:
    """A response that begins at 0 replaces the partial file instead of being appended."""
    (tmp_path / "f.parquet.part").write_bytes(b"old")
    with serving(body, knows_ranges=False) as (address, _):
        fetch(tmp_path, address, {"f.parquet": len(body)})
    assert (tmp_path / "f.parquet").read_bytes() == body


def test_another_size_is_refused(tmp_path: Path, body: bytes) -> None:
    """A file of another size never appears under its name."""
    with serving(body) as (address, _), pytest.raises(SourceError, match="expected 1000"):
        fetch(tmp_path, address, {"f.parquet": 1000})
    assert list(tmp_path.iterdir()) == []


def test_bytes_that_are_no_parquet_are_refused(tmp_path: Path) -> None:
    """A response of the right size that is not parquet never appears under its name."""
    with serving(b"<html>not today</html>") as (address, _), pytest.raises(SourceError, match="parquet"):
        fetch(tmp_path, address, {"f.parquet": 22})
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_is_an_error(tmp_path: Path, body: bytes) -> None:
    """404 raises SourceError with the address."""
    with serving(body) as (address, _), pytest.raises(SourceError, match=r"g\.parquet answers 404"):
        fetch(tmp_path, address, {"g.parquet": 5})


def test_no_network_is_an_error(tmp_path: Path) -> None:
    """A server that does not answer raises SourceError that says what to do."""
    with pytest.raises(SourceError, match="check the network"):
        fetch(tmp_path, "http://127.0.0.1:9", {"f.parquet": 5})
