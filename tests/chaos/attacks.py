"""Faults while clients put and ask: each attack starts real services, harms them for some seconds, and counts.

To add one: write a function (folder, seconds) -> Outcome and one line in ATTACKS.
"""

import contextlib
import os
import resource
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import requests

from musicrec.registry import RunInfo, publish, rollback
from musicrec.storage import storage
from tests.chaos.load import CLIENTS, OFFLINE, PAUSE_S, PLAYED, WHOLE, FailedError, K, Outcome, Puts, Questions, WrongError, load
from tests.redis_server import redis_server
from tests.s3_server import s3_server
from tests.service_world import POPULAR, USER, Services, free_port, published, running, write_run
from tests.test_services_durability import ENDLESS, fill, workers
from tests.test_watch import swap

CALM_S, DOWN_S = 0.5, 1.0
QUIET = {"MUSICREC_SERVICE_LOG_REQUESTS": "false", "MUSICREC_EVENTS_PER_USER": "10000", "MUSICREC_BLENDING_MAX_K": "10000"}


def events_killed(root: Path, seconds: float) -> Outcome:
    """The only events service is killed and started again under puts."""
    outcome = Outcome()
    with running(root, "events", **QUIET) as found:
        puts = Puts(found, outcome)
        with load(outcome, *[puts] * CLIENTS):
            for _ in outcome.each_fault(seconds):
                time.sleep(CALM_S)
                began = time.monotonic()
                found.stop("events", signal.SIGKILL)
                found.start("events")
                outcome.recovered(puts.work, since=began)
                outcome.outage_s += time.monotonic() - began
        puts.check()
    return outcome


def worker_killed(root: Path, seconds: float) -> Outcome:
    """One of two workers of the recommendations service is killed under questions; whole again is two workers."""
    outcome = Outcome()
    with _world(root, ("events", "features")) as found:
        questions = Questions(found, outcome)
        try:
            found.start("recommendations", options=("--workers", "2"))
            with load(outcome, *[questions] * CLIENTS):
                for fault in outcome.each_fault(seconds):
                    time.sleep(CALM_S)
                    killed = workers(found, "recommendations")[fault % 2]
                    os.kill(killed, signal.SIGKILL)
                    outcome.recovered(_replaced, found, killed, questions)
        finally:
            found.stop("recommendations")
        questions.check()
    return outcome


def _replaced(found: Services, killed: int, questions: Questions) -> bool:
    with contextlib.suppress(FileNotFoundError):  # one ends while it is looked at
        alive = workers(found, "recommendations")
        return killed not in alive and len(alive) == 2 and questions.whole()
    return False


def neighbors_frozen(root: Path, seconds: float) -> Outcome:
    """Events, features, then both are stopped by SIGSTOP under blended questions; a degraded answer is the offline list."""
    outcome = Outcome()
    with _world(root, MUSICREC_SERVICE_TIMEOUT_MS="300") as found:
        questions = Questions(found, outcome)
        with load(outcome, *[questions] * CLIENTS):
            for fault in outcome.each_fault(seconds):
                time.sleep(CALM_S)
                names = (("events",), ("features",), ("events", "features"))[fault % 3]
                try:
                    for name in names:
                        found.running[name].send_signal(signal.SIGSTOP)
                    time.sleep(DOWN_S)
                finally:
                    for name in names:
                        found.running[name].send_signal(signal.SIGCONT)
                outcome.recovered(questions.whole)
        questions.check(degraded=[OFFLINE])
    return outcome


def runs_published(root: Path, seconds: float) -> Outcome:
    """Two runs without a track in common take turns, by publishing and by rolling back: an answer has tracks of its own run alone."""
    outcome, shift = Outcome(), 200
    place, folders = storage(str(root / "artifacts"), {}), (write_run(root / "one"), write_run(root / "other", shift=shift))
    # Between the swaps of the two services one of them knows neither of the two plays: the offline list alone.
    lists = (WHOLE, OFFLINE), ([item + shift for item in WHOLE], [item + shift for item in OFFLINE])
    with _world(root) as found:
        found.post("events", "/put", user_id=USER, item_id=PLAYED + shift)
        allowed, questions = {_served(found): lists[0]}, Questions(found, outcome)
        with load(outcome, *[questions] * CLIENTS):
            for fault in outcome.each_fault(seconds):
                time.sleep(CALM_S)
                if fault % 3 == 2:
                    rollback(place, run := list(allowed)[-2])
                else:
                    run = publish(place, folders[1 - fault % 2], RunInfo({"made for": "tests"}))
                    allowed[run] = lists[1 - fault % 2]
                outcome.recovered(questions.whole, run, allowed[run][0])
        questions.check(allowed)
    return outcome


