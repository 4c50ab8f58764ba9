"""`musicrec predict`: lists from a published run, without training."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from musicrec.cli.options import Config, loaded, published_at
from musicrec.cli.stopping import stoppable
from musicrec.errors import DataError

if TYPE_CHECKING:
    from musicrec.keys import KeyTable, RunKeys
    from musicrec.lists import Lists
    from musicrec.recommender import TwoStageRecommender
    from musicrec.settings import Settings
    from musicrec.settings.sections import Mode


def predict(out: Annotated[Path, typer.Option(help="Parquet file to write, also s3://bucket/file: user_id, item_id, score, rank.")],
            run: Annotated[str | None, typer.Option(help="Id of the run. [default: the current one]")] = None,
            users: Annotated[list[str] | None, typer.Option(
                help="A user, by key or id; give it several times. [default: everybody]")] = None,
            users_file: Annotated[Path | None, typer.Option(help="Text file with one user a line.")] = None,
            keys: Annotated[bool, typer.Option("--keys", help="Write user_key and item_key as well, as the logs have them.")] = False,
            k: Annotated[int, typer.Option("-k", "--k", min=1, help="Length of the lists.")] = 100,
            mode: Annotated[Literal["new", "familiar", "mixed"], typer.Option(
                help="Tracks new to the user, the user's own, or both.")] = "new",
            config: Config = None) -> None:
    """Write lists from a published run. Unknown users get what cold users get.

    \b
    musicrec predict --out lists.parquet
    musicrec predict --out lists.parquet --users 617032 --users 99 -k 10
    """
    from musicrec import registry, settings
    from musicrec.storage.copying import location_of, written

    chosen = loaded(config)
    asked = [*(users or []), *(_lines(users_file) if users_file else [])]
    with stoppable("an earlier file is untouched."):
        folder, made = published_recommender(chosen, run)
        known = registry.run_keys(published_at(chosen), chosen.artifacts.cache_folder, run)
        with written(out, settings.s3_environment(chosen.path), chosen.data.work_folder) as path:
            rows = write_lists(chosen, made, folder, _ids(asked, known.user) if asked else None, k, path, mode)
            if keys:
                add_keys(path, known)
    ordered = f"ordered by {made.order}" if mode == "new" else f"{mode} tracks"
    print(f"{rows:,} rows, {ordered}, are in {location_of(out)}.")


def published_recommender(chosen: "Settings", run_id: str | None = None) -> tuple[Path, "TwoStageRecommender"]:
    """The folder with the recommender of a published run, None for the current one, and the recommender, its arrays memory-mapped.

    Raises ArtifactError for a run that is unknown, damaged or holds no recommender.
    """
    from musicrec import registry
    from musicrec.recommender import TwoStageRecommender
    from musicrec.registry import RECOMMENDER

    place = published_at(chosen)
    run = registry.current(place) if run_id is None else registry.manifest(place, run_id)
    names = [name for name in run.files if name.startswith(f"{RECOMMENDER}/")] or [f"{RECOMMENDER}/{RECOMMENDER}.json"]
    folder = registry.fetch(place, run.run_id, names, chosen.artifacts.cache_folder) / RECOMMENDER
    return folder, TwoStageRecommender.load(folder)


def add_keys(path: Path, keys: "RunKeys") -> None:
    """Put user_key and item_key before the columns of a file of lists, a part of it at a time."""
    import pyarrow.parquet as pq

    from musicrec.files import parquet_in_parts, replaced

    with parquet_in_parts(path) as lists, replaced(path) as partial:
        writer = None
        for group in range(lists.num_row_groups):
            table = lists.read_row_group(group)
            for name, of in (("item_key", keys.item), ("user_key", keys.user)):
                table = table.add_column(0, name, of.keys_of(table[name.replace("key", "id")].to_numpy()))
            writer = writer or pq.ParquetWriter(partial, table.schema, compression="zstd")
            writer.write_table(table)
        if writer is not None:
            writer.close()


def write_lists(chosen: "Settings", made: "TwoStageRecommender", saved: Path, users: Sequence[int] | None, k: int, path: Path,
                mode: "Mode" = "new") -> int:
    """The lists of these users, ascending, or of everybody, as a parquet file; returns how many rows it has.

    saved: the folder from which the recommender was loaded.
    """
    import numpy as np

    from musicrec import engine
    from musicrec.lists import Writer
    from musicrec.recommender.two_stage import int32_ids
    from musicrec.runners import RUNNERS, Shared
    from musicrec.storage import scratch_storage

    ids = made.fitted.train.user_ids if users is None else np.unique(int32_ids(users))
    scratch = scratch_storage(chosen, path.with_name(f"{path.name}.lists"))
    shared = Shared(lambda: engine.connect(**chosen.engine_options), lambda: saved, scratch)
    in_mode = _in_mode(chosen, made, mode)
    with Writer(path, made.fitted.train.item_ids) as writer:
        for lists in RUNNERS[chosen.engine.name](made, ids, k, [made.order], chosen.batch_memory, chosen.engine.threads, shared):
            writer.add(in_mode(lists[made.order]))
    return writer.rows


def _in_mode(chosen: "Settings", made: "TwoStageRecommender", mode: "Mode") -> "Callable[[Lists], Lists]":
    """What makes lists of this mode of lists of new tracks. Raises DataError where nobody has played a track twice."""
    from musicrec.lists import Lists
    from musicrec.pipeline.all_plays import familiar_model, has_repeats, mixed_lists

    train, share = made.fitted.train, chosen.blending.familiar_share
    if mode == "new":
        return lambda new: new
    if not has_repeats(train):
        raise DataError(f"--mode {mode} needs plays of one track by one user at several times, which this run has not learned from.")
    own = familiar_model(chosen, train)

    def of_mode(new: Lists) -> Lists:
        familiar = Lists(new.user_ids, *own.recommend_with_seen(train.user_index(new.user_ids), new.items.shape[1]))
        return familiar if mode == "familiar" else mixed_lists(familiar, new, share)
    return of_mode


def _lines(path: Path) -> list[str]:
    try:
        return [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as cause:
        raise DataError(f"{path} cannot be read: {cause}; give a text file with one user a line.") from None


def _ids(users: Sequence[str], keys: "KeyTable") -> list[int]:
    """Ids of users given by key or id. Raises DataError for text that is no key of the run: a list needs an id."""
    found = keys.ids_of(keys.canonical(users)).tolist()
    unknown = [user for user, known in zip(users, found) if known < 0 and not (user.strip().isdecimal() and user.isascii())]
    if unknown:
        raise DataError(f"{unknown[0][:50]!r} is no user of this run; give keys of user_keys.parquet, or whole numbers for unknown users.")
    return [known if known >= 0 else int(user) for user, known in zip(users, found)]
