"""The place where a run is made: settings, an engine, a folder, and the tables that every stage reads."""

import dataclasses
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from ibis.expr.types import Table

from musicrec import engine, prepare, split
from musicrec.candidates import GENERATORS, Generator
from musicrec.errors import SettingsError, StorageError
from musicrec.features import FEATURES
from musicrec.matrix import Catalogue, History, Plays, catalogue
from musicrec.pipeline.stages import Stages
from musicrec.settings import Settings
from musicrec.sources import SOURCES, RawTables, with_further_plays


@dataclass(frozen=True)
class Workspace:
    """Settings, the engine they ask for, the folder that holds what a run makes until it is published, and what its stages took."""

    settings: Settings
    connection: Any
    folder: Path
    stages: Stages = dataclasses.field(default_factory=Stages)


@dataclass(frozen=True)
class Tables:
    """The prepared tables as Ibis expressions over their files, the catalogue in memory, and what was left out on the way."""

    items: Table
    events: Table
    genres: Table
    catalogue: Catalogue
    report: tuple[str, ...]


def workspace(settings: Settings) -> Workspace:
    """A workspace whose settings of every generator and feature group are checked before any work begins.

    Raises SettingsError for a generator or source that does not exist or a bad key, StorageError when the folder cannot be made.
    """
    refuse_unknown_parts(settings)
    generators(settings)
    features(settings)
    folder = settings.data.work_folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as cause:
        raise StorageError(f"{folder} cannot be made: {cause.strerror}; choose another [data] work_folder.") from None
    limits = settings.engine
    connection = engine.connect(limits.name, memory_limit=limits.memory_limit, threads=limits.threads, temp_folder=limits.temp_folder)
    return Workspace(settings, connection, folder)


def refuse_unknown_parts(settings: Settings) -> None:
    """Raises SettingsError for a generator, feature group or source that is named in the settings and does not exist."""
    registries: dict[str, Collection[str]] = {"candidates": GENERATORS, "features": FEATURES, "sources": SOURCES}
    named = [("candidates", "[candidates]", name) for name in named_generators(settings)]
    named.append(("candidates", "[candidates] top_popular", settings.candidates.top_popular))
    named.append(("sources", "[data] source", settings.data.source))
    named += [("features", "[ranking] features", name) for name in settings.ranking.features]
    named += [(section.split(".")[0], f"section [{section}]", section.split(".", 1)[1]) for section in settings.components]
    for kind, where, name in named:
        if name not in registries.get(kind, ()):
            there = ", ".join(registries.get(kind, registries))
            raise SettingsError(f"{settings.path}: {where} names {name!r}, which musicrec/{kind} does not have; there are {there}.")


def named_generators(settings: Settings) -> tuple[str, ...]:
    """Names of the baselines, then of the generators, each once."""
    return tuple(dict.fromkeys((*settings.candidates.baselines, *settings.candidates.generators)))


def generators(settings: Settings) -> dict[str, Generator]:
    """The baselines and generators that [candidates] names, each with its own section applied, in the order named."""
    return {name: settings.component(f"candidates.{name}", GENERATORS[name]) for name in named_generators(settings)}


def features(settings: Settings) -> dict[str, Any]:
    """The feature groups that [ranking] names, each with its own section applied."""
    return {name: settings.component(f"features.{name}", FEATURES[name]) for name in settings.ranking.features}


def raw_tables(work: Workspace) -> RawTables:
    """The logs that [data] names, read by its source and checked, with further_plays behind them. Raises DataError for bad logs."""
    data = work.settings.data
    kind: Any = SOURCES[data.source]
    own = {field.name for field in dataclasses.fields(kind)}
    shared = {name: getattr(data, name) for name in ("folder", "tracks", "catalog_names", "interactions") if name in own}
    source = work.settings.component(f"sources.{data.source}", kind, **shared)
    raw: RawTables = source.read(work.connection)
    return with_further_plays(raw, Path(data.further_plays), work.connection) if data.further_plays else raw


def prepared_tables(work: Workspace, raw: RawTables) -> Tables:
    """items, events and genres, written into the workspace and opened again."""
    data = work.settings.data
    made = prepare.prepared(raw.tracks, raw.catalog_names, raw.interactions, only_complete_tracks=data.only_complete_tracks,
                            keep_every=data.keep_every, max_orphan_share=data.max_orphan_share)
    prepare.write(made, work.folder)
    items, events, genres = (work.connection.read_parquet(work.folder / f"{name}.parquet") for name in ("items", "events", "genres"))
    columns = ["item_id", "genre_ids", "artist_ids", "album_ids"]
    return Tables(items, events, genres, catalogue(pq.read_table(work.folder / "items.parquet", columns=columns)), made.report)


def history(work: Workspace, tables: Tables, cutoff: date) -> History:
    """All plays before `cutoff`."""
    return split.history(work.folder / "events.parquet", tables.catalogue, cutoff)


def labels(work: Workspace, tables: Tables, start: date, end: date | None) -> Plays:
    """All plays from `start` up to `end`, exclusive; None: to the last."""
    return split.labels(work.folder / "events.parquet", tables.catalogue, start, end)


def label_windows(work: Workspace, tables: Tables) -> list[split.Window]:
    """The label windows before test_start that [split] asks for, with label_days = 0 by what the logs hold a day.

    Early ones are left out where the later ones have more users than [ranking] max_training_users anyway (split.latest_windows).
    """
    plan = work.settings.split
    windows = split.windows(plan.test_start, plan.label_days, plan.label_windows) if plan.label_days else _by_share(work, tables)
    users = [_users_within(tables.events, window) for window in windows]
    return split.latest_windows(windows, users, work.settings.ranking.max_training_users)


def _by_share(work: Workspace, tables: Tables) -> list[split.Window]:
    plan = work.settings.split
    by_day = tables.events.group_by(day=tables.events.started_at.date()).aggregate(plays=lambda rows: rows.count()).to_pyarrow()
    plays = dict(zip(by_day["day"].to_pylist(), by_day["plays"].to_pylist()))
    return split.windows_of_share(plays, plan.test_start, plan.label_share, plan.label_windows)


def _users_within(events: Table, window: split.Window) -> int:
    days = events.started_at.date()
    users: int = events.filter((days >= window.start) & (days < window.end)).user_id.nunique().to_pyarrow().as_py()
    return users
