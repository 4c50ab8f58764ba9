"""Export of stored plays and impressions as parquet files, from which the pipeline can learn."""

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from musicrec.events.protocol import EventStore
from musicrec.files import writable, write_parquet
from musicrec.progress import progress
from musicrec.schema import EVENTS, RAW_INTERACTIONS

_CHUNK = 100_000


def events(store: EventStore) -> pa.Table:
    """All plays with the columns of events.parquet, ordered by user_id and time, track_seq from 1 within a user.

    Memory: about 40 bytes per play.
    """
    users, items, moments = _sorted_plays(store)
    columns = [users, items, _places(users), moments, np.ones(len(users), np.int8)]
    kind = EVENTS.required
    return pa.table([pa.array(column, field.type) for column, field in zip(columns, kind)], schema=kind)


def interactions(store: EventStore) -> pa.Table:
    """All plays with the columns of raw interactions, which the pipeline can read in addition to the logs."""
    users, items, moments = _sorted_plays(store)
    kind = RAW_INTERACTIONS.required
    return pa.table([pa.array(column, field.type) for column, field in zip([users, items, moments], kind)], schema=kind)


def impressions(store: EventStore) -> pa.Table:
    """All impressions: user_id, item_id, source, position (from 0), shown_at; in the order in which they were stored."""
    kind = pa.schema([("user_id", pa.int32()), ("item_id", pa.int32()), ("source", pa.string()), ("position", pa.int32()),
                      ("shown_at", pa.timestamp("us"))])
    chunks = [pa.table([pa.array(column, field.type) for column, field in zip(zip(*rows), kind)], schema=kind)
              for rows in _chunks(store.impressions())]
    return pa.concat_tables(chunks) if chunks else kind.empty_table()


FORMS: dict[str, Callable[[EventStore], pa.Table]] = {"events": events, "interactions": interactions, "impressions": impressions}


def write(table: pa.Table, path: Path) -> None:
    """Write `table` to `path`, completely or not at all. Raises StorageError when the file cannot be written."""
    with writable(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_parquet(table, path)


def _sorted_plays(store: EventStore) -> tuple[Any, Any, Any]:
    chunks = [np.array(rows, np.int64) for rows in _chunks(store.plays())]
    users, items, moments = (np.concatenate(chunks) if chunks else np.empty((0, 3), np.int64)).T
    order = np.lexsort((moments, users))  # stable: plays at the same time keep their order
    return users[order].astype(np.int32), items[order].astype(np.int32), moments[order]


def _places(users: Any) -> Any:
    starts = np.flatnonzero(np.concatenate(([True], users[1:] != users[:-1]))) if len(users) else np.empty(0, np.int64)
    return np.arange(1, len(users) + 1, dtype=np.int32) - np.repeat(starts, np.diff(np.append(starts, len(users)))).astype(np.int32)


def _chunks(rows: Iterator[Any]) -> Iterator[list[Any]]:
    with progress(title="export", unit="row", unit_scale=True) as bar:
        while chunk := list(islice(rows, _CHUNK)):
            yield chunk
            bar.update(len(chunk))
