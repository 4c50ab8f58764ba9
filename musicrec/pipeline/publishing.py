"""The last stage: the tables that services need beside the lists, the models, and all of it published as one run."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from musicrec import __version__, artifacts, similar_items
from musicrec.artifacts import Manifest, RunInfo
from musicrec.candidates import GENERATORS
from musicrec.files import write_parquet
from musicrec.lists import Lists
from musicrec.pipeline.contending import Fitted
from musicrec.pipeline.reading import names
from musicrec.pipeline.workspace import Tables, Workspace
from musicrec.ranking import Ranker
from musicrec.schema import TOP_POPULAR
from musicrec.settings import s3_environment
from musicrec.storage import storage

MADE_BY = b"made_by"


def write_top_popular(work: Workspace, tables: Tables, made: Fitted) -> pd.DataFrame:
    """top_popular.parquet: the list for users without history, rank 1 first, made by the generator that [candidates] top_popular names.

    The name of that generator is kept in the file's metadata under `made_by`. Returns the table with names for reading.
    """
    name = work.settings.candidates.top_popular
    at_hand = {**made.baselines, **made.recommenders}
    recommender = at_hand.get(name) or work.settings.component(f"candidates.{name}", GENERATORS[name]).fit(made.history)
    lists = Lists(np.full(1, -1, np.int32), *recommender.recommend(np.full(1, -1, np.int32), work.settings.ranking.k))
    there = lists.items[0] >= 0
    places, scores = lists.items[0][there], lists.scores[0][there]
    ranked = pd.DataFrame({"rank": np.arange(1, len(places) + 1, dtype=np.int32), "item_id": made.history.item_ids[places],
                           "users": made.history.n_listeners[places], "score": scores})
    named = ranked.merge(names(tables, ranked["item_id"].to_numpy()), on="item_id", how="left")
    table = pa.Table.from_pandas(named[list(TOP_POPULAR.names)], TOP_POPULAR.arrow, preserve_index=False)
    write_parquet(table.replace_schema_metadata({MADE_BY: name.encode()}), work.folder / "top_popular.parquet")
    return named


def write_similar_items(work: Workspace, made: Fitted) -> Path:
    """similar.parquet: the tracks like each track, from ALS factors where als runs, listeners in common, and content."""
    als: Any = made.recommenders.get("als")
    found = similar_items.similar_items(made.history, None if als is None else als.item_factors, work.settings.similar_items.k)
    path = work.folder / "similar.parquet"
    similar_items.write(path, found, made.history.item_ids)
    return path


def write_models(work: Workspace, made: Fitted, ranker: Ranker) -> list[Path]:
    """als_model.npz, where als runs, and cb_model.cbm."""
    als: Any = made.recommenders.get("als")
    paths = [work.folder / "cb_model.cbm"]
    ranker.save(paths[0])
    if als is not None:
        paths.append(work.folder / "als_model.npz")
        als.save(paths[1])
    return paths


def published(work: Workspace, metrics: dict[str, Any], findings: pd.DataFrame) -> str:
    """Publish what the workspace holds and return the run id; the earlier run stays whole, also when this fails.

    Raises StorageError when the storage refuses and ArtifactError when a stage before this one has not run.
    """
    place = artifacts_storage(work)
    place.preflight()
    info = RunInfo(work.settings.model_dump(mode="json"), metrics, findings.to_dict("records"), __version__)
    return artifacts.publish(place, work.folder, info)


def current_manifest(work: Workspace) -> Manifest:
    """The manifest of the run that services load. Raises ArtifactError when nothing is published."""
    return artifacts.current(artifacts_storage(work))


def artifacts_storage(work: Workspace) -> Any:
    """The storage that [artifacts] location names, with the S3 secrets of the environment."""
    return storage(work.settings.artifacts.location, s3_environment(work.settings.path))
