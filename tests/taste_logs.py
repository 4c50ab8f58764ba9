"""Small raw logs with two groups of users, each of which plays one half of the tracks, so that personalized models beat popularity."""

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.logs import SCHEMAS

N_USERS, N_TRACKS, PLAYS = 60, 48, 16
START = datetime(2022, 6, 1)


def write(folder: Path, seed: int = 0) -> Path:
    """The three files in `folder`: plays from June to December 2022, several on both sides of every cutoff, and two cold users."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    tracks = [{"track_id": 100 + t, "albums": [t // 4 + 1], "artists": [t // 8 + 1], "genres": [t % 2 + 1]} for t in range(N_TRACKS)]
    names = [{"id": 100 + t, "type": "track", "name": f"title {t}"} for t in range(N_TRACKS)]
    for kind, count in (("album", N_TRACKS // 4), ("artist", N_TRACKS // 8), ("genre", 2)):
        names += [{"id": ident, "type": kind, "name": f"{kind} {ident}"} for ident in range(1, count + 1)]
    plays = []
    for user in range(N_USERS):
        camp = np.arange(user % 2, N_TRACKS, 2)
        weight = 1 / (1 + np.arange(len(camp)))
        chosen = rng.choice(camp, PLAYS, replace=False, p=weight / weight.sum())
        first = 205 if user >= N_USERS - 2 else 0
        days = np.sort(rng.integers(first, 213, PLAYS))
        plays += [{"user_id": user + 1, "track_id": 100 + int(track), "track_seq": seq, "started_at": START + timedelta(days=int(day))}
                  for seq, (track, day) in enumerate(zip(chosen, days), 1)]
    for name, rows in (("tracks", tracks), ("catalog_names", names), ("interactions", plays)):
        schema = SCHEMAS[name]
        kept = pa.schema([field for field in schema if field.name != "played_share"])
        pq.write_table(pa.Table.from_pylist(rows, schema=kept), folder / f"{name}.parquet")
    return folder


def environment(logs: Path, project: Path) -> dict[str, str]:
    """Settings for a small quick run on `logs`, everything written below `project`."""
    return {
        "MUSICREC_DATA_FOLDER": str(logs), "MUSICREC_DATA_WORK_FOLDER": str(project / "work"), "MUSICREC_ENGINE_MEMORY_LIMIT": "1GB",
        "MUSICREC_ENGINE_TEMP_FOLDER": str(project / "spill"), "MUSICREC_ARTIFACTS_LOCATION": str(project / "artifacts"),
        "MUSICREC_ARTIFACTS_CACHE_FOLDER": str(project / "cache"), "MUSICREC_RANKING_ITERATIONS": "10", "MUSICREC_RANKING_K": "20",
        "MUSICREC_EVALUATION_BOOTSTRAP_SAMPLES": "50", "MUSICREC_SPLIT_FOLDS": "2", "MUSICREC_SPLIT_FOLD_DAYS": "20",
        "MUSICREC_CANDIDATES_ALS_FACTORS": "8", "MUSICREC_CANDIDATES_ALS_ITERATIONS": "4", "MUSICREC_TUNING_TRIALS": "0",
    }
