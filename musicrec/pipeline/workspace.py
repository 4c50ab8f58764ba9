"""The place where a run is made: settings, an engine, a folder, and the tables that every stage reads."""

import dataclasses
import json
import logging
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
from ibis.expr.types import Table

from musicrec import engine, preprocess, registry
from musicrec.dataset import Dataset, catalog
from musicrec.errors import SettingsError, StorageError
from musicrec.features import FEATURES, FeatureGroup
from musicrec.files import make_folder
from musicrec.keys import RunKeys, identity_keys, read_key_lines
from musicrec.models import MODELS, Model
from musicrec.pipeline.stages import Stages
from musicrec.ranking import Constraints, RankerSettings
from musicrec.recommender import TwoStageRecommender
from musicrec.settings import Settings, s3_environment
from musicrec.sources import SOURCES, Earlier, RawTables
from musicrec.storage import artifacts_storage
from musicrec.storage.copying import local_copy

log = logging.getLogger(__name__)
ACCOUNT = "account.json"


@dataclass(frozen=True)
class Workspace:
    """Settings, the engine they ask for, the folder that holds what a run makes until it is published, and what its stages took."""

    settings: Settings
    connection: Any
    folder: Path
    stages: Stages = dataclasses.field(default_factory=Stages)


@dataclass(frozen=True)
class Tables:
    """The preprocessed tables as Ibis expressions over their files, the dataset that is cut from them, and what was left out on the way."""

    items: Table
    events: Table
    genres: Table
    dataset: Dataset
    report: tuple[str, ...]

    def names(self, item_ids: Iterable[int]) -> pd.DataFrame:
        """item_id, name, artists, albums and genres (lists of names) of these items, in any order; unknown ids are left out."""
        chosen = self.items.filter(self.items.item_id.isin([int(item) for item in item_ids]))
        rows: pd.DataFrame = chosen.select("item_id", "name", "artists", "albums", "genres").to_pyarrow().to_pandas()
        return rows

    def titled(self, rows: pd.DataFrame, item: str = "item_id") -> pd.DataFrame:
        """`rows` with name, artists and genres behind the column `item` of item ids, the lists as text for reading."""
        known = self.names(rows[item].unique()).set_index("item_id").reindex(rows[item])
        place, titled = rows.columns.get_loc(item) + 1, rows.copy()
        for shift, column in enumerate(("name", "artists", "genres")):
            text = known[column].to_numpy() if column == "name" else [", ".join(names) for names in known[column]]
            titled.insert(place + shift, column, text)
        return titled


def workspace(settings: Settings) -> Workspace:
    """A workspace; settings of every model and feature group are checked before any work begins.

    Raises SettingsError for a model or source that does not exist or a bad key, StorageError when the folder cannot be made.
    """
    refuse_unknown_parts(settings)
    recommender(settings)
    folder = settings.data.work_folder
    try:
        make_folder(folder)
    except OSError as cause:
        raise StorageError(f"{folder} cannot be made: {cause.strerror}; choose another [data] work_folder.") from None
    return Workspace(settings, engine.connect(**settings.engine_options), folder)


def refuse_unknown_parts(settings: Settings) -> None:
    """Raises SettingsError for a model, feature group or source that is named in the settings and does not exist."""
    registries: dict[str, Collection[str]] = {"candidates": MODELS, "features": FEATURES, "sources": SOURCES}
    chosen = settings.candidates
    named = [("candidates", "[candidates]", name) for name in (*chosen.baselines, *chosen.models)]
    named += [("candidates", f"[candidates] {key}", getattr(chosen, key)) for key in ("top_popular", "familiar")]
    named.append(("sources", "[data] source", settings.data.source))
    named += [("features", "[ranking] features", name) for name in settings.ranking.features]
    named += [(section.split(".")[0], f"section [{section}]", section.split(".", 1)[1]) for section in settings.components]
    for kind, where, name in named:
        if name not in registries.get(kind, ()):
            there = ", ".join(registries.get(kind, registries))
            raise SettingsError(f"{settings.path}: {where} names {name!r}, which does not exist; there are {there}.")
        if where.startswith("[candidates]") and getattr(MODELS[name], "only_seen", False) != (where == "[candidates] familiar"):
            raise SettingsError(f"{settings.path}: {where} names {name!r}; models of seen items, such as relisten, belong in [candidates] "
                                "familiar, all others do not.")


