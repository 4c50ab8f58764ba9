"""How fast the services answer at full size, beside a service in the style of most public solutions, under one load generator.

Run with: python -m benchmarks.serving --folder FOLDER. Builds 1.37M users x 100 rows and 1M x 10 similar items there once (about 5 GB).
"""

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import requests

from benchmarks.http_load import Load, at_rate, in_turns, targets
from benchmarks.serving_artifacts import K, Size, artifacts
from tests.service_world import APPS, URL_KEYS, free_port

PROJECT = Path(__file__).resolve().parents[1]
REQUESTS = {"/recommendations_offline": 20_000, "/recommendations": 5_000}


@dataclass(frozen=True)
class Run:
    """What came back, and how many milliseconds of a core each service took for a request: these say the same on a crowded machine."""

    load: Load
    core_ms: dict[str, float]


@contextlib.contextmanager
def served(commands: dict[str, list[str]], ports: dict[str, int],
           environments: dict[str, dict[str, str]]) -> Iterator[dict[str, tuple[int, float]]]:
    """Start services one after the other; yields process id and seconds until ready of each."""
    found, processes = {}, []
    try:
        for name, command in commands.items():
            began = time.perf_counter()
            log = Path(tempfile.mkdtemp()) / f"{name}.log"
            with log.open("wb") as output:
                processes.append(subprocess.Popen(command, cwd=PROJECT, env=environments[name], stdout=output, stderr=output))
            while not _answers(ports[name]):
                if processes[-1].poll() is not None:
                    raise SystemExit(f"{name} ended:\n{log.read_text()[-3000:]}")
                time.sleep(0.02)
            found[name] = processes[-1].pid, time.perf_counter() - began
        yield found
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()


