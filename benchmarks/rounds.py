"""Whether lists that learn from what earlier lists have brought get better, round by round: benchmarks.loop without services.

    python -m benchmarks.rounds FOLDER [--seed 0] [--users 160] [--rounds 2] [--compared 160]

In FOLDER: makes a simulated world and trains on its logs. In each round other users listen to blended lists of the latest run; all that was
played in rounds so far, with the answer that brought it, is learned together with the logs. This is done twice: with plays that lists have
brought as plays as any other ([split] judge_recommended = true), and with these unjudged. At the end the same users, of one round more,
listen to every run; those who listened in a round have heard their best tracks, which lists no longer hold, and are told apart.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.blending import Listeners, compare
from musicrec import registry, settings
from musicrec.serving.answers import AnswerOptions
from musicrec.serving.experiments import answer_options
from musicrec.simulation import World, write_logs
from musicrec.storage import storage

PROJECT = Path(__file__).resolve().parents[1]
PLAYS = pa.schema([("user_id", pa.int32()), ("track_id", pa.int32()), ("started_at", pa.timestamp("us")), ("played_share", pa.float32()),
                   ("feedback", pa.string()), ("recommendation_id", pa.string())])


def trained(folder: Path, judge: bool = False, plays: Path | None = None) -> str:
    """The run of a training, which says on the screen why it was published."""
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "MUSICREC_SPLIT_JUDGE_RECOMMENDED": str(judge).lower()}
    environment |= {} if plays is None else {"MUSICREC_DATA_FURTHER_PLAYS": str(plays)}
    with (folder / "commands.log").open("ab") as log:
        subprocess.run([sys.executable, "-m", "musicrec", "train", "--data", "data/simulated", "--source", "botify", "--preset", "quick"],
                       cwd=folder, env=environment, stdout=log, stderr=log, check=True)
    run = registry.current(storage(str(folder / "artifacts"), {}))
    print(run.run_id, run.info.metrics["reason"], flush=True)
    return run.run_id


def chain(folder: Path, first: str, judge: bool, users: int, rounds: int, options: AnswerOptions) -> tuple[list[str], set[int]]:
    """The runs, the first one included, and the users who listened in between."""
    runs, rows, heard = [first], list[tuple[object, ...]](), set[int]()
    for round_ in range(1, rounds + 1):
        listeners = Listeners(folder, round_, runs[-1])
        for number, user in enumerate(listeners.people(users)):
            start = datetime(2026, 2, 1) + timedelta(days=7 * round_, minutes=3 * number)
            for at, one in enumerate(listeners.played(user, "blended", options)):
                answer = f"{round_}-{user}" if at else ""  # the first track is the user's own choice
                rows.append((user, one.track, start + timedelta(minutes=3 * at), one.share, one.type, answer))
            heard.add(user)
        plays = folder / f"plays_{judge}_{round_}.parquet"
        pq.write_table(pa.table(dict(zip(PLAYS.names, zip(*rows))), schema=PLAYS), plays)
        runs.append(trained(folder, judge, plays))
    return runs, heard


def main(folder: Path, seed: int, users: int, rounds: int, compared: int) -> None:
    """Print a row a run."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.ini").write_text((PROJECT / "config.ini").read_text())
    write_logs(World(seed), folder / "data/simulated")
    options, first = answer_options(settings.load(folder / "config.ini", {}).blending), trained(folder)
    for judge in (True, False):
        runs, heard = chain(folder, first, judge, users, rounds, options)
        people = Listeners(folder, rounds + 1, first).people(compared)
        fresh = np.array([user not in heard for user in people])
        found = []
        for run in runs:
            listeners = Listeners(folder, rounds + 1, run)
            found.append(np.array([listeners.listening(user, "blended", options) for user in people]))
        for name, who in (("never listened before", fresh), ("listened in a round", ~fresh)):
            report(f"seed {seed}, judge_recommended = {judge}, {name}".lower(), [one[who] for one in found])


def report(title: str, found: Sequence[np.ndarray]) -> None:
    """Print the listening with each run, and the differences to the first run and to the one before."""
    print(f"{title}, {len(found[0])} users: listening a session, difference to the first run, to the run before")
    for at, one in enumerate(found):
        compare(f"  run {at + 1}", one, found[0])
        if at > 1:
            compare("       ", one, found[at - 1])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--users", type=int, default=160)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--compared", type=int, default=160)
    asked = parser.parse_args()
    main(asked.folder.resolve(), asked.seed, asked.users, asked.rounds, asked.compared)