def broken_runs(root: Path, seconds: float) -> Outcome:
    """A manifest of nonsense, a pointer of 300 MB and a run without one of its files: the served run stays."""
    outcome = Outcome()
    with _world(root) as found:
        place, pointer, good = storage(str(root / "artifacts"), {}), root / "artifacts" / "current.json", _served(found)
        questions = Questions(found, outcome)
        with load(outcome, *[questions] * CLIENTS):
            for fault in outcome.each_fault(seconds):
                time.sleep(CALM_S)
                aside = storage(str(root / f"aside{fault}"), {})
                bad = publish(aside, root / "run", RunInfo({"made for": "tests"}))
                broken = root / f"aside{fault}" / "runs" / bad
                if fault % 3 == 0:
                    (broken / "manifest.json").write_bytes(b"[" * 100_000)
                elif fault % 3 == 1:
                    (broken / "similar.parquet").unlink()
                    (broken / "recommendations.parquet").unlink()
                broken.rename(root / "artifacts" / "runs" / bad)
                swap(pointer, 300_000_000 if fault % 3 == 2 else (root / f"aside{fault}" / "current.json").read_bytes())
                _until(lambda: _state(found) == "degraded")
                rollback(place, good)
                outcome.recovered(lambda: _state(found) == "ready" and questions.whole(good))
        questions.check({good: [WHOLE]})
    return outcome


def s3_killed(root: Path, seconds: float) -> Outcome:
    """The S3 server is killed and started again while services look for new runs; then the next run is taken up."""
    outcome, port = Outcome(), free_port()
    (root / "s3" / "music").mkdir(parents=True)
    with contextlib.ExitStack() as server:
        address = server.enter_context(s3_server(root / "s3", port=port))
        place, made = storage("s3://music/app", address.environment()), write_run(root / "run")
        publish(place, made, RunInfo({"made for": "tests"}))
        settings = {**address.environment(), "MUSICREC_ARTIFACTS_LOCATION": "s3://music/app"}
        with _world(root, made=False, **settings) as found:
            questions = Questions(found, outcome)
            with load(outcome, *[questions] * CLIENTS):
                for _ in outcome.each_fault(seconds):
                    time.sleep(CALM_S)
                    server.close()
                    _until(lambda: _state(found) == "degraded")
                    server.enter_context(s3_server(root / "s3", port=port))
                    outcome.recovered(lambda: _state(found) == "ready" and questions.whole())
                    run = publish(place, made, RunInfo({"made for": "tests"}))
                    _until(questions.whole, run)
            questions.check()
    return outcome


def redis_killed(root: Path, seconds: float) -> Outcome:
    """Redis is killed and started again under puts, which are refused with 503 meanwhile."""
    outcome, port = Outcome(), free_port()
    with contextlib.ExitStack() as server:
        url = server.enter_context(redis_server(root, port, signal.SIGKILL))
        with running(root, "events", MUSICREC_EVENTS_STORE="redis", MUSICREC_EVENTS_PATH=url, **QUIET) as found:
            puts = Puts(found, outcome, refused=503)
            with load(outcome, *[puts] * CLIENTS):
                for _ in outcome.each_fault(seconds):
                    time.sleep(CALM_S)
                    server.close()
                    time.sleep(DOWN_S)
                    server.enter_context(redis_server(root, port, signal.SIGKILL))
                    outcome.recovered(puts.work)
            puts.check()
    return outcome


def disk_full(root: Path, seconds: float) -> Outcome:
    """The disk of the event store has no room under puts, which are refused with 503 meanwhile."""
    outcome, folder = Outcome(), root / "small"
    folder.mkdir()
    # Without the right to mount, the process may write no byte to any file: a full disk in all but the number of the error.
    mounted = shutil.which("mount") and not subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256m", "tmpfs", str(folder)],
                                                           check=False, capture_output=True).returncode
    try:
        settings = {"MUSICREC_EVENTS_PATH": str(folder / "events.sqlite"), "MUSICREC_EVENTS_LOG_ROWS": "20000", **QUIET}
        with running(root, "events", **settings) as found:
            puts = Puts(found, outcome, refused=503)
            with load(outcome, *[puts] * CLIENTS):
                for _ in outcome.each_fault(seconds):
                    time.sleep(CALM_S)
                    with _filled(folder) if mounted else _writing_nothing(found.running["events"].pid):
                        _until(lambda: not puts.work())
                        time.sleep(DOWN_S)
                    outcome.recovered(puts.work)
            puts.check()
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=False)
    return outcome


@contextlib.contextmanager
def _filled(folder: Path) -> Iterator[None]:
    filler = folder / "filler"
    fill(filler)
    try:
        yield
    finally:
        filler.unlink()


