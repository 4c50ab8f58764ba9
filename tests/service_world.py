"""A small published run with known answers, and real uvicorn processes over it."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import requests

from musicrec import schema
from musicrec.registry import RunInfo, publish
from musicrec.storage import storage
from tests import forked

PROJECT = Path(__file__).resolve().parents[1]
APPS = {"recommendations": "recommendations_service:app", "features": "features_service:app", "events": "events_service:app"}
URL_KEYS = {"recommendations": "RECOMMENDATIONS_URL", "features": "FEATURES_STORE_URL", "events": "EVENTS_STORE_URL"}
# One cache for all tests: runs with the same artifacts share their arrays, so that most services start from a warm one.
CACHE = tempfile.TemporaryDirectory(prefix="musicrec-cache-", ignore_cleanup_errors=True)
USER, COLD = 617032, 999999999
# Items 100..299. USER has heard 100..109 and has a personal list 150, 151, ...; item i is similar to i + 1, i + 2, ..., i + 5.
ITEMS = range(100, 300)
HEARD = range(100, 110)
PERSONAL = range(150, 180)
POPULAR = range(100, 140)


def write_run(folder: Path, personal: range = PERSONAL, shift: int = 0, familiar: Sequence[int] = ()) -> Path:
    """The artifacts of the little world in `folder`, with every item that much higher; USER's familiar items, where there are any."""
    folder.mkdir(parents=True, exist_ok=True)
    n, all_items, heard, popular, personal = len(ITEMS), *(range(one.start + shift, one.stop + shift)
                                                           for one in (ITEMS, HEARD, POPULAR, personal))
    write(folder, schema.ITEMS, {
        "item_id": list(all_items), "name": [f"Track {i}" for i in all_items], "albums": [["Album"]] * n,
        "artists": [[f"Artist {i % 7}"] for i in all_items], "genres": [["rock"] if i % 2 else [] for i in all_items],
        "num_users": [1000 - i for i in all_items], "num_users_norm": [0.5] * n, "num_albums": [1] * n, "genre_score_mean": [0.5] * n,
        "album_ids": [[1]] * n, "artist_ids": [[i % 7] for i in all_items], "genre_ids": [[1]] * n})
    events = [(user, item) for user in (16, USER) for item in heard]
    write(folder, schema.EVENTS, {
        "user_id": [user for user, _ in events], "item_id": [item for _, item in events], "track_seq": [1] * len(events),
        "started_at": [datetime(2022, 1, 1)] * len(events), "listened": [1] * len(events), "played_share": [1.0] * len(events)})
    write(folder, schema.GENRES, {"genre_id": [1], "name": ["rock"], "items_count": [n], "score": [1.0]})
    write(folder, schema.TOP_POPULAR, {
        "rank": range(1, len(popular) + 1), "item_id": list(popular), "users": [5] * len(popular),
        "score": [float(-i) for i in popular], "name": ["x"] * len(popular), "genres": [[]] * len(popular),
        "artists": [[]] * len(popular), "albums": [[]] * len(popular)})
    lists = [(user, item, 1 - rank / 100, rank) for user in (16, USER) for rank, item in enumerate(personal, 1)]
    write(folder, schema.RECOMMENDATIONS, dict(zip(schema.RECOMMENDATIONS.names, zip(*lists))))
    if familiar:
        own = [(USER, item, -float(rank), rank) for rank, item in enumerate(familiar, 1)]
        write(folder, schema.PERSONAL, dict(zip(schema.PERSONAL.names, zip(*own))))
        (folder / "personal.parquet").rename(folder / "familiar.parquet")
    similar = [(i, i + d, 1 - d / 10, "co-listening") for i in all_items for d in range(1, 6) if i + d in all_items]
    write(folder, schema.SIMILAR, dict(zip(schema.SIMILAR.names, zip(*similar))))
    return folder


def write(folder: Path, kind: schema.TableSchema, columns: dict[str, object]) -> None:
    """One table of the run."""
    given = [column for column in kind.columns if column.name in columns or not column.optional]
    arrays = [pa.array(list(columns[column.name]), column.type) for column in given]
    pq.write_table(pa.table(arrays, names=[column.name for column in given]), folder / f"{kind.name}.parquet")


