"""Whether simulated listeners listen more, the more often is learned from what they played.

    python -m benchmarks.loop FOLDER [--users 200] [--rounds 3] [--preset quick]

In the new folder FOLDER: makes the default simulated world, trains on its logs, and serves the run with the real services. Each round has
listeners of its own, whose tastes have drifted on, and who get blended lists; an experiment gives half of them those of the first run, the
other half those of the current one, side by side. What both have played is learned, published and served before the next round. At the end
the same users, of one round more, listen to each run in turn, without services in between. None has listened before: lists hold what
is new, and who has heard the best tracks gets the next best.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import requests

from benchmarks.blending import Listeners, compare
from musicrec import settings, simulation
from musicrec.evaluation.significance import bootstrap_means, interval
from musicrec.experiments.file import read_experiments
from musicrec.serving.experiments import answer_options

PROJECT = Path(__file__).resolve().parents[1]
PORTS = {"RECOMMENDATIONS_URL": 8761, "FEATURES_STORE_URL": 8762, "EVENTS_STORE_URL": 8763}
LOGS = ("--data", "data/simulated", "--source", "botify")


class Loop:
    """The commands of the loop in one folder."""

    def __init__(self, folder: Path, preset: str) -> None:
        self.folder, self.preset = folder, preset
        self.urls = {name: f"http://127.0.0.1:{port}" for name, port in PORTS.items()}
        # A machine that is busy with other work must not degrade answers.
        more = {"PYTHONPATH": str(PROJECT), "MUSICREC_SERVICE_POLL_S": "0.5", "MUSICREC_SERVICE_TIMEOUT_MS": "5000"}
        self.environment = {**os.environ, **{f"MUSICREC_URLS_{name}": url for name, url in self.urls.items()}, **more}
        folder.mkdir(parents=True)
        (folder / "config.ini").write_text((PROJECT / "config.ini").read_text())

    def command(self, *arguments: str) -> None:
        """Run a command, whose output goes to commands.log."""
        with (self.folder / "commands.log").open("ab") as log:
            subprocess.run([sys.executable, "-m", "musicrec", *arguments], cwd=self.folder, env=self.environment, stdout=log, stderr=log,
                           check=True)

    @contextmanager
    def served(self) -> Iterator[None]:
        """The services, until the block ends."""
        with (self.folder / "serve.log").open("ab") as log:
            process = subprocess.Popen([sys.executable, "-m", "musicrec", "serve"], cwd=self.folder, env=self.environment, stdout=log,
                                       stderr=log)
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)

    def until_served(self, before: str = "") -> str:
        """The id of the served run, as soon as it is another than `before`."""
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            try:
                found: str = requests.get(f"{self.urls['RECOMMENDATIONS_URL']}/stats", timeout=5).json()["run_id"]
            except requests.RequestException:
                found = before
            if found != before:
                return found
            time.sleep(0.5)
        raise SystemExit(f"the services do not serve another run than {before!r}; see {self.folder}/serve.log")


def main(folder: Path, users: int, rounds: int, preset: str) -> None:
    """Print a row per round."""
    loop = Loop(folder, preset)
    loop.command("datasets", "make", "simulated")
    loop.command("train", *LOGS, "--preset", preset)
    world = simulation.World.of_folder(folder / "data/simulated")
    player = simulation.Player(loop.urls["RECOMMENDATIONS_URL"], loop.urls["EVENTS_STORE_URL"])
    with loop.served():
        first = run = loop.until_served()
        file = folder / "experiments.toml"
        file.write_text(f"[runs]\nvariants.first = {{run = '{first}'}}\nvariants.current = {{}}\n")
        experiment = read_experiments(file, settings.load(folder / "config.ini", {}).blending)[0]
        time.sleep(5)  # until the experiment runs
        runs, heard = list[str](), set[int]()
        print("round   users  listening, first run    users  listening, current run    current - first")
        for round_ in range(1, rounds + 1):
            if round_ > 1:
                loop.command("learn", *LOGS, "--preset", preset)
                run = loop.until_served(run)
            sums: dict[str, list[list[float]]] = {"first": [], "current": []}
            for one in simulation.listened(world, player, ["blended"], users, round_):
                variant = experiment.variant_of(one.user)
                assert variant
                heard.add(one.user)
                sums[variant.name].append([sum(track.share for track in one.played[1:])])
            drawn = [bootstrap_means(np.array(sums[name]), 2000, seed) for seed, name in enumerate(sums)]
            means = [float(np.mean(values)) for values in sums.values()]
            bounds = [interval(one) for one in (*drawn, drawn[1] - drawn[0])]
            shown = [f"{mean:.2f} ({low[0]:.2f} to {high[0]:.2f})" for mean, (low, high) in zip((*means, means[1] - means[0]), bounds)]
            runs.append(run)
            print(f"{round_:>5} {len(sums['first']):>7} {shown[0]:>22} {len(sums['current']):>8} {shown[1]:>24} {shown[2]:>24}", flush=True)
    compared(folder, runs, users, heard)


def compared(folder: Path, runs: list[str], users: int, heard: set[int]) -> None:
    """Print a row per run: what the same users, none of those that have heard, listen to, and the difference to the first run."""
    options, base = answer_options(settings.load(folder / "config.ini", {}).blending), np.zeros(0)
    for run in runs:
        listeners = Listeners(folder, len(runs) + 1, run)
        people = [user for user in listeners.people(listeners.world.users) if user not in heard][:users]
        found = np.array([listeners.listening(user, "blended", options) for user in people])
        base = base if len(base) else found
        compare(f"{run}  ", found, base)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--users", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--preset", default="quick")
    asked = parser.parse_args()
    main(asked.folder.resolve(), asked.users, asked.rounds, asked.preset)
