"""Checks of the raw tables; each error is one sentence that names table, column and what to do."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import duckdb
import pyarrow as pa
from ibis.expr.types import Table

from musicrec.errors import DataError
from musicrec.schema import EARLIEST, LARGEST_ID, LATEST


@contextmanager
def readable() -> Iterator[None]:
    """Convert an engine's error while reading to DataError."""
    try:
        yield
    except (duckdb.Error, pa.ArrowException) as cause:
        raise DataError(f"The logs cannot be read: {first_line(cause)}; check the files that [data] names.") from cause


def first_line(cause: Exception) -> str:
    """The first line of an engine's message, without the final period."""
    return str(cause).strip().splitlines()[0].rstrip(".") if str(cause).strip() else type(cause).__name__


def check_raw_tables(tracks: Table, interactions: Table) -> None:
    """Raise DataError for empty tables, missing values, ids and times out of range, and repeated track ids. One pass over each table."""
    keys = ("user_id", "track_id", "track_seq", "started_at")
    of_tracks, of_interactions = _statistics(tracks, ("track_id",)), _statistics(interactions, keys)
    for name, statistics in (("tracks", of_tracks), ("interactions", of_interactions)):
        if statistics["rows"] == 0:
            raise DataError(f"{name} has no rows; check the file that [data] names.")
    _check_nulls("tracks", of_tracks, ("track_id",))
    _check_nulls("interactions", of_interactions, keys)
    _check_ids("tracks", "track_id", of_tracks)
    for column in ("user_id", "track_id"):
        _check_ids("interactions", column, of_interactions)
    _check_times(of_interactions)
    _check_unique(tracks)


def orphans(tracks: Table, interactions: Table) -> tuple[int, int]:
    """The number of rows of interactions whose track is not in tracks, and the number of all rows."""
    n_orphans, n_plays = (table.count().to_pyarrow().as_py() for table in (interactions.anti_join(tracks, "track_id"), interactions))
    return int(n_orphans), int(n_plays)


def _statistics(table: Table, columns: tuple[str, ...]) -> dict[str, object]:
    aggregates = {"rows": table.count()}
    for column in columns:
        aggregates |= {f"{column} low": table[column].min(), f"{column} high": table[column].max(),
                     f"{column} nulls": table[column].isnull().sum()}
    row: dict[str, object] = table.aggregate(**aggregates).to_pyarrow().to_pylist()[0]
    return row


def _check_nulls(name: str, statistics: dict[str, object], columns: tuple[str, ...]) -> None:
    for column in columns:
        if statistics[f"{column} nulls"]:
            raise DataError(f"{name}: {statistics[f'{column} nulls']:,} rows have no {column}; fill or remove them.")


def _check_ids(name: str, column: str, statistics: dict[str, object]) -> None:
    low, high = statistics[f"{column} low"], statistics[f"{column} high"]
    assert isinstance(low, int)
    assert isinstance(high, int)
    if low < 0 or high > LARGEST_ID:
        raise DataError(f"{name}: column {column!r} holds {low if low < 0 else high}; ids must be in 0..{LARGEST_ID}.")


def _check_times(statistics: dict[str, object]) -> None:
    for value in (statistics["started_at low"], statistics["started_at high"]):
        assert isinstance(value, datetime)
        if not EARLIEST <= value.replace(tzinfo=None) <= LATEST:
            raise DataError(f"interactions: column 'started_at' holds {value}; times must be in {EARLIEST:%Y}..{LATEST:%Y}.")


def _check_unique(tracks: Table) -> None:
    counted = tracks.group_by("track_id").agg(times=tracks.count())
    repeated = counted.filter(counted.times > 1)
    first = repeated.aggregate(n=repeated.count(), example=repeated.track_id.min()).to_pyarrow().to_pylist()[0]
    if first["n"]:
        raise DataError(f"tracks: {first['n']:,} track ids occur more than once, for example {first['example']}; keep one row per track.")
