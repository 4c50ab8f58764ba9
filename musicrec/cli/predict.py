"""`musicrec predict`: lists from a published run, without training."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from musicrec.cli.options import Config
from musicrec.cli.stopping import stoppable
from musicrec.errors import DataError
from musicrec.storage import artifacts_storage

if TYPE_CHECKING:
    from musicrec.recommender import TwoStageRecommender
    from musicrec.settings import Settings


def predict(out: Annotated[Path, typer.Option(help="Parquet file to write: user_id, item_id, score, rank.")],
            run: Annotated[str | None, typer.Option(help="Id of the run. [default: the current one]")] = None,
            users: Annotated[list[int] | None, typer.Option(help="A user; give it several times. [default: everybody]")] = None,
            users_file: Annotated[Path | None, typer.Option(help="Text file with one user id a line.")] = None,
            k: Annotated[int, typer.Option("-k", "--k", min=1, help="Length of the lists.")] = 100,
            config: Config = None) -> None:
    """Write lists from a published run. Unknown users get what cold users get.

    \b
    musicrec predict --out lists.parquet
    musicrec predict --out lists.parquet --users 617032 --users 99 -k 10
    """
    from musicrec import settings

    chosen = settings.load(config)
    asked = [*(users or []), *(_ids(users_file) if users_file else [])]
    with stoppable("an earlier file is untouched."):
        made = published_recommender(chosen, run)
        rows = write_lists(chosen, made, asked or None, k, out)
    print(f"{rows:,} rows, ordered by {made.order}, are in {out}.")


def published_recommender(chosen: "Settings", run_id: str | None = None) -> "TwoStageRecommender":
    """The recommender of a published run, None for the current one, its arrays memory-mapped.

    Raises ArtifactError for a run that is unknown, damaged or holds no recommender.
    """
    from musicrec import registry
    from musicrec.recommender import TwoStageRecommender
    from musicrec.registry import RECOMMENDER

    place = artifacts_storage(chosen)
    run = registry.current(place) if run_id is None else registry.manifest(place, run_id)
    names = [name for name in run.files if name.startswith(f"{RECOMMENDER}/")] or [f"{RECOMMENDER}/{RECOMMENDER}.json"]
    return TwoStageRecommender.load(registry.fetch(place, run.run_id, names, chosen.artifacts.cache_folder) / RECOMMENDER)


def write_lists(chosen: "Settings", made: "TwoStageRecommender", users: Sequence[int] | None, k: int, path: Path) -> int:
    """The lists of these users, ascending, or of everybody, as a parquet file; returns how many rows it has."""
    import numpy as np

    from musicrec.lists import Writer
    from musicrec.recommender.two_stage import int32_ids
    from musicrec.runners import recommended

    ids = made.fitted.train.user_ids if users is None else np.unique(int32_ids(users))
    with Writer(path, made.fitted.train.item_ids) as writer:
        for lists in recommended(made, ids, k, [made.order], chosen.batch_memory, chosen.engine.threads):
            writer.add(lists[made.order])
    return writer.rows


def _ids(path: Path) -> list[int]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as cause:
        raise DataError(f"{path} cannot be read: {cause}; give a text file with one user id a line.") from None
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.strip().isdecimal():
            raise DataError(f"{path}, line {number}: {line.strip()[:50]!r} is not a user id; give one whole number a line.")
    return [int(line) for line in lines if line.strip()]