def published(root: Path, personal: range = PERSONAL, damaged: str = "", familiar: Sequence[int] = ()) -> str:
    """Publish the little world below `root`/artifacts; returns the run id. The file named in `damaged` is nonsense before any service
    can see the run."""
    place, folder = storage(str(root / "artifacts"), {}), write_run(root / "run", personal, familiar=familiar)
    if not damaged:
        return publish(place, folder, RunInfo({"made for": "tests"}))
    # Published beside the place that services look at, spoilt there, and moved over with current.json last, as publishing does.
    run_id = publish(storage(str(root / "aside"), {}), folder, RunInfo({"made for": "tests"}))
    (root / "aside" / "runs" / run_id / damaged).write_bytes(b"nonsense")
    (root / "aside" / "runs" / run_id).rename(root / "artifacts" / "runs" / run_id)
    (root / "aside" / "current.json").rename(root / "artifacts" / "current.json")
    return run_id


def free_port() -> int:
    """A loopback port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Services:
    """Real uvicorn processes, by service name, with their own folders below `root`."""

    root: Path
    ports: dict[str, int]
    environment: dict[str, str]
    running: dict[str, subprocess.Popen[bytes] | forked.Forked]

    def url(self, name: str) -> str:
        """Where the service answers."""
        return f"http://127.0.0.1:{self.ports[name]}"

    def command(self, name: str, *options: str) -> list[str]:
        """The command of the seed, with a free port."""
        return [sys.executable, "-m", "uvicorn", APPS[name], "--port", str(self.ports[name]), *options]

    def start(self, *names: str, options: tuple[str, ...] = ()) -> None:
        """Start services side by side and wait until all answer."""
        for name in names:
            self._spawn(name, options)
        for name in names:
            self.wait(name)

    def _spawn(self, name: str, options: tuple[str, ...]) -> None:
        """A process with options, such as one of workers, is started as users do; the others are forked."""
        command, log = self.command(name, *options), self.root / f"{name}.log"
        if not options and forked.is_possible(self.environment):
            self.running[name] = forked.Forked(command[3:], PROJECT, self.environment, log)
            return
        with log.open("ab") as file:
            self.running[name] = subprocess.Popen(command, cwd=PROJECT, env=self.environment, stdout=file, stderr=file)

    def wait(self, name: str) -> None:
        """Return when the service answers; say what it wrote when it ends instead."""
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            with contextlib.suppress(requests.ConnectionError):
                if requests.get(f"{self.url(name)}/ready", timeout=5).ok:
                    return
            if self.running[name].poll() is not None:
                break
            time.sleep(0.05)
        raise AssertionError(f"{name} did not start:\n{self.log(name)}")

    def log(self, name: str) -> str:
        """What the service has written."""
        return (self.root / f"{name}.log").read_text()

    def stop(self, name: str, how: signal.Signals = signal.SIGTERM) -> int:
        """End one with a signal; returns its exit code."""
        process = self.running.pop(name)
        process.send_signal(how)
        return process.wait(20)

    def post(self, name: str, path: str, **parameters: object) -> requests.Response:
        """A POST with everything in the query, and with the API key where there is one."""
        key = self.environment.get("MUSICREC_SERVICE_API_KEY")
        return requests.post(self.url(name) + path, params=parameters, timeout=10, headers={"X-API-Key": key} if key else {})

    def recs(self, path: str, **parameters: object) -> list[int]:
        """The items that a route of the recommendations service answers with."""
        response = self.post("recommendations", path, **parameters)
        assert response.status_code == 200, response.text
        found: list[int] = response.json()["recs"]
        return found


def services(root: Path, **settings: str) -> Services:
    """Services on free ports over `root`, none of them started; `settings` are further variables such as MUSICREC_EVENTS_STORE."""
    ports = {name: free_port() for name in APPS}
    urls = {f"MUSICREC_URLS_{URL_KEYS[name]}": f'"http://127.0.0.1:{port}"' for name, port in ports.items()}
    environment = {**os.environ, **urls, "MUSICREC_ARTIFACTS_LOCATION": str(root / "artifacts"), "PYTHONWARNINGS": "default",
                   "MUSICREC_ARTIFACTS_CACHE_FOLDER": CACHE.name, "MUSICREC_EVENTS_PATH": str(root / "events.sqlite"),
                   "MUSICREC_SERVICE_TIMEOUT_MS": "2000",
                   # Seven artists have all the items, and most tests say where each item of an answer comes from.
                   "MUSICREC_BLENDING_ARTIST_DECAY": "1", **settings}
    return Services(root, ports, environment, {})


@contextlib.contextmanager
def running(root: Path, *names: str, **settings: str) -> Iterator[Services]:
    """The named services (all when none is named), started; stopped afterwards."""
    found = services(root, **settings)
    try:
        found.start(*(names or APPS))
        yield found
    finally:
        for process in found.running.values():
            process.kill()
            process.wait()
