"""`python -m musicrec.predict [--run RUN_ID] [--users 1 2 3] [--k 10] --out lists.parquet`: lists from a published run, without training.

The recommender of the run (the current one without --run) is loaded from the artifacts and asked for these users, or for everybody it
knows. Unknown users get what cold users get.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from musicrec import registry, settings
from musicrec.errors import MusicRecError
from musicrec.lists import Writer
from musicrec.recommender import TwoStageRecommender
from musicrec.recommender.two_stage import int32_ids
from musicrec.registry import RECOMMENDER
from musicrec.runners import recommended
from musicrec.settings import Settings
from musicrec.storage import storage


def main(arguments: Sequence[str] | None = None) -> int:
    """0, or 1 after one sentence on stderr; 130 after Ctrl-C. An earlier file stays in both cases."""
    parser = argparse.ArgumentParser(prog="python -m musicrec.predict", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the parquet file to write: user_id, item_id, score, rank")
    parser.add_argument("--run", help="id of the run (default: the current one)")
    parser.add_argument("--users", type=int, nargs="+", help="ids of the users (default: everybody)")
    parser.add_argument("--k", type=int, default=100, help="length of the lists (default: %(default)s)")
    parser.add_argument("--config", type=Path, default=settings.CONFIG)
    asked = parser.parse_args(arguments)
    try:
        chosen = settings.load(asked.config)
        made = published_recommender(chosen, asked.run)
        rows = written(chosen, made, asked.users, asked.k, asked.out)
    except MusicRecError as cause:
        print(f"{type(cause).__name__}: {cause}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped by Ctrl-C; an earlier file is untouched.", file=sys.stderr)
        return 130
    print(f"{rows:,} rows of order {made.order} are in {asked.out}.")
    return 0


def published_recommender(chosen: Settings, run_id: str | None = None) -> TwoStageRecommender:
    """The recommender of a published run, None for the current one, its arrays memory-mapped.

    Raises ArtifactError for a run that is unknown, damaged or holds no recommender.
    """
    place = storage(chosen.artifacts.location, settings.s3_environment(chosen.path))
    run = registry.current(place) if run_id is None else registry.manifest(place, run_id)
    names = [name for name in run.files if name.startswith(f"{RECOMMENDER}/")] or [f"{RECOMMENDER}/{RECOMMENDER}.json"]
    return TwoStageRecommender.load(registry.fetch(place, run.run_id, names, chosen.artifacts.cache_folder) / RECOMMENDER)


def written(chosen: Settings, made: TwoStageRecommender, users: Sequence[int] | None, k: int, path: Path) -> int:
    """The lists of these users, ascending, or of everybody, as a parquet file; returns how many rows it has."""
    ids = made.fitted.train.user_ids if users is None else np.unique(int32_ids(users))
    with Writer(path, made.fitted.train.item_ids) as writer:
        for lists in recommended(made, ids, k, [made.order], chosen.batch_memory, chosen.engine.threads):
            writer.add(lists[made.order])
    return writer.rows


if __name__ == "__main__":
    sys.exit(main())
