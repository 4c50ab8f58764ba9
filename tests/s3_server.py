"""A real S3 server for tests: `rclone serve s3` over a folder, with keys, on a free port."""

import contextlib
import shutil
import socket
import socketserver
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

KEY, SECRET = "test-key-id", "test-secret"


@dataclass(frozen=True)
class S3Server:
    """A running server: its address, the folder whose subfolders are its buckets, and its process."""

    endpoint: str
    folder: Path
    process: subprocess.Popen[bytes]

    def environment(self, **changes: str) -> dict[str, str]:
        """The variables that reach it, some of them changed."""
        return {"S3_ENDPOINT_URL": self.endpoint, "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, **changes}


def free_port() -> int:
    """A port of 127.0.0.1 that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def s3_server(folder: Path, *arguments: str, port: int | None = None) -> Iterator[S3Server]:
    """The server over `folder`, answering; killed at the end. Skips the test where the rclone program is missing."""
    program = shutil.which("rclone", path=sysconfig.get_path("scripts")) or shutil.which("rclone")
    if program is None:
        pytest.skip("the rclone program is not installed")
    port = port or free_port()
    command = [program, "serve", "s3", "--addr", f"127.0.0.1:{port}", "--auth-key", f"{KEY},{SECRET}",
               "--config", str(folder / "none.conf"), *arguments, str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        endpoint = f"http://127.0.0.1:{port}"
        for _ in range(200):
            try:
                requests.get(endpoint, timeout=1)
                break
            except requests.ConnectionError:
                time.sleep(0.05)
        yield S3Server(endpoint, folder, process)
    finally:
        process.kill()
        process.wait()


@contextmanager
def bad_line(endpoint: str, cut_after: int, cuts: int) -> Iterator[str]:
    """An address that leads to `endpoint` over a line that breaks: the first `cuts` connections end after `cut_after` bytes either way."""
    host, port = endpoint.removeprefix("http://").split(":")
    left = [cuts]

    class Line(socketserver.BaseRequestHandler):
        """One connection, passed on byte for byte as far as it lasts."""

        def handle(self) -> None:
            room = [cut_after if left[0] > 0 else sys.maxsize]
            left[0] -= 1
            with socket.create_connection((host, int(port))) as far:
                back = threading.Thread(target=self.passed_on, args=(far, self.request, room), daemon=True)
                back.start()
                self.passed_on(self.request, far, room)
                back.join()

        @staticmethod
        def passed_on(source: socket.socket, target: socket.socket, room: list[int]) -> None:
            with contextlib.suppress(OSError):
                while room[0] > 0 and (some := source.recv(1 << 16)):
                    target.sendall(some)
                    room[0] -= len(some)
            for end in (source, target):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Line) as line:
        line.daemon_threads = True
        threading.Thread(target=line.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{line.server_address[1]}"
        finally:
            line.shutdown()
