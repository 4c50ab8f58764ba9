"""Microseconds of a core that our own code takes for a request: the least over many rounds, which other work on the machine hardly changes.

Run with: python -m benchmarks.request_costs --folder FOLDER, that of benchmarks.serving. The app runs in this process without a server
or sockets; what it asks of other services goes to real ones, whose work is not counted.
"""

import argparse
import asyncio
import importlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, MutableMapping
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import uvloop

from benchmarks.serving import play, served
from benchmarks.serving_artifacts import K, Size, artifacts
from tests.service_world import APPS, URL_KEYS, free_port

ROUNDS = 20
Message = MutableMapping[str, Any]


class Running:
    """An app that has been started, to be asked without a server."""

    def __init__(self, name: str) -> None:
        self.app = importlib.import_module(f"{name}_service").app
        self.messages: asyncio.Queue[Message] = asyncio.Queue()
        self.failed = 0

    async def __aenter__(self) -> "Running":
        started = asyncio.Event()

        async def told(message: Message) -> None:
            started.set()
        self.messages.put_nowait({"type": "lifespan.startup"})
        self.life = asyncio.create_task(self.app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, self.messages.get, told))
        await started.wait()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.messages.put_nowait({"type": "lifespan.shutdown"})
        await self.life

    async def post(self, target: str, body: bytes) -> None:
        """One request."""
        path, _, query = target.partition("?")
        scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http", "method": "POST", "path": path,
                 "raw_path": path.encode(), "query_string": query.encode(), "root_path": "", "server": ("127.0.0.1", 80),
                 "client": ("127.0.0.1", 5), "headers": [(b"host", b"x"), (b"content-length", b"%d" % len(body))]}

        async def receive() -> Message:
            return {"type": "http.request", "body": body}

        async def send(message: Message) -> None:
            self.failed += message.get("status", 200) != 200 or b'"degraded"' in message.get("body", b"")
        await self.app(scope, receive, send)

    async def cost(self, name: str, requests: Iterator[tuple[str, bytes]], n: int, at_once: int = 1, parts: int = 1) -> None:
        """Print the least over rounds of `n` requests, of the event loop's thread and of all threads, for one of `parts` of a request."""
        best = np.full(2, np.inf)
        for _ in range(ROUNDS):
            todo = iter(list(islice(requests, n)))

            async def caller() -> None:
                for target, body in todo:  # noqa: B023
                    await asyncio.create_task(self.post(target, body))
            before = np.array([time.thread_time(), time.process_time()])
            await asyncio.gather(*(caller() for _ in range(at_once)))
            best = np.minimum(best, (np.array([time.thread_time(), time.process_time()]) - before) / n / parts * 1e6)
        print(f"{name:<50} loop {best[0]:>6.0f} us, all threads {best[1]:>6.0f} us, failed or degraded {self.failed}", flush=True)


async def costs(users: np.ndarray, size: Size) -> None:
    """Print all of them."""
    rng = np.random.default_rng(2)
    shown = [{"user_id": user, "item_ids": rng.integers(0, size.items, K).tolist(), "sources": ["personal"],
              "run": "20261127T111841Z-8d032c", "recommendation_id": "5f0c6a1de2b34978"} for user in range(60)]
    body = json.dumps({"exposures": shown}, separators=(",", ":")).encode()
    async with Running("events") as events:
        await events.cost("put, 64 at once", ((f"/put?user_id={user}&item_id=1", b"") for user in cycle(range(size.users))), 320, 64)
        await events.cost("a list of 100 items of /exposures, 60 a call", cycle([("/exposures", body)]), 8, parts=60)
        asked = {"user_ids": users[:8].tolist(), "k": 10, "remembered": True}
        await events.cost("/get/batch of 8 users with plays", cycle([("/get/batch", json.dumps(asked).encode())]), 64)
    async with Running("features") as features:
        await features.cost("/similar_items", ((f"/similar_items?item_id={item}", b"") for item in cycle(range(size.items))), 320, 16)
    async with Running("recommendations") as recommendations:
        for path in ("/recommendations_offline", "/recommendations"):
            targets = ((f"{path}?user_id={user}&k={K}", b"") for user in cycle(users.tolist()))
            await recommendations.cost(f"{path}, 16 at once", targets, 160, 16)


def main() -> None:
    """Start the neighbours, measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    size = Size(1_370_000, 1_000_000, 162)
    root = artifacts(parser.parse_args().folder, size)
    ports = {name: free_port() for name in APPS}
    os.environ.update({f"MUSICREC_URLS_{URL_KEYS[name]}": f"http://127.0.0.1:{port}" for name, port in ports.items()})
    # On a crowded machine the other services may take longer than a request waits for them.
    os.environ.update(MUSICREC_ARTIFACTS_LOCATION=str(root / "artifacts"), MUSICREC_ARTIFACTS_CACHE_FOLDER=str(root / "cache"),
                      MUSICREC_SERVICE_TIMEOUT_MS="5000")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as store:
        os.environ["MUSICREC_EVENTS_PATH"] = f"{store}/events.sqlite"
        names = ("events", "features")
        commands = {name: [sys.executable, "-m", "uvicorn", APPS[name], "--port", str(ports[name])] for name in names}
        with served(commands, ports, {name: dict(os.environ) for name in names}):
            users = np.random.default_rng(1).integers(0, size.users, 500)
            play(ports["events"], users, size.items, np.random.default_rng(1))
            uvloop.run(costs(users, size))


if __name__ == "__main__":
    main()
