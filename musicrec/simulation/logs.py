"""The logs of a simulated world before it had a recommender, in the form of source botify."""

import gzip
import json
from pathlib import Path

import numpy as np

from musicrec.files import replaced
from musicrec.progress import progress
from musicrec.simulation.sessions import random_policy, session
from musicrec.simulation.world import FILE, World

_DAY_MS, _TRACK_MS, _FIRST_MS = 86_400_000, 180_000, 1_767_225_600_000  # 2026-01-01
DAYS, SESSIONS = 28, 4


def write_logs(world: World, folder: Path) -> int:
    """Write data.json.gz, tracks.json.gz and the world itself to `folder`; returns the number of plays.

    Every user has about SESSIONS sessions within DAYS days, in which any track may come next. Raises StorageError when the folder cannot
    be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    plays = 0
    with replaced(folder / "data.json.gz") as partial, gzip.open(partial, "wt", compresslevel=3) as lines:
        for user in progress(range(world.users), "sessions", unit=" users"):
            rng = np.random.default_rng((world.seed, 10, user))
            for start in np.sort(rng.integers(0, DAYS * _DAY_MS, rng.integers(1, 2 * SESSIONS))):
                for at, one in enumerate(session(world, user, rng, random_policy(world, rng))):
                    row = {"user": user, "track": one.track, "timestamp": _FIRST_MS + int(start) + at * _TRACK_MS, "time": one.share}
                    lines.write(json.dumps(row) + "\n")
                    plays += 1
    with replaced(folder / "tracks.json.gz") as partial, gzip.open(partial, "wt", compresslevel=3) as lines:
        for track, artist in enumerate(world.artist_of):
            lines.write(json.dumps({"track": track, "title": f"Track {track}", "artist": f"Artist {artist}",
                                    "genre": f"Scene {world.scene_of[artist]}"}) + "\n")
    with replaced(folder / FILE) as partial:
        partial.write_text(world.to_json())
    return plays
