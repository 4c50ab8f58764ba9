"""A real redis-server on a free port, where one is installed."""

import contextlib
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.service_world import free_port


@contextlib.contextmanager
def redis_server(folder: Path, port: int | None = None, end: signal.Signals = signal.SIGTERM, *options: str,
                 password: str = "") -> Iterator[str]:
    """The URL of a server that writes every play to its log in `folder`, ended by `end`; skips the test when none is installed."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed (Debian: apt-get install redis-server)")
    port = port or free_port()
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--appendonly", "yes", "--appendfsync", "always",
               *(("--requirepass", password) if password else ()), *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        client = redis.Redis(port=port, password=password or None)
        for _ in range(100):
            with contextlib.suppress(redis.ConnectionError):
                client.ping()
                break
            time.sleep(0.05)
        client.close()
        yield f"redis://{f':{password}@' if password else ''}127.0.0.1:{port}/0"
    finally:
        process.send_signal(end)
        process.wait()
