"""A lean HTTP load generator: keep-alive connections over asyncio, so that it takes little of the machine it measures."""

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import uvloop


@dataclass(frozen=True)
class Load:
    """What came back: seconds a request, seconds in all, how many answers were not 200, and how many lacked a part."""

    seconds: np.ndarray
    wall: float
    failed: int
    degraded: int

    @property
    def per_second(self) -> float:
        """Answers a second."""
        return len(self.seconds) / self.wall

    def ms(self, quantile: float) -> float:
        """A quantile of the latencies in milliseconds."""
        return float(np.quantile(self.seconds, quantile)) * 1000


class Connection:
    """One keep-alive connection."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def open(self) -> None:
        """Connect."""
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)

    async def post(self, target: str) -> tuple[bool, bool]:
        """Whether one POST without a body failed, and whether its answer is degraded; the answer is read to its end."""
        self.writer.write(f"POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode())
        head = await self.reader.readuntil(b"\r\n\r\n")
        at = head.lower().index(b"content-length:") + 15
        body = await self.reader.readexactly(int(head[at:head.index(b"\r\n", at)]))
        return head[9:12] != b"200", b'"degraded"' in body


def in_turns(port: int, targets: Iterable[str], connections: int) -> Load:
    """Send `targets` over so many connections, each sending its next request when the last one is answered."""
    return uvloop.run(_in_turns(port, list(targets), connections))


def at_rate(port: int, targets: Iterable[str], per_second: float, connections: int = 64) -> Load:
    """Send `targets` at fixed moments whether or not earlier ones are answered; latencies count from the planned moment."""
    return uvloop.run(_at_rate(port, list(targets), per_second, connections))


async def _in_turns(port: int, targets: list[str], connections: int) -> Load:
    seconds, bad, left = [], np.zeros(2, int), iter(targets)

    async def worker() -> None:
        nonlocal bad
        connection = Connection(port)
        await connection.open()
        for target in left:
            began = time.perf_counter()
            bad += await connection.post(target)
            seconds.append(time.perf_counter() - began)
        connection.writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(connections)))
    return Load(np.array(seconds), time.perf_counter() - began, *bad)


async def _at_rate(port: int, targets: list[str], per_second: float, connections: int) -> Load:
    free: asyncio.Queue[Connection] = asyncio.Queue()
    for _ in range(connections):
        connection = Connection(port)
        await connection.open()
        free.put_nowait(connection)
    seconds, bad = [], np.zeros(2, int)

    async def one(target: str, planned: float) -> None:
        nonlocal bad
        connection = await free.get()
        bad += await connection.post(target)
        seconds.append(time.perf_counter() - planned)
        free.put_nowait(connection)

    began, tasks = time.perf_counter(), []
    for number, target in enumerate(targets):
        planned = began + number / per_second
        await asyncio.sleep(max(0.0, planned - time.perf_counter()))
        tasks.append(asyncio.create_task(one(target, planned)))
    await asyncio.gather(*tasks)
    return Load(np.array(seconds), time.perf_counter() - began, *bad)


def targets(path: str, user_ids: Iterable[int], more: Callable[[int], str] = lambda user: "") -> list[str]:
    """One request target a user."""
    return [f"{path}?user_id={user}{more(user)}" for user in user_ids]