def _answers(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/ready", timeout=60).ok
    except requests.RequestException:
        return False


@contextlib.contextmanager
def ours(root: Path, workers: int, log: bool = True,
         impressions: bool = False) -> Iterator[tuple[dict[str, int], dict[str, tuple[int, float]]]]:
    """The three services over `root` with a fresh event store."""
    ports = {name: free_port() for name in APPS}
    store = Path(tempfile.mkdtemp(dir=root))
    environment = {**os.environ, **{f"MUSICREC_URLS_{URL_KEYS[name]}": f"http://127.0.0.1:{port}" for name, port in ports.items()},
                   "MUSICREC_ARTIFACTS_LOCATION": str(root / "artifacts"), "MUSICREC_ARTIFACTS_CACHE_FOLDER": str(root / "cache"),
                   "MUSICREC_EVENTS_PATH": str(store / "events.sqlite"), "MUSICREC_SERVICE_LOG_REQUESTS": str(log),
                   "MUSICREC_SERVICE_IMPRESSIONS": str(impressions)}
    commands = {name: [sys.executable, "-m", "uvicorn", app, "--port", str(ports[name]), "--workers", str(workers)]
                for name, app in APPS.items()}
    try:
        with served(commands, ports, dict.fromkeys(APPS, environment)) as found:
            yield ports, found
    finally:
        shutil.rmtree(store)


@contextlib.contextmanager
def peers(root: Path) -> Iterator[tuple[dict[str, int], dict[str, tuple[int, float]]]]:
    """The reference services over the same artifacts."""
    ports = {name: free_port() for name in APPS}
    base = {**os.environ, "PEER_FOLDER": str(root / "run"), "PEER_FEATURES": f"http://127.0.0.1:{ports['features']}",
            "PEER_EVENTS": f"http://127.0.0.1:{ports['events']}"}
    commands = {name: [sys.executable, "-m", "uvicorn", "benchmarks.peer_service:app", "--port", str(ports[name])] for name in APPS}
    with served(commands, ports, {name: {**base, "PEER": name} for name in APPS}) as found:
        yield ports, found


def private_mb(pid: int) -> float:
    """Memory in MB that is a process's own, not pages of files that others can map too; the largest of it and its children."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    own = next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Anonymous")) / 1024
    return max([own, *map(private_mb, children(pid))])


def core_seconds(pid: int) -> float:
    """Seconds of a core that a process and its children have taken so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") + sum(map(core_seconds, children(pid)))


def children(pid: int) -> list[int]:
    """The process ids of a process's children."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def watched(pids: dict[str, int], send: Callable[[], Load]) -> Run:
    """Send, and measure what the services take for it."""
    before = {name: core_seconds(pid) for name, pid in pids.items()}
    load = send()
    return Run(load, {name: (core_seconds(pid) - before[name]) * 1000 / len(load.seconds) for name, pid in pids.items()})


def play(port: int, users: np.ndarray, items: int, rng: np.random.Generator) -> Load:
    """Three plays for each user."""
    puts = [f"/put?user_id={user}&item_id={item}" for user in users for item in rng.integers(0, items, 3)]
    return in_turns(port, puts, 64)


def frozen(ports: dict[str, int], pid: int, users: np.ndarray) -> Load:
    """Blended answers while the events service and its workers accept connections but do not run."""
    family = [pid, *children(pid)]
    for one in family:
        os.kill(one, signal.SIGSTOP)
    try:
        return in_turns(ports["recommendations"], targets("/recommendations", users[:40], lambda _: f"&k={K}"), 1)
    finally:
        for one in family:
            os.kill(one, signal.SIGCONT)


def measured(ports: dict[str, int], pids: dict[str, int], users: np.ndarray, requests_: dict[str, int],
             connections: int) -> dict[str, tuple[Run, Run]]:
    """For offline and blended: one connection for the median, many for the throughput."""
    def both(path: str, n: int) -> tuple[Run, Run]:
        wanted, port = targets(path, np.resize(users, n), lambda _: f"&k={K}"), ports["recommendations"]
        in_turns(port, wanted[:max(2, n // 20)], 1)
        return (watched(pids, lambda: in_turns(port, wanted[:max(3, n // 5)], 1)),
                watched(pids, lambda: in_turns(port, wanted, connections)))

    return {path: both(path, n) for path, n in requests_.items()}


def line(name: str, run: Run) -> str:
    """One row of the report."""
    load, cores = run.load, ", ".join(f"{name} {ms:.2f}" for name, ms in run.core_ms.items() if ms >= 0.005)
    return (f"{name:<54} {load.per_second:>9.1f}/s  median {load.ms(0.5):>8.2f} ms  p99 {load.ms(0.99):>8.2f} ms  max {load.ms(1):>8.2f} ms"
            f"  n={len(load.seconds)}  ms of a core a request: {cores}"
            f"{f'  FAILED {load.failed}' if load.failed else ''}{f'  degraded {load.degraded}' if load.degraded else ''}")


def with_workers(root: Path, workers: int, size: Size, users: np.ndarray, shorter: int) -> dict[str, tuple[Run, Run]]:
    """Measure our services with so many workers each, and print it; requests are divided by `shorter`."""
    rng = np.random.default_rng(1)
    with ours(root, workers) as (ports, started):
        print(f"start, warm, {workers} worker(s):", ", ".join(f"{name} {seconds:.2f} s" for name, (_, seconds) in started.items()))
        pids = {name: pid for name, (pid, _) in started.items()}
        play(ports["events"], users, size.items, rng)
        puts = [f"/put?user_id={user}&item_id=1" for user in rng.integers(size.users, 2 * size.users, 20_000 // shorter)]
        print(line(f"put, {workers} worker(s), 64 connections", watched(pids, lambda: in_turns(ports["events"], puts, 64))))
        found = measured(ports, pids, users, {path: n // shorter for path, n in REQUESTS.items()}, 16)
        for path, (alone, many) in found.items():
            print(line(f"{path}, {workers} worker(s), 1 connection", alone))
            print(line(f"{path}, {workers} worker(s), 16 connections", many))
        others = targets("/recommendations_offline", rng.integers(0, size.users, 20_000 // shorter), lambda _: f"&k={K}")
        without = watched(pids, lambda: in_turns(ports["recommendations"], others, 16))
        print(line(f"offline of users without feedback, {workers} worker(s)", without))
        wanted = targets("/recommendations", np.resize(users, 3000 // shorter), lambda _: f"&k={K}")
        steady = watched(pids, lambda: at_rate(ports["recommendations"], wanted, 100))
        print(line(f"/recommendations, {workers} worker(s), 100 req/s", steady))
        print("private memory a worker:", ", ".join(f"{name} {private_mb(pid):.0f} MB" for name, pid in pids.items()))
        stopped = watched(pids, lambda: frozen(ports, pids["events"], users))
        print(line("/recommendations, events service frozen, 1 connection", stopped), flush=True)
    return found


def with_exposures(root: Path, users: np.ndarray, items: int, shorter: int) -> None:
    """Measure answers that are told to the events service beside answers that are not, in turns, and print both."""
    for impressions in (False, True, False, True):
        with ours(root, 1, impressions=impressions) as (ports, started):
            play(ports["events"], users, items, np.random.default_rng(1))
            pids = {name: pid for name, (pid, _) in started.items()}
            for path, (_, many) in measured(ports, pids, users, {path: n // shorter for path, n in REQUESTS.items()}, 16).items():
                print(line(f"{path}, exposures {'on' if impressions else 'off'}", many), flush=True)


def main() -> None:
    """Measure, print, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="where artifacts of each size are kept between runs")
    parser.add_argument("--users", type=int, default=1_370_000)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--plays", type=int, default=162, help="rows of the listening history a user")
    parser.add_argument("--shorter", type=int, default=1, help="divide the numbers of requests by this, for a trial")
    chosen = parser.parse_args()
    size = Size(chosen.users, chosen.items, chosen.plays)
    root = artifacts(chosen.folder, size)
    rng = np.random.default_rng(1)
    users = rng.integers(0, size.users, 500)
    print(f"{size.users} users x {K} rows, {size.items} x 10 similar items, {size.users * size.plays} plays; {os.cpu_count()} cores, "
          f"load of the machine before: {os.getloadavg()[0]:.1f}")
    shutil.rmtree(root / "cache", ignore_errors=True)
    with ours(root, 1) as (_, started):
        print("start, cold (parquet to arrays):", ", ".join(f"{name} {seconds:.1f} s" for name, (_, seconds) in started.items()))
    best, _ = (with_workers(root, workers, size, users, chosen.shorter) for workers in (1, 2))
    with_exposures(root, users, size.items, chosen.shorter)
    with peers(root) as (ports, started):
        pids = {name: pid for name, (pid, _) in started.items()}
        play(ports["events"], users, size.items, rng)
        reference = measured(ports, pids, users, dict.fromkeys(REQUESTS, 20), 4)
    for path, (alone, many) in reference.items():
        print(line(f"reference {path}, 1 connection", alone))
        print(line(f"reference {path}, 4 connections", many))
        print(f"ratio {path} (1 worker): {best[path][1].load.per_second / many.load.per_second:.0f}x throughput, "
              f"median {alone.load.ms(0.5) / best[path][0].load.ms(0.5):.0f}x lower, "
              f"{sum(many.core_ms.values()) / sum(best[path][1].core_ms.values()):.0f}x less of a core")


if __name__ == "__main__":
    main()
