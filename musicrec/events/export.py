"""Export of stored plays and impressions as parquet files, from which the pipeline can learn."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from musicrec.events.protocol import EventStore, Impression, Key, Play
from musicrec.files import make_folder, writable, write_parquet
from musicrec.progress import progress
from musicrec.schema import EVENTS, LARGEST_ID, RAW_INTERACTIONS

_CHUNK = 100_000


def events(store: EventStore) -> pa.Table:
    """All plays with the columns of events.parquet, ordered by user_id and time, track_seq from 1 within a user.

    Memory: about 40 bytes per play.
    """
    users, items, moments = _sorted_plays(store)
    columns = {"user_id": users, "item_id": items, "track_seq": _places(users), "started_at": pa.array(moments, pa.timestamp("us")),
               "listened": np.ones(len(moments), np.int8)}
    return pa.table({name: columns[name] for name in EVENTS.required.names})


def interactions(store: EventStore) -> pa.Table:
    """All plays with the columns of raw interactions, which the pipeline can read in addition to the logs."""
    users, items, moments = _sorted_plays(store)
    columns = [users, items, pa.array(moments, pa.timestamp("us"))]
    return pa.table(dict(zip(RAW_INTERACTIONS.required.names, columns)))


def impressions(store: EventStore) -> pa.Table:
    """All impressions in the order in which they were stored: user_id, item_id, source, position (from 0), shown_at, run,
    recommendation_id, variant, propensity.
    """
    rows = [row for chunk in _chunks(store.impressions()) for row in chunk]
    users, items, *others = zip(*rows) if rows else ((),) * len(Impression._fields)
    kinds = (pa.string(), pa.int32(), pa.timestamp("us"), pa.string(), pa.string(), pa.string(), pa.float32())
    columns = [_keys([users]), _keys([items]), *map(pa.array, others, kinds)]
    return pa.table(dict(zip(Impression._fields, columns)))


def of_user(store: EventStore, user_id: Key) -> tuple[list[Play], list[Impression]]:
    """The plays of one user and what was shown to this user, in the order in which they were stored. Reads the whole logs."""
    return [row for row in store.plays() if row.user_id == user_id], [row for row in store.impressions() if row.user_id == user_id]


FORMS: dict[str, Callable[[EventStore], pa.Table]] = {"events": events, "interactions": interactions, "impressions": impressions}


def write(table: pa.Table, path: Path) -> None:
    """Write `table` to `path`, for its owner alone, completely or not at all. Raises StorageError when the file cannot be written."""
    with writable(path):
        make_folder(path.parent)
    write_parquet(table, path, private=True)


def _sorted_plays(store: EventStore) -> tuple[Any, Any, Any]:
    """users, items and moments by user and moment; plays at the same time keep their order."""
    chunks = [tuple(zip(*rows)) for rows in _chunks(store.plays())]
    users, items = (_keys([chunk[at] for chunk in chunks]) for at in range(2))
    moments = pa.array(np.concatenate([np.array(chunk[2], np.int64) for chunk in chunks]) if chunks else [], pa.int64())
    order = pc.sort_indices(pa.table({"user": users, "moment": moments}), [("user", "ascending"), ("moment", "ascending")])
    return users.take(order), items.take(order), moments.take(order)


def _keys(chunks: Sequence[Sequence[Key]]) -> pa.Array:
    """Whole numbers as int32, as int64 where one is larger; all as text where one is."""
    are_text = any(isinstance(key, str) for chunk in chunks for key in chunk)
    arrays = [pa.array(map(str, chunk) if are_text else chunk, pa.string() if are_text else pa.int64()) for chunk in chunks]
    found = pa.concat_arrays(arrays) if arrays else pa.array([], pa.int64())
    return found if are_text or (pc.max(found).as_py() or 0) > LARGEST_ID else found.cast(pa.int32())


def _places(column: pa.Array) -> Any:
    users = column.to_numpy(zero_copy_only=False)
    starts = np.flatnonzero(np.concatenate(([True], users[1:] != users[:-1]))) if len(users) else np.empty(0, np.int64)
    return np.arange(1, len(users) + 1, dtype=np.int32) - np.repeat(starts, np.diff(np.append(starts, len(users)))).astype(np.int32)


def _chunks(rows: Iterator[Any]) -> Iterator[list[Any]]:
    with progress(title="export", unit="row", unit_scale=True) as bar:
        while chunk := list(islice(rows, _CHUNK)):
            yield chunk
            bar.update(len(chunk))
