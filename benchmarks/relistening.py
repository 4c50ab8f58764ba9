"""Lists in which re-listens count: relisten, its references, new tracks, and both mixed, on a log with repeats.

    python -m benchmarks.relistening --data data/sample --work FOLDER [--seed 0]

The plays of --data, a folder of three files without repeats, get re-listens between them. How often a user plays something again differs
between users (half of all plays on average). What is played again is drawn from the tracks played so far: with probability 0.4 one of the
latest, with geometric places, else by a liking of this user for this track (lognormal), which wears off with a half-life of its own
(lognormal, median 60 days). None of this is the formula of relisten. The models of the preset quick recommend new tracks, put in order by
reciprocal rank fusion.
"""

import argparse
import os
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.children import machine
from musicrec import pipeline, settings
from musicrec.cli.presets import PRESETS

LATEST, SHARES = 0.4, (0.25, 0.5, 0.75)
COLUMNS = ["model", "users", "ndcg@10", "ndcg@10_low", "ndcg@10_high", "recall@10", "hit_rate@10", "novelty@10", "difference", "p_holm"]


def write_log(source: Path, into: Path, seed: int) -> Path:
    """The three files with re-listens on the days of the plays before them."""
    into.mkdir(parents=True, exist_ok=True)
    for name in ("tracks.parquet", "catalog_names.parquet"):
        shutil.copy(source / name, into)
    rng, plays = np.random.default_rng(seed), pq.read_table(source / "interactions.parquet").to_pandas()
    plays = plays.sort_values(["user_id", "track_seq"], ignore_index=True)
    users, tracks, times = (plays[name].to_numpy() for name in ("user_id", "track_id", "started_at"))
    days = times.astype("datetime64[D]").astype(int)
    edges = np.append(np.flatnonzero(np.diff(users, prepend=-1)), len(users))
    parts = [_with_relistens(rng, days[start:end]) + start for start, end in pairwise(edges)]
    chosen, moment = np.concatenate(parts, axis=1)
    sequence = np.concatenate([np.arange(1, part.shape[1] + 1) for part in parts]).astype(np.int16)
    table = pa.table({"user_id": users[chosen], "track_id": tracks[chosen], "track_seq": sequence, "started_at": times[moment]})
    pq.write_table(table, into / "interactions.parquet")
    return into


def _with_relistens(rng: np.random.Generator, days: np.ndarray) -> np.ndarray:
    """Which play (row 0) is heard on the day of which one (row 1), in order."""
    again = rng.beta(2, 2)
    liking, half_life = rng.lognormal(0, 1.5, len(days)), rng.lognormal(np.log(60), 1, len(days))
    heard: list[int] = []
    when: list[int] = []
    for at in range(len(days)):
        heard.append(at)
        when.append(at)
        for _ in range(min(rng.geometric(1 - again * 0.98) - 1, 50)):
            if rng.random() < LATEST:
                heard.append(heard[-min(int(rng.geometric(0.1)), len(heard))])
            else:
                weight = liking[:at + 1] * 0.5 ** ((days[at] - days[:at + 1]) / half_life[:at + 1])
                heard.append(int(rng.choice(at + 1, p=weight / weight.sum())))
            when.append(at)
    return np.array([heard, when])


def main() -> None:
    """Print the table of all plays, and NDCG@10 of the mixed list for several shares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    logs = write_log(asked.data, asked.work / "logs", asked.seed)
    changes = {"MUSICREC_DATA_FOLDER": str(logs), "MUSICREC_DATA_WORK_FOLDER": str(asked.work / "work"),
               "MUSICREC_ARTIFACTS_LOCATION": str(asked.work / "artifacts")}
    work = pipeline.workspace(settings.load(environ={**os.environ, **PRESETS["quick"], **changes}))
    raw = pipeline.raw_tables(work)
    chosen, tables = pipeline.plan(work, raw.interactions), pipeline.preprocessed_tables(work, raw)
    train, test = tables.dataset.split(chosen.cutoff)
    print(f"{len(train.user_ids):,} users, {train.n_plays.sum():,} plays of {train.matrix.nnz:,} pairs before {chosen.test_start}; "
          f"{machine()}")
    made = pipeline.recommender(work.settings).fit(train)
    for share in SHARES:
        blending = work.settings.blending.model_copy(update={"familiar_share": share})
        of_share = pipeline.Workspace(work.settings.model_copy(update={"blending": blending}), work.connection, work.folder)
        evaluator = pipeline.evaluated_all_plays(of_share, made, test)
        assert evaluator is not None
        table = pipeline.all_plays_table(of_share, evaluator)
        shown = table[COLUMNS] if share == SHARES[0] else table.loc[table["model"] == "mixed", COLUMNS]
        print(f"familiar_share {share}", shown.round(4).to_string(index=False), sep="\n", flush=True)


if __name__ == "__main__":
    main()