@contextlib.contextmanager
def _writing_nothing(pid: int) -> Iterator[None]:
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def slow_clients(root: Path, seconds: float) -> Outcome:
    """Half-sent bodies that stay open, bodies without end and bodies of 64 MB beside normal questions."""
    outcome, oversize = Outcome(), list[int]()
    with _world(root) as found:
        questions, address = Questions(found, outcome), ("127.0.0.1", found.ports["recommendations"])
        with load(outcome, *[questions] * CLIENTS):
            for _ in outcome.each_fault(seconds):
                time.sleep(CALM_S)
                with contextlib.ExitStack() as slow:
                    for _ in range(100):
                        slow.enter_context(socket.create_connection(address, 5)).sendall(
                            b"POST /recommendations HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{")
                    for _ in range(3):
                        endless = slow.enter_context(socket.create_connection(address, 5))
                        with contextlib.suppress(OSError):
                            endless.sendall(ENDLESS["body"].replace(b"/put", b"/recommendations"))
                            for _ in range(300):
                                endless.sendall(b"%x\r\n%b\r\n" % (65_000, b"a" * 65_000))
                    with contextlib.suppress(requests.ConnectionError):
                        oversize.append(requests.post(questions.url, data=b" " * (64 << 20), timeout=30).status_code)
                    time.sleep(DOWN_S)
                outcome.recovered(questions.whole)
        questions.check()
    outcome.wrong += sum(status != 422 for status in oversize)
    return outcome


def batches(root: Path, seconds: float) -> Outcome:
    """Batches of 1,000 users, two at a time and then six, beside questions for one user: every list of every answer is the known one."""
    outcome, beside = Outcome(), Outcome()
    with _world(root, MUSICREC_SERVICE_BATCH_TIMEOUT_MS="20000") as found:
        questions, users = Questions(found, outcome), [USER, *range(1000, 1999)]
        known = [WHOLE, *[list(POPULAR[:K])] * 999]

        async def batch(session: aiohttp.ClientSession, number: int) -> None:
            async with session.post(f"{questions.url}/batch", json={"user_ids": users, "k": K}) as answer:
                if answer.status != 200:
                    raise FailedError(f"a batch was answered {answer.status}: {await answer.text()}")
                content = await answer.json()
                if "degraded" in content or [one["recs"] for one in content["answers"]] != known:
                    raise WrongError(f"a batch was answered {str(content)[:200]} {content.get('degraded')}")

        with load(outcome, *[questions] * CLIENTS):
            for fault in outcome.each_fault(seconds):
                time.sleep(CALM_S)
                with load(beside, *[batch] * (6 if fault % 2 else 2)):
                    time.sleep(2 * DOWN_S)
                outcome.recovered(questions.whole)
        questions.check()
    outcome.add(beside)
    return outcome


@contextlib.contextmanager
def _world(root: Path, names: tuple[str, ...] = (), made: bool = True, **settings: str) -> Iterator[Services]:
    """The named services (all where none is named) over the little world, after the play of USER that the known answer follows."""
    if made:
        published(root)
    with running(root, *names, **{**QUIET, "MUSICREC_SERVICE_POLL_S": "0.2", **settings}) as found:
        found.post("events", "/put", user_id=USER, item_id=PLAYED)
        yield found


def _served(found: Services) -> str:
    return str(requests.get(f"{found.url('recommendations')}/stats", timeout=10).json()["run_id"])


def _state(found: Services) -> str:
    """What the features and the recommendations service say of themselves, the worse of them."""
    names = "features", "recommendations"
    states = {requests.get(f"{found.url(name)}/ready", timeout=10).json().get("status", "not ready") for name in names}
    return next(iter(states - {"ready"}), "ready")


def _until(holds: Callable[..., bool], *of: object) -> None:
    Outcome().recovered(holds, *of)


@dataclass(frozen=True)
class Attack:
    """An attack and what it may cost: the seconds until answers are whole again, and whether requests may fail while a process is gone."""

    run: Callable[[Path, float], Outcome]
    recovers_s: float
    may_fail: bool = False

    def most_failed(self, outcome: Outcome) -> int:
        """Every client may lose the request that is under way when a process is killed, and those it tries until another answers."""
        return int(CLIENTS * (outcome.faults + outcome.outage_s / PAUSE_S)) if self.may_fail else 0

    def broken(self, outcome: Outcome) -> list[str]:
        """What of the promise the outcome does not keep."""
        bounds = {"lost": (outcome.lost, 0), "wrong": (outcome.wrong, 0), "failed": (outcome.failed, self.most_failed(outcome)),
                  "recovered in": (outcome.recovered_s, self.recovers_s)}
        return [f"{name} is {found:g}, at most {most:g}" for name, (found, most) in bounds.items() if found > most]


ATTACKS = {
    "events service killed (kill -9) under puts": Attack(events_killed, 30, may_fail=True),
    "one of two recommendations workers killed": Attack(worker_killed, 30, may_fail=True),
    "events and features services frozen": Attack(neighbors_frozen, 10),
    "runs published and rolled back": Attack(runs_published, 10),
    "broken runs published": Attack(broken_runs, 15),
    "S3 server killed while looked at": Attack(s3_killed, 20),
    "Redis killed (kill -9) under puts": Attack(redis_killed, 10),
    "disk of the event store full": Attack(disk_full, 10),
    "slow clients and oversize bodies": Attack(slow_clients, 10),
    "batches of 1,000 beside single questions": Attack(batches, 10),
}
