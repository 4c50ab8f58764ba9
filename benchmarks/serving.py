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
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import requests
from tqdm import tqdm

from benchmarks.http_load import Load, at_rate, in_turns, targets
from musicrec import schema
from musicrec.artifacts import RunInfo, publish
from musicrec.storage import storage
from tests.service_world import APPS, URL_KEYS, free_port

K = 100
PROJECT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Size:
    """How much is built."""

    users: int
    items: int
    plays: int
    seed: int = 0


def artifacts(folder: Path, size: Size) -> Path:
    """A published run of the size, made once."""
    root = folder / f"{size.users}x{K}-{size.items}-{size.plays}"
    if (root / "artifacts" / "current.json").exists():
        return root
    run, rng = root / "run", np.random.default_rng(size.seed)
    run.mkdir(parents=True, exist_ok=True)
    _grouped(run, schema.RECOMMENDATIONS, size.users, K, size.items, rng)
    _grouped(run, schema.SIMILAR, size.items, 10, size.items, rng)
    _events(run, size, rng)
    _catalogue(run, size)
    publish(storage(str(root / "artifacts"), {}), run, RunInfo({"made for": "benchmarks/serving.py"}))
    return root


def _grouped(run: Path, kind: schema.TableSchema, keys: int, per_key: int, items: int, rng: np.random.Generator) -> None:
    batch = 20_000
    with pq.ParquetWriter(run / f"{kind.name}.parquet", kind.arrow, compression="zstd") as writer:
        for start in tqdm(range(0, keys, batch), desc=kind.name, disable=None):
            n = min(batch, keys - start)
            # Steps from a random start: different items within a key, without sorting.
            found = (rng.integers(0, items, (n, 1)) + np.cumsum(rng.integers(1, items // per_key, (n, per_key)), 1)) % items
            columns = [np.repeat(np.arange(start, start + n), per_key), found.ravel(),
                       np.tile(np.linspace(1, 0.1, per_key), n), np.tile(np.arange(1, per_key + 1), n)]
            writer.write_table(pa.table([pa.array(c.astype(f.type.to_pandas_dtype())) for c, f in zip(columns, kind.arrow)],
                                        schema=kind.arrow))


def _events(run: Path, size: Size, rng: np.random.Generator) -> None:
    batch, moment = 20_000, np.datetime64(datetime(2022, 6, 1), "us")
    with pq.ParquetWriter(run / "events.parquet", schema.EVENTS.arrow, compression="zstd") as writer:
        for start in tqdm(range(0, size.users, batch), desc="events", disable=None):
            n = min(batch, size.users - start)
            rows = n * size.plays
            columns = [np.repeat(np.arange(start, start + n, dtype=np.int32), size.plays), rng.integers(0, size.items, rows, np.int32),
                       np.tile(np.arange(1, size.plays + 1, dtype=np.int32), n), np.full(rows, moment), np.ones(rows, np.int8),
                       np.ones(rows, np.float32)]
            writer.write_table(pa.table([pa.array(c) for c in columns], schema=schema.EVENTS.arrow))


def _catalogue(run: Path, size: Size) -> None:
    n = size.items
    ids, ones = np.arange(n, dtype=np.int32), np.ones(n, np.float32)
    artist_names = [[f"Artist {i % 50_000}"] for i in range(n)]
    lists = {"albums": [["Album"]] * n, "artists": artist_names, "genres": [["pop"]] * n, "album_ids": [[1]] * n,
             "artist_ids": [[i % 50_000] for i in range(n)], "genre_ids": [[1]] * n}
    columns = {"item_id": ids, "name": [f"Track {i}" for i in range(n)], "num_users": n - ids, "num_users_norm": ones,
               "num_albums": ids, "genre_score_mean": ones, **lists}
    _write(run, schema.ITEMS, columns)
    _write(run, schema.GENRES, {"genre_id": [1], "name": ["pop"], "items_count": [n], "score": [1.0]})
    top = {"rank": np.arange(1, 101), "item_id": np.arange(100), "users": np.arange(100), "score": np.linspace(1, 0, 100)}
    _write(run, schema.TOP_POPULAR, {**top, "name": ["x"] * 100, "genres": [[]] * 100, "artists": [[]] * 100, "albums": [[]] * 100})


def _write(run: Path, kind: schema.TableSchema, columns: dict[str, object]) -> None:
    arrays = [pa.array(columns[column.name], column.type) for column in kind.columns]
    pq.write_table(pa.table(arrays, schema=kind.arrow), run / f"{kind.name}.parquet", compression="zstd")


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
def ours(root: Path, workers: int, log: bool = True) -> Iterator[tuple[dict[str, int], dict[str, tuple[int, float]]]]:
    """The three services over `root` with a fresh event store."""
    ports = {name: free_port() for name in APPS}
    store = Path(tempfile.mkdtemp(dir=root))
    environment = {**os.environ, **{f"MUSICREC_URLS_{URL_KEYS[name]}": f"http://127.0.0.1:{port}" for name, port in ports.items()},
                   "MUSICREC_ARTIFACTS_LOCATION": str(root / "artifacts"), "MUSICREC_ARTIFACTS_CACHE_FOLDER": str(root / "cache"),
                   "MUSICREC_EVENTS_PATH": str(store / "events.sqlite"), "MUSICREC_SERVICE_LOG_REQUESTS": str(log)}
    commands = {name: [sys.executable, "-m", "uvicorn", app, "--port", str(ports[name]), "--workers", str(workers)]
                for name, app in APPS.items()}
    try:
        with served(commands, ports, dict.fromkeys(APPS, environment)) as found:
            yield ports, found
    finally:
        shutil.rmtree(store)


@contextlib.contextmanager
def peers(root: Path) -> Iterator[dict[str, int]]:
    """The reference services over the same artifacts."""
    ports = {name: free_port() for name in APPS}
    base = {**os.environ, "PEER_FOLDER": str(root / "run"), "PEER_FEATURES": f"http://127.0.0.1:{ports['features']}",
            "PEER_EVENTS": f"http://127.0.0.1:{ports['events']}"}
    commands = {name: [sys.executable, "-m", "uvicorn", "benchmarks.peer_service:app", "--port", str(ports[name])] for name in APPS}
    with served(commands, ports, {name: {**base, "PEER": name} for name in APPS}):
        yield ports


def private_mb(pid: int) -> float:
    """Memory in MB that is a process's own, not pages of files that others can map too; the largest of it and its children."""
    children = [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    own = next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Anonymous")) / 1024
    return max([own, *(private_mb(child) for child in children)])


def play(port: int, users: np.ndarray, items: int, rng: np.random.Generator) -> Load:
    """Three plays for each user."""
    puts = [f"/put?user_id={user}&item_id={item}" for user in users for item in rng.integers(0, items, 3)]
    return in_turns(port, puts, 64)


def frozen(ports: dict[str, int], pid: int, users: np.ndarray) -> Load:
    """Blended answers while the events service and its workers accept connections but do not run."""
    family = [pid, *(int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
    for one in family:
        os.kill(one, signal.SIGSTOP)
    try:
        return in_turns(ports["recommendations"], targets("/recommendations", users[:40], lambda _: f"&k={K}"), 1)
    finally:
        for one in family:
            os.kill(one, signal.SIGCONT)


def measured(ports: dict[str, int], users: np.ndarray, requests_: dict[str, int], connections: int) -> dict[str, tuple[Load, Load]]:
    """For offline and blended: one connection for the median, many for the throughput."""
    found = {}
    for path, n in requests_.items():
        wanted = targets(path, np.resize(users, n), lambda _: f"&k={K}")
        port = ports["recommendations"]
        in_turns(port, wanted[:max(2, n // 20)], 1)
        found[path] = in_turns(port, wanted[:max(3, n // 5)], 1), in_turns(port, wanted, connections)
    return found


def line(name: str, load: Load) -> str:
    """One row of the report."""
    return (f"{name:<54} {load.per_second:>9.1f}/s  median {load.ms(0.5):>8.2f} ms  p99 {load.ms(0.99):>8.2f} ms  max {load.ms(1):>8.2f} ms"
            f"  n={len(load.seconds)}"
            f"{f'  FAILED {load.failed}' if load.failed else ''}{f'  degraded {load.degraded}' if load.degraded else ''}")


def main() -> None:
    """Measure, print, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="where full-size artifacts are kept between runs")
    parser.add_argument("--users", type=int, default=1_370_000)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--plays", type=int, default=20, help="rows of the listening history a user")
    chosen = parser.parse_args()
    size = Size(chosen.users, chosen.items, chosen.plays)
    root = artifacts(chosen.folder, size)
    rng = np.random.default_rng(1)
    users = rng.integers(0, size.users, 500)
    paths = {"/recommendations_offline": 20_000, "/recommendations": 5_000}
    print(f"{size.users} users x {K} rows, {size.items} x 10 similar items, {size.users * size.plays} plays; {os.cpu_count()} cores, "
          f"load of the machine before: {os.getloadavg()[0]:.1f}")
    shutil.rmtree(root / "cache", ignore_errors=True)
    best: dict[str, tuple[Load, Load]] = {}
    with ours(root, 1) as (_, started):
        print("start, cold (parquet to arrays):", ", ".join(f"{name} {seconds:.1f} s" for name, (_, seconds) in started.items()))
    for workers in (1, 2):
        with ours(root, workers) as (ports, started):
            print(f"start, warm, {workers} worker(s):", ", ".join(f"{name} {seconds:.2f} s" for name, (_, seconds) in started.items()))
            play(ports["events"], users, size.items, rng)
            others = rng.integers(size.users, 2 * size.users, 20_000)
            puts = in_turns(ports["events"], [f"/put?user_id={user}&item_id=1" for user in others], 64)
            print(line(f"put, {workers} worker(s), 64 connections", puts))
            found = measured(ports, users, paths, 16)
            for path, (alone, many) in found.items():
                print(line(f"{path}, {workers} worker(s), 1 connection", alone))
                print(line(f"{path}, {workers} worker(s), 16 connections", many))
            steady = at_rate(ports["recommendations"], targets("/recommendations", np.resize(users, 3000), lambda _: f"&k={K}"), 100)
            print(line(f"/recommendations, {workers} worker(s), 100 req/s", steady))
            print("private memory a worker:", ", ".join(f"{name} {private_mb(pid):.0f} MB" for name, (pid, _) in started.items()))
            best = best or found
            print(line("/recommendations, events service frozen, 1 connection", frozen(ports, started["events"][0], users)))
    with peers(root) as ports:
        play(ports["events"], users, size.items, rng)
        reference = measured(ports, users, {"/recommendations_offline": 20, "/recommendations": 20}, 4)
    for path, (alone, many) in reference.items():
        print(line(f"reference {path}, 1 connection", alone))
        print(line(f"reference {path}, 4 connections", many))
        print(f"ratio {path} (1 worker): {best[path][1].per_second / many.per_second:.0f}x throughput, "
              f"median {alone.ms(0.5) / best[path][0].ms(0.5):.0f}x lower")


if __name__ == "__main__":
    main()
