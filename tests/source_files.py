"""Files of logs for tests, and what a source makes of them."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
import pyarrow.parquet as pq

from musicrec.sources import SOURCES, Earlier, RawTables
from musicrec.sources.raw import Example


def stored(folder: Path, files: Example) -> Path:
    """`folder` with the files: text, or the rows of a parquet file."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            path.write_text(content, encoding="utf-8", newline="")
        else:
            pq.write_table(pa.Table.from_pylist([dict(row) for row in content]), path)
    return folder


def read(source: str, folder: Path, earlier: Earlier | None = None, **options: Any) -> RawTables:
    """The raw tables of a folder, on a fresh engine."""
    kind: Any = SOURCES[source]
    if "work" in kind.__dataclass_fields__:
        options = {"work": folder.parent / "work", **options}
    tables: RawTables = kind(folder=folder, **options).read(ibis.duckdb.connect(), earlier or Earlier())
    return tables


def plays(found: RawTables) -> list[tuple[str, str, datetime]]:
    """(key of the user, key of the track, time) of every play, by user and place in the user's history."""
    rows = found.interactions.order_by("user_id", "track_seq").to_pyarrow().to_pylist()
    users, items = ({}, {}) if found.keys is None else (_keys(found.keys.user), _keys(found.keys.item))
    return [(users.get(row["user_id"], str(row["user_id"])), items.get(row["track_id"], str(row["track_id"])), row["started_at"])
            for row in rows]


def column(found: RawTables, name: str) -> list[Any]:
    """One column of the plays, by user and place in the user's history."""
    values: list[Any] = found.interactions.order_by("user_id", "track_seq").to_pyarrow()[name].to_pylist()
    return values


def names(found: RawTables, kind: str) -> set[str]:
    """The names of tracks, albums, artists or genres in the catalog."""
    rows = found.catalog_names.filter(found.catalog_names.type == kind).to_pyarrow()
    return set(rows["name"].to_pylist())


def _keys(table: Any) -> Mapping[int, str]:
    return dict(zip(table.ids.tolist(), table.keys.to_pylist()))
