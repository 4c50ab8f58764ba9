"""Writing the preprocessed tables: streamed, in row groups, all files or none."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from musicrec.dataset import Int32
from musicrec.errors import DataError, StorageError
from musicrec.files import make_folder, parquet_in_parts
from musicrec.preprocess.checks import first_line
from musicrec.preprocess.streaming import ListenerCounts, ordered_parts, user_ranges
from musicrec.preprocess.tables import plays_by_month
from musicrec.progress import progress
from musicrec.schema import EVENTS, GENRES, ITEMS, PLAYS_BY_MONTH

if TYPE_CHECKING:
    from musicrec.preprocess import Preprocessed

GROUP_ROWS = 250_000
RANGE_ITEMS = 200_000


def write(preprocessed: "Preprocessed", folder: Path, extended_columns: bool = False) -> dict[str, int]:
    """Write items, events, genres and plays_by_month, each a .parquet, into `folder`, which is created when missing, and return their
    row counts.

    events.parquet is ordered by user_id, started_at, track_seq, item_id; the statistics of its row groups (at most 250,000 rows) allow
    reading a range of users. Events are computed in ranges of about four million, and listeners are counted along the way.
    extended_columns: events also get num_users_norm of their item, which takes one more pass.
    The files appear under their names when all are complete; on an error or Ctrl-C earlier files stay.
    Raises StorageError when disk or memory is exhausted, DataError when the logs cannot be read.
    """
    partials = {name: folder / f"{name}.parquet.part" for name in ("items", "events", "genres", "plays_by_month", "listeners")}
    try:
        with _converted_errors(folder):
            make_folder(folder)
            listeners = _write_events(preprocessed, partials["events"])
            pq.write_table(listeners, partials["listeners"])
            pq.write_table(preprocessed.genres.to_pyarrow().cast(GENRES.arrow), partials["genres"], compression="zstd")
            _write_items(preprocessed, listeners["track_id"].to_numpy(), partials)
            _write_plays_by_month(preprocessed, partials)
            if extended_columns:
                _add_num_users_norm(partials["events"], listeners)
            partials.pop("listeners").unlink()
            rows = {name: pq.read_metadata(partial).num_rows for name, partial in partials.items()}
            for partial in partials.values():
                partial.replace(partial.with_suffix(""))
    finally:
        for partial in partials.values():
            partial.unlink(missing_ok=True)
    return rows


def _write_events(preprocessed: "Preprocessed", path: Path) -> pa.Table:
    events = preprocessed.events
    columns = pa.schema([field for field in EVENTS.arrow if field.name in events.columns])
    ranges = user_ranges(events)
    ids = preprocessed.item_ids.to_pyarrow().sort_by("track_id")["track_id"].to_numpy().astype(np.int32)
    listeners = ListenerCounts(ids)
    with pq.ParquetWriter(path, columns, compression="zstd", use_dictionary=["listened"]) as writer, \
            progress(title="events", total=sum(rows for *_, rows in ranges), unit="event") as bar:
        for part in ordered_parts(events, ranges):
            listeners.add(part)
            writer.write_table(part.cast(columns), row_group_size=GROUP_ROWS)
            bar.update(part.num_rows)
    return listeners.table()


def _write_plays_by_month(preprocessed: "Preprocessed", partials: dict[str, Path]) -> None:
    events = preprocessed.events.get_backend().read_parquet(partials["events"])
    counted = plays_by_month(events).to_pyarrow().cast(PLAYS_BY_MONTH.arrow)
    pq.write_table(counted, partials["plays_by_month"], compression="zstd", row_group_size=GROUP_ROWS // 10)


def _add_num_users_norm(path: Path, listeners: pa.Table) -> None:
    ids, norms = listeners["track_id"].to_numpy(), listeners["num_users_norm"].to_numpy().astype(np.float32)
    extended = path.with_name(f"extended_{path.name}")
    try:
        with parquet_in_parts(path) as events, pq.ParquetWriter(
                extended, events.schema_arrow.append(EVENTS.arrow.field("num_users_norm")), compression="zstd") as writer:
            for group in range(events.num_row_groups):
                part = events.read_row_group(group)
                writer.write_table(part.append_column("num_users_norm", pa.array(norms[np.searchsorted(ids, part["item_id"].to_numpy())])))
        extended.replace(path)
    finally:
        extended.unlink(missing_ok=True)


def _write_items(preprocessed: "Preprocessed", ids: Int32, partials: dict[str, Path]) -> None:
    listeners, by_genre = (preprocessed.events.get_backend().read_parquet(partials[name]) for name in ("listeners", "genres"))
    columns = ITEMS.arrow if "added_at" in preprocessed.item_columns else ITEMS.required
    with pq.ParquetWriter(partials["items"], columns, compression="zstd") as writer, \
            progress(title="items", total=len(ids), unit="item") as bar:
        for start in range(0, len(ids), RANGE_ITEMS):
            part = ids[start:start + RANGE_ITEMS]
            table = preprocessed.items_of(listeners, by_genre, int(part[0]), int(part[-1])).to_pyarrow()
            writer.write_table(table.cast(columns), row_group_size=GROUP_ROWS // 10)
            bar.update(table.num_rows)


@contextmanager
def _converted_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except (duckdb.OutOfMemoryException, duckdb.IOException) as cause:
        if isinstance(cause, duckdb.IOException) and "write" not in str(cause):
            raise DataError(f"The logs cannot be preprocessed: {first_line(cause)}; check the files that [data] names.") from cause
        raise StorageError(f"The engine ran out of memory or of space for temporary files: {first_line(cause)}; "
                           "raise [engine] memory_limit or give [engine] temp_folder more space.") from cause
    except OSError as cause:
        raise StorageError(f"{folder} cannot be written: {first_line(cause)}; free space or choose another folder.") from cause
    except (duckdb.Error, pa.ArrowException) as cause:
        raise DataError(f"The logs cannot be preprocessed: {first_line(cause)}; check the files that [data] names.") from cause
    except RuntimeError as cause:
        # DuckDB wraps KeyboardInterrupt in a RuntimeError.
        if isinstance(cause.__cause__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise
