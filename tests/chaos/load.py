"""Clients that put and ask all the time, and the count of what came back."""

import asyncio
import contextlib
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import aiohttp
import requests

from tests.service_world import USER, Services

CLIENTS = 6
PAUSE_S = 0.25
# What a client waits between two requests: nothing, since a race shows under load.
PACE_S = 0.0
PLAYS_PER_USER, _USERS_OF_CLIENT = 5000, 1_000_000
# What USER is recommended after the play of item 250, and without it, in the little world: offline and online lists alternate.
PLAYED, K = 250, 4
WHOLE, OFFLINE = [150, 251, 151, 252], [150, 151, 152, 153]


class WrongError(Exception):
    """An answer that the known answer does not allow."""


class FailedError(Exception):
    """A status that nothing explains."""


@dataclass
class Outcome:
    """What an attack did: `lost` are acknowledged plays that cannot be found, `failed` includes requests without any answer."""

    requests: int = 0
    lost: int = 0
    wrong: int = 0
    failed: int = 0
    recovered_s: float = 0.0
    faults: int = 0
    # Seconds during which nobody could have answered, all faults together.
    outage_s: float = 0.0
    notes: list[str] = field(default_factory=list)

    def note(self, cause: Exception) -> None:
        """Remember the first few of what went wrong."""
        if len(self.notes) < 5:
            self.notes.append(f"{type(cause).__name__}: {cause}"[:300])

    def add(self, other: "Outcome") -> None:
        """Count what clients of another load met as well."""
        self.requests, self.wrong, self.failed = self.requests + other.requests, self.wrong + other.wrong, self.failed + other.failed
        self.notes += other.notes

    def each_fault(self, seconds: float) -> Iterator[int]:
        """Numbers from 0 while the time lasts, at least three: no attack has more kinds of faults."""
        end = time.monotonic() + seconds
        while self.faults < 3 or time.monotonic() < end:
            yield self.faults
            self.faults += 1

    def recovered(self, whole: Callable[..., bool], *of: object, since: float | None = None) -> None:
        """Return when `whole` holds (of `of`), and keep the longest wait. Raises AssertionError after a minute."""
        began = since or time.monotonic()
        while not _holds(whole, *of):
            assert time.monotonic() < began + 60, f"no whole answer in a minute; {self.notes}"
            time.sleep(0.02)
        self.recovered_s = max(self.recovered_s, time.monotonic() - began)


def _holds(whole: Callable[..., bool], *of: object) -> bool:
    try:
        return whole(*of)
    except requests.RequestException:
        return False


@contextlib.contextmanager
def load(outcome: Outcome, *clients: Callable[[aiohttp.ClientSession, int], Awaitable[None]]) -> Iterator[None]:
    """Until the block ends each of `clients` is called again and again, with its number; what it raises is counted in `outcome`."""
    stop = threading.Event()

    async def client(session: aiohttp.ClientSession, number: int) -> None:
        while not stop.is_set():
            outcome.requests += 1
            try:
                await clients[number](session, number)
                await asyncio.sleep(PACE_S)
            except WrongError as cause:
                outcome.wrong += 1
                outcome.note(cause)
            except (FailedError, aiohttp.ClientError, TimeoutError) as cause:
                outcome.failed += 1
                outcome.note(cause)
                await asyncio.sleep(PAUSE_S)

    async def everything() -> None:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(30)) as session, asyncio.TaskGroup() as group:
            for number in range(len(clients)):
                group.create_task(client(session, number))

    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(asyncio.run, everything())
        try:
            yield
        finally:
            stop.set()
            running.result()


class Puts:
    """Clients that put plays, each its own users; `refused` is a status that says honestly that a play is not stored."""

    def __init__(self, found: Services, outcome: Outcome, refused: int | None = None) -> None:
        self.found, self.outcome, self.refused = found, outcome, refused
        self.sent: dict[int, int] = defaultdict(int)
        self.acknowledged: dict[int, set[int]] = defaultdict(set)

    async def __call__(self, session: aiohttp.ClientSession, number: int) -> None:
        """Put the next play."""
        count = self.sent[number]
        self.sent[number] += 1
        user, item = number * _USERS_OF_CLIENT + count // PLAYS_PER_USER, count % PLAYS_PER_USER
        async with session.post(f"{self.found.url('events')}/put", params={"user_id": user, "item_id": item}) as answer:
            if answer.status != 200:
                if answer.status != self.refused:
                    raise FailedError(f"put answered {answer.status}: {await answer.text()}")
                await asyncio.sleep(PAUSE_S / 10)
            elif await answer.json() != {"result": "ok"}:
                raise WrongError(f"put answered {await answer.text()}")
            else:
                self.acknowledged[user].add(item)

    def work(self) -> bool:
        """Whether a play of a user of its own is stored."""
        return self.found.post("events", "/put", user_id=USER, item_id=1).status_code == 200

    def check(self) -> None:
        """Count acknowledged plays that are not found, and found ones that nobody put or that are found twice."""
        for user, items in self.acknowledged.items():
            kept = self.found.post("events", "/get", user_id=user, k=2 * PLAYS_PER_USER).json()["events"]
            self.outcome.lost += len(items - set(kept))
            number, block = divmod(user, _USERS_OF_CLIENT)
            sent = min(self.sent[number] - block * PLAYS_PER_USER, PLAYS_PER_USER)
            self.outcome.wrong += len(kept) - len(set(kept)) + len(set(kept) - set(range(sent)))
        assert sum(map(len, self.acknowledged.values())) > 100, f"next to nothing was acknowledged; {self.outcome.notes}"


class Questions:
    """Clients that ask for the blended list of USER."""

    def __init__(self, found: Services, outcome: Outcome) -> None:
        self.found, self.outcome = found, outcome
        self.url = f"{found.url('recommendations')}/recommendations"
        self.answers: Counter[tuple[str, tuple[int, ...], bool]] = Counter()

    async def __call__(self, session: aiohttp.ClientSession, number: int) -> None:
        """Ask once."""
        async with session.post(self.url, params={"user_id": USER, "k": K}) as answer:
            if answer.status != 200:
                raise FailedError(f"a question was answered {answer.status}: {await answer.text()}")
            content = await answer.json()
            self.answers[answer.headers["X-Run-Id"], tuple(content["recs"]), "degraded" in content] += 1

    def whole(self, run: str = "", recs: Sequence[int] = WHOLE) -> bool:
        """Whether the next answer is the known one, of this run."""
        answer = self.found.post("recommendations", "/recommendations", user_id=USER, k=K)
        return answer.status_code == 200 and answer.json() == {"recs": list(recs)} and run in ("", answer.headers["X-Run-Id"])

    def check(self, allowed: Mapping[str, Sequence[list[int]]] | None = None, degraded: Sequence[list[int]] = ()) -> None:
        """Count answers that are not what their run may answer with; allowed: by run id, where None WHOLE of any run."""
        for (run, recs, is_degraded), n in self.answers.items():
            if list(recs) not in (degraded if is_degraded else [WHOLE] if allowed is None else allowed.get(run, ())):
                self.outcome.wrong += n
                self.outcome.note(WrongError(f"run {run} answered {recs}{', degraded' * is_degraded} {n} times"))
