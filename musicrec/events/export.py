"""Export of stored feedback and impressions as parquet files, from which the pipeline can learn."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from musicrec.events.protocol import BLOCK_ARTIST, BLOCK_ITEM, DISLIKE, NOBODY, PLAY, EventLogs, EventStream, Impression, Key, UserFeedback
from musicrec.files import make_folder, writable, write_parquet
from musicrec.progress import progress
from musicrec.schema import EVENTS, LARGEST_ID, RAW_INTERACTIONS

_CHUNK = 100_000
_NEW = 1_000_000


def events(store: EventLogs) -> pa.Table:
    """All feedback with the columns of events.parquet, ordered by user_id and time, track_seq from 1 within a user.

    played_share and feedback are there only where not all rows are plays of unknown length; blocks are dislikes. Memory: about 50 bytes a
    row.
    """
    rows = _sorted_feedback(store)
    users, n = rows["user_id"], rows.num_rows
    columns = {"user_id": users, "item_id": rows["item_id"], "track_seq": _places(users), "started_at": rows["started_at"],
               "listened": np.ones(n, np.int8)}
    return pa.table({name: columns[name] for name in EVENTS.required.names} | _told(rows))


def interactions(store: EventLogs) -> pa.Table:
    """The same with the columns of raw interactions, which the pipeline can read in addition to the logs; and recommendation_id where
    feedback names answers.
    """
    rows = _sorted_feedback(store)
    answers = {} if pc.max(rows["recommendation_id"]).as_py() in (None, "") else {"recommendation_id": rows["recommendation_id"]}
    return pa.table(dict(zip(RAW_INTERACTIONS.required.names, rows.columns)) | _told(rows) | answers)


def impressions(store: EventLogs) -> pa.Table:
    """All impressions in the order in which they were stored: user_id, item_id, source, position (from 0), shown_at, run,
    recommendation_id, variant, propensity, ms, outcome. user_id is null where it was nobody known, item_id for an empty list.
    """
    rows = [row for chunk in _chunks(store.impressions()) for row in chunk]
    users, items, *others = zip(*rows) if rows else ((),) * len(Impression._fields)
    kinds = (pa.string(), pa.int32(), pa.timestamp("us"), pa.string(), pa.string(), pa.string(), pa.float32(), pa.float32(),
             pa.string())
    columns = [_keys([[None if user == NOBODY else user for user in users]]), _keys([items]), *map(pa.array, others, kinds)]
    return pa.table(dict(zip(Impression._fields, columns)))


def of_user(store: EventLogs, user_id: Key) -> tuple[list[UserFeedback], list[Impression]]:
    """The feedback of one user and what was shown to this user, in the order in which they were stored. Reads the whole logs."""
    return [row for row in store.feedback() if row.user_id == user_id], [row for row in store.impressions() if row.user_id == user_id]


FORMS: dict[str, Callable[[EventLogs], pa.Table]] = {"events": events, "interactions": interactions, "impressions": impressions}


def write_new(stream: EventStream, form: Literal["interactions", "impressions"], folder: Path) -> int:
    """Write what no earlier call has written as files of at most _NEW rows of a log into `folder`; returns the number of rows.

    One call at a time. What a killed call has written and not yet noted is written again under the same name.
    """
    rows = 0
    for name, logs in stream.new_rows("impressions" if form == "impressions" else "feedback", _NEW):
        table = FORMS[form](logs)
        write(table, folder / f"{form}-{name}.parquet")
        rows += table.num_rows
    return rows


def write(table: pa.Table, path: Path) -> None:
    """Write `table` to `path`, for its owner alone, completely or not at all. Raises StorageError when the file cannot be written."""
    with writable(path):
        make_folder(path.parent)
    write_parquet(table, path, private=True)


def _sorted_feedback(store: EventLogs) -> pa.Table:
    """user_id, item_id, started_at, played_share, feedback, recommendation_id, by user and moment; rows of one time keep their
    order."""
    chunks = [tuple(zip(*rows)) for rows in _chunks(store.feedback())]
    users, items = (_keys([chunk[at] for chunk in chunks]) for at in range(2))
    moments, types, shares, answers = (pa.concat_arrays([pa.array([], kind), *(pa.array(chunk[at], kind) for chunk in chunks)])
                                       for at, kind in ((2, pa.int64()), (3, pa.string()), (4, pa.float32()), (6, pa.string())))
    feedback = pc.if_else(pc.is_in(types, pa.array([BLOCK_ITEM, BLOCK_ARTIST])), DISLIKE, types)
    rows = pa.table({"user_id": users, "item_id": items, "started_at": moments.cast(pa.timestamp("us")), "played_share": shares,
                     "feedback": feedback, "recommendation_id": answers})
    return rows.take(pc.sort_indices(rows, [("user_id", "ascending"), ("started_at", "ascending")])).combine_chunks()


def _told(rows: pa.Table) -> dict[str, Any]:
    # A log in which everything is a play says nothing about feedback, and models should learn from it as from one.
    plain = rows["played_share"].null_count == rows.num_rows and pc.all(pc.equal(rows["feedback"], PLAY)).as_py() is not False
    return {} if plain else {"played_share": rows["played_share"], "feedback": rows["feedback"]}


def _keys(chunks: Sequence[Sequence[Key | None]]) -> pa.Array:
    """Whole numbers as int32, as int64 where one is larger; all as text where one is."""
    are_text = any(isinstance(key, str) for chunk in chunks for key in chunk)
    arrays = [pa.array(chunk, pa.int64()) if not are_text else pa.array([key if key is None else str(key) for key in chunk], pa.string())
              for chunk in chunks]
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
