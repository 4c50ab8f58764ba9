"""Answering everybody with a saved recommender: one process against Spark on two threads and on two executors of a local cluster.

    python -m benchmarks.spark --recommender work/recommender [--users 4000] [--order ranked] [--repeats 2]

Each side runs in a child of its own; core seconds and memory are those of all its processes, read from /proc while it works. The first pass
starts Python workers and loads the recommender in each; the last one is what a long run costs. Lists of all sides must be the same.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

from benchmarks.children import machine
from musicrec import engine
from musicrec.recommender import TwoStageRecommender
from musicrec.runners import RUNNERS, Shared
from musicrec.settings import bytes_of
from musicrec.storage import storage

ROOT = Path(__file__).resolve().parents[1]
SIDES = {"one process, 2 threads": "", "local[2]": "local[2]", "local-cluster[2,1,2048]": "local-cluster[2,1,2048]"}
TICKS, MEMORY = os.sysconf("SC_CLK_TCK"), bytes_of("300MB")


class Processes:
    """What this process and all its descendants use, looked at five times a second; those that have ended count as they last were."""

    def __init__(self) -> None:
        self.core: dict[int, float] = {}
        self.peak: dict[int, float] = {}
        self.kind: dict[int, str] = {}
        self._over = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    @property
    def core_seconds(self) -> float:
        """Seconds of a core so far."""
        self._look()
        return sum(self.core.values())

    def peaks(self) -> dict[str, list[float]]:
        """The highest memory in GB of each process that had more than 50 MB, by kind."""
        large = [(self.kind[pid], round(peak, 2)) for pid, peak in self.peak.items() if peak > 0.05]
        return {kind: sorted((peak for of, peak in large if of == kind), reverse=True) for kind in dict(large)}

    def _watch(self) -> None:
        while not self._over.wait(0.2):
            self._look()

    def _look(self) -> None:
        stats = {}
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                try:
                    stats[int(folder.name)] = (folder / "stat").read_text().rpartition(")")[2].split()
                except OSError:
                    continue
        ours = {os.getpid()}
        while more := {pid for pid, stat in stats.items() if int(stat[1]) in ours} - ours:
            ours |= more
        for pid in ours & stats.keys():
            try:
                status, line = (Path(f"/proc/{pid}/{name}").read_text() for name in ("status", "cmdline"))
                self.peak[pid] = int(status.split("VmHWM:")[1].split()[0]) / 2**20
            except (OSError, IndexError):
                continue
            self.core[pid] = (int(stats[pid][11]) + int(stats[pid][12])) / TICKS
            self.kind[pid] = _kind(pid, line)


def _kind(pid: int, command_line: str) -> str:
    if pid == os.getpid():
        return "driver"
    if "CoarseGrainedExecutorBackend" in command_line:
        return "executor"
    return "Python worker" if "pyspark.daemon" in command_line else "JVM of the driver"


def side(options: argparse.Namespace, master: str) -> dict[str, Any]:
    """Seconds and core seconds of every pass over the users, peaks of memory, bytes shuffled, and a checksum of the lists."""
    watched, made = Processes(), TwoStageRecommender.load(options.recommender)
    users, scratch = made.fitted.train.user_ids[:options.users], Path(tempfile.mkdtemp())
    connection, started = None, time.perf_counter()
    if master:
        connection = engine.connect("spark", memory_limit="1GB", threads=2, temp_folder=scratch / "spill", master=master, options={
            "spark.executorEnv.PYTHONPATH": str(ROOT), "spark.ui.enabled": "true", "spark.ui.showConsoleProgress": "false"})
    found: dict[str, Any] = {"start": time.perf_counter() - started, "passes": []}
    shared = Shared(lambda: connection, lambda: options.recommender, storage(str(scratch / "lists"), {}))
    for _ in range(options.repeats):
        items, scores, clock, core = hashlib.sha256(), hashlib.sha256(), time.perf_counter(), watched.core_seconds
        for lists in RUNNERS["spark" if master else "duckdb"](made, users, options.k, [options.order], MEMORY, 2, shared):
            items.update(lists[options.order].items.tobytes())
            scores.update(lists[options.order].scores.tobytes())
        found["passes"].append([time.perf_counter() - clock, watched.core_seconds - core])
        found["lists"] = items.hexdigest() + scores.hexdigest()
    found |= {"peaks": watched.peaks(), "users": len(users), "shuffled": _shuffled() if master else 0}
    return found


def _shuffled() -> int:
    from pyspark.sql import SparkSession

    context = SparkSession.active().sparkContext
    with urllib.request.urlopen(f"{context.uiWebUrl}/api/v1/applications/{context.applicationId}/allexecutors") as answer:
        return sum(one["totalShuffleWrite"] for one in json.load(answer))


def main() -> None:
    """Print what every side took, and the ratios to one process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recommender", type=Path, required=True)
    parser.add_argument("--users", type=int, default=4000)
    parser.add_argument("--order", default="ranked")
    parser.add_argument("--k", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--side", choices=SIDES)
    options = parser.parse_args()
    if options.side:
        print(json.dumps(side(options, SIDES[options.side])))
        return
    print(f"{machine()}; {options.users:,} users, order {options.order}, k {options.k}, batches of {MEMORY >> 20} MB")
    base = None
    for name in SIDES:
        arguments = [f"--{key}={value}" for key, value in vars(options).items() if key != "side"]
        told = subprocess.run([sys.executable, "-m", "benchmarks.spark", *arguments, "--side", name], check=True, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
        found = json.loads(told.splitlines()[-1])
        base = base or found
        assert found["lists"] == base["lists"], name
        print(f"{name}: {found['start']:.1f} s to start Spark, {found['shuffled']:,} bytes shuffled")
        for number, ((seconds, core), (_, of_one)) in enumerate(zip(found["passes"], base["passes"]), 1):
            print(f"  pass {number}: {found['users'] / seconds:8,.0f} users/s{seconds:9.1f} s{core:9.1f} s of a core, "
                  f"{core / of_one:.2f} of one process", flush=True)
        print("  peak GB: " + "; ".join(f"{kind} {', '.join(map(str, peaks))}" for kind, peaks in found["peaks"].items()), flush=True)


if __name__ == "__main__":
    main()
