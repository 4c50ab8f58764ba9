"""Prepared tables onto the disk: streamed, in row groups, and either all three new files or the earlier ones."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from ibis.expr.types import Table

from musicrec.errors import DataError, StorageError
from musicrec.prepare.refusals import first_line
from musicrec.schema import EVENTS, GENRES, ITEMS, TableSchema

if TYPE_CHECKING:
    from musicrec.prepare import Prepared


def write(prepared: "Prepared", folder: Path) -> dict[str, int]:
    """Write items.parquet, events.parquet and genres.parquet into `folder` (made when missing) and return their row counts.

    events.parquet is ordered by user_id, started_at, track_seq, item_id; the statistics of its row groups let a reader take a
    range of users. Files appear under their names only when all three are whole; on failure or Ctrl-C the earlier ones stay.
    Raises StorageError when disk or memory end, DataError when the logs turn out unreadable on the way.
    """
    schemas = {"items": ITEMS, "events": EVENTS, "genres": GENRES}
    halves = {name: folder / f"{name}.parquet.part" for name in schemas}
    try:
        with _sentences(folder):
            folder.mkdir(parents=True, exist_ok=True)
            rows = {name: _written(getattr(prepared, name), schemas[name], half) for name, half in halves.items()}
            for half in halves.values():
                half.replace(half.with_suffix(""))
    finally:
        for half in halves.values():
            rmtree(half) if half.is_dir() else half.unlink(missing_ok=True)
    return rows


def _written(table: Table, schema: TableSchema, path: Path) -> int:
    table.to_parquet(path, compression="zstd")
    if path.is_dir():
        _merge(path, pa.schema([field for field in schema.arrow if field.name in table.columns]))
    rows: int = pq.read_metadata(path).num_rows
    return rows


def _merge(parts: Path, columns: pa.Schema) -> None:
    # Spark writes a folder of files whose names follow the order of rows.
    whole = parts.with_name(parts.name + ".whole")
    try:
        with pq.ParquetWriter(whole, columns, compression="zstd") as writer:
            for part in sorted(parts.glob("*.parquet")):
                for batch in pq.ParquetFile(part).iter_batches():
                    writer.write_table(pa.Table.from_batches([batch]).cast(columns))
        rmtree(parts)
        whole.replace(parts)
    finally:
        whole.unlink(missing_ok=True)


@contextmanager
def _sentences(folder: Path) -> Iterator[None]:
    try:
        yield
    except duckdb.OutOfMemoryException as cause:
        raise StorageError(f"The engine ran out of memory or of space for what it spills: {first_line(cause)}; "
                           "raise [engine] memory_limit or give [engine] temp_folder more space.") from cause
    except (duckdb.IOException, OSError) as cause:
        raise StorageError(f"{folder} cannot be written: {first_line(cause)}; free space or choose another folder.") from cause
    except (duckdb.Error, pa.ArrowException) as cause:
        raise DataError(f"The logs cannot be prepared: {first_line(cause)}; check the files that [data] names.") from cause
    except RuntimeError as cause:
        # DuckDB dresses Ctrl-C as an error of its own.
        if isinstance(cause.__cause__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise
