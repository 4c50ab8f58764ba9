"""What makes raw tables unusable, said in one sentence that names table, column and what to do."""

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
    """Turn what an engine says about a damaged file into DataError."""
    try:
        yield
    except (duckdb.Error, pa.ArrowException) as cause:
        raise DataError(f"The logs cannot be read: {first_line(cause)}; check the files that [data] names.") from cause


def first_line(cause: Exception) -> str:
    """The first line of an engine's message, without its full stop."""
    return str(cause).strip().splitlines()[0].rstrip(".") if str(cause).strip() else type(cause).__name__


def refuse_unusable(tracks: Table, interactions: Table) -> None:
    """Return nothing when both tables can be worked with; one pass over each. Raises DataError with the first thing that is wrong."""
    keys = ("user_id", "track_id", "track_seq", "started_at")
    known, played = _facts(tracks, ("track_id",)), _facts(interactions, keys)
    for name, facts in (("tracks", known), ("interactions", played)):
        if facts["rows"] == 0:
            raise DataError(f"{name} has no rows; check the file that [data] names.")
    _refuse_nulls("tracks", known, ("track_id",))
    _refuse_nulls("interactions", played, keys)
    _refuse_ids("tracks", "track_id", known)
    for column in ("user_id", "track_id"):
        _refuse_ids("interactions", column, played)
    _refuse_dates(played)
    _refuse_repeats(tracks)


def orphans(tracks: Table, interactions: Table) -> tuple[int, int]:
    """How many rows of interactions name a track that tracks lacks, and how many rows there are."""
    lost, played = (table.count().to_pyarrow().as_py() for table in (interactions.anti_join(tracks, "track_id"), interactions))
    return int(lost), int(played)


def _facts(table: Table, columns: tuple[str, ...]) -> dict[str, object]:
    measured = {"rows": table.count()}
    for column in columns:
        measured |= {f"{column} low": table[column].min(), f"{column} high": table[column].max(),
                     f"{column} nulls": table[column].isnull().sum()}
    row: dict[str, object] = table.aggregate(**measured).to_pyarrow().to_pylist()[0]
    return row


def _refuse_nulls(name: str, facts: dict[str, object], columns: tuple[str, ...]) -> None:
    for column in columns:
        if facts[f"{column} nulls"]:
            raise DataError(f"{name}: {facts[f'{column} nulls']:,} rows have no {column}; fill or remove them.")


def _refuse_ids(name: str, column: str, facts: dict[str, object]) -> None:
    low, high = facts[f"{column} low"], facts[f"{column} high"]
    assert isinstance(low, int)
    assert isinstance(high, int)
    if low < 0 or high > LARGEST_ID:
        raise DataError(f"{name}: column {column!r} holds {low if low < 0 else high}; ids must lie in 0..{LARGEST_ID}.")


def _refuse_dates(facts: dict[str, object]) -> None:
    for value in (facts["started_at low"], facts["started_at high"]):
        assert isinstance(value, datetime)
        if not EARLIEST <= value.replace(tzinfo=None) <= LATEST:
            raise DataError(f"interactions: column 'started_at' holds {value}; moments must lie in {EARLIEST:%Y}..{LATEST:%Y}.")


def _refuse_repeats(tracks: Table) -> None:
    counted = tracks.group_by("track_id").agg(times=tracks.count())
    repeated = counted.filter(counted.times > 1)
    first = repeated.aggregate(n=repeated.count(), example=repeated.track_id.min()).to_pyarrow().to_pylist()[0]
    if first["n"]:
        raise DataError(f"tracks: {first['n']:,} track ids occur more than once, for example {first['example']}; keep one row of each.")
