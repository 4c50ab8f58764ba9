"""Checks of parquet tables before an engine reads them; each error is one sentence that names the file and what is wrong."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from musicrec.errors import SourceError
from musicrec.files import parquet_in_parts
from musicrec.progress import progress
from musicrec.schema import EARLIEST, LARGEST_ID, LATEST, TableSchema, check
from musicrec.sources.account import FileCount

_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_DAMAGED = "{} is damaged or truncated ({}); download it again."


@dataclass(frozen=True)
class ParquetTable:
    """A table in one parquet file, or in the files of a folder as Spark writes them."""

    path: Path
    files: tuple[pq.ParquetFile, ...]

    @property
    def readable(self) -> str:
        """What an engine's read_parquet takes."""
        return str(self.path / "*.parquet") if self.path.is_dir() else str(self.path)

    @property
    def num_rows(self) -> int:
        """Rows in all files."""
        return sum(int(file.metadata.num_rows) for file in self.files)

    def count(self) -> FileCount:
        """What the table holds, for an account: every row is read."""
        paths = sorted(self.path.glob("*.parquet")) if self.path.is_dir() else [self.path]
        return FileCount(self.path.name, sum(path.stat().st_size for path in paths), self.num_rows, self.num_rows)

    def batches(self, columns: list[str]) -> Iterator[pa.RecordBatch]:
        """The columns of all rows under a progress bar. Raises SourceError for a damaged file."""
        with progress(title=f"check {self.path.name}", total=self.num_rows, unit=" rows") as bar:
            try:
                for file in self.files:
                    for batch in file.iter_batches(1 << 20, columns=columns):
                        yield batch
                        bar.update(batch.num_rows)
            except (pa.ArrowException, OSError) as cause:
                raise SourceError(_DAMAGED.format(self.path, " ".join(str(cause).split())[:120])) from cause


def opened(path: Path, schema: TableSchema) -> ParquetTable:
    """The table at `path`, a file or a folder of files, which has the columns of `schema`.

    Raises SourceError when it is missing, not parquet or truncated, SchemaError when a column is missing or has the wrong type.
    """
    paths = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    if path.is_dir() and not paths:
        raise SourceError(f"{path} is a folder without .parquet files; set [data] folder and file names.")
    files = tuple(_opened(one, schema) for one in paths)
    for one, file in zip(paths, files):
        check(file.schema_arrow, schema, str(one))
    return ParquetTable(path, files)


def _opened(path: Path, schema: TableSchema) -> pq.ParquetFile:
    if not path.is_file():
        raise SourceError(f"{path} does not exist; set [data] folder and file names, or run `make data` or `make demo` first.")
    try:
        return parquet_in_parts(path)
    except (pa.ArrowException, OSError) as cause:
        with path.open("rb") as start:
            is_parquet = start.read(4) == b"PAR1"
        if is_parquet:
            raise SourceError(_DAMAGED.format(path, "its last part is missing or unreadable")) from cause
        raise SourceError(f"{path} is not a parquet file; expected table {schema.name!r}.") from cause


def check_not_empty(table: ParquetTable) -> None:
    """Raise SourceError when the table has no rows."""
    if table.num_rows == 0:
        raise SourceError(f"{table.path} has no rows; expected at least one.")


def check_ranges(table: ParquetTable, ids: tuple[str, ...], times: tuple[str, ...] = ()) -> None:
    """Raise SourceError for negative ids, ids beyond int32, and times beyond the range of nanosecond timestamps.

    Reads the named columns once, batch by batch: about 2 s for 100 million rows, memory of one batch.
    """
    for batch in table.batches([*ids, *times]):
        for column in ids:
            low, high = _extremes(batch.column(column))
            if low < 0:
                raise SourceError(f"{table.path}: column {column!r} holds {low}; ids must be 0 or more.")
            if high > LARGEST_ID:
                raise SourceError(f"{table.path}: column {column!r} holds {high}; ids must be at most {LARGEST_ID}, renumber them.")
        for column in times:
            _check_times(batch.column(column), column, table.path)


def check_unique(table: ParquetTable, column: str) -> None:
    """Raise SourceError when an id occurs in two rows. The whole column is in memory: for catalogs, not for events."""
    ids = np.sort(pa.chunked_array([_plain(batch.column(0)) for batch in table.batches([column])]).to_numpy())
    repeated = np.unique(ids[1:][ids[1:] == ids[:-1]])
    if len(repeated):
        raise SourceError(f"{table.path}: {len(repeated)} values of {column!r} occur in several rows, the first is {repeated[0]}; "
                          f"keep one row per value.")


def _plain(column: pa.Array) -> pa.Array:
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _extremes(column: pa.Array) -> tuple[int, int]:
    found = pc.min_max(_plain(column))
    low, high = found["min"].as_py(), found["max"].as_py()
    return (0, 0) if low is None else (low, high)


def _check_times(column: pa.Array, name: str, path: Path) -> None:
    column = _plain(column)
    is_date = pa.types.is_date(column.type)
    ticks = column.cast(pa.date32()).cast(pa.int32()).cast(pa.int64()) if is_date else column.cast(pa.int64())
    per_day = 1 if is_date else 86400 * _PER_SECOND[column.type.unit]
    first, last = ((limit - datetime(1970, 1, 1)).days * per_day for limit in (EARLIEST, LATEST))
    outside = pc.sum(pc.or_(pc.less(ticks, first), pc.greater(ticks, last))).as_py()
    if outside:
        raise SourceError(f"{path}: column {name!r} holds {outside} or more times outside {EARLIEST:%Y-%m-%d} .. {LATEST:%Y-%m-%d}, "
                          f"the range of timestamps; repair or remove these rows.")