def recommender(settings: Settings) -> TwoStageRecommender:
    """The recommender that the settings describe, not fitted, without a ranker."""
    chosen, ranking = settings.candidates, settings.ranking
    features: dict[str, FeatureGroup] = {name: settings.component(f"features.{name}", FEATURES[name]) for name in ranking.features}
    constraints = Constraints(ranking.max_per_artist, ranking.min_tail_share, ranking.exploration, ranking.seed, ranking.artist_decay)
    return TwoStageRecommender(
        {name: model(settings, name) for name in dict.fromkeys(chosen.models)}, features,
        {name: model(settings, name) for name in dict.fromkeys(chosen.baselines) if name not in chosen.models},
        constraints=constraints, candidates_per_model=chosen.candidates_per_model, max_candidates=chosen.max_candidates)


def model(settings: Settings, name: str) -> Model:
    """A model with what its own section sets."""
    made: Model = settings.component(f"candidates.{name}", MODELS[name])
    return made


def ranker_settings(settings: Settings) -> RankerSettings:
    """What [ranking] says about CatBoost."""
    ranking = settings.ranking
    return RankerSettings(ranking.loss, ranking.iterations, ranking.depth, ranking.learning_rate, ranking.l2_leaf_reg,
                          ranking.early_stopping_rounds, settings.engine.threads, ranking.seed, ranking.n_seeds)


def raw_tables(work: Workspace) -> RawTables:
    """The logs that [data] names, read by its source and checked, with further_plays behind them and without excluded users.

    Logs in a bucket are copied into the workspace first.
    Keys keep the ids of the current run. The account of what was read is logged and written into the workspace. Raises DataError for bad
    logs.
    """
    data = work.settings.data
    kind: Any = SOURCES[data.source]
    own = {field.name for field in dataclasses.fields(kind)}
    folder = local_copy(data.folder, s3_environment(work.settings.path), work.folder / "logs")
    given = {**{name: getattr(data, name) for name in ("tracks", "catalog_names", "interactions", "max_bad_share")}, "folder": folder}
    shared = {name: value for name, value in given.items() if name in own}
    source = work.settings.component(f"sources.{data.source}", kind, **shared)
    excluded = read_key_lines(Path(data.excluded)) if data.excluded else frozenset[str]()
    earlier = Earlier(current_keys(work), Path(data.further_plays) if data.further_plays else None, excluded)
    raw: RawTables = source.read(work.connection, earlier)
    if work.settings.split.judge_recommended and "was_recommended" in raw.interactions.columns:
        raw = dataclasses.replace(raw, interactions=raw.interactions.drop("was_recommended"))
    for sentence in raw.account.sentences():
        log.info(sentence)
    (work.folder / ACCOUNT).write_text(json.dumps(raw.account.record()))
    return raw


def current_keys(work: Workspace) -> RunKeys:
    """The keys of the run that services load; none where nothing is published. Raises ArtifactError for a damaged run."""
    return registry.run_keys(artifacts_storage(work.settings), work.folder / "current")


def preprocessed_tables(work: Workspace, raw: RawTables) -> Tables:
    """items, events and genres, written into the workspace and opened again."""
    data = work.settings.data
    made = preprocess.preprocessed(raw.tracks, raw.catalog_names, raw.interactions, only_complete_tracks=data.only_complete_tracks,
                            keep_every=data.keep_every, max_orphan_share=data.max_orphan_share)
    preprocess.write(made, work.folder, data.extended_columns)
    items, events, genres = (work.connection.read_parquet(work.folder / f"{name}.parquet") for name in ("items", "events", "genres"))
    columns = ["item_id", "genre_ids", "artist_ids", "album_ids"]
    file = pq.ParquetFile(work.folder / "items.parquet")
    columns += [name for name in ("added_at",) if name in file.schema_arrow.names]
    dataset = Dataset(work.folder / "events.parquet", catalog(file.read(columns)))
    _keys(work, raw, items, events).write(work.folder)
    return Tables(items, events, genres, dataset, made.report)


def _keys(work: Workspace, raw: RawTables, items: Table, events: Table) -> RunKeys:
    if raw.keys is not None:
        return raw.keys
    users = events.select("user_id").distinct().to_pyarrow()["user_id"].to_numpy()
    own, earlier = RunKeys(identity_keys(users), identity_keys(items.item_id.to_pyarrow().to_numpy())), current_keys(work)
    return dataclasses.replace(earlier, user=earlier.user.joined(own.user, "user"), item=earlier.item.joined(own.item, "item"))
