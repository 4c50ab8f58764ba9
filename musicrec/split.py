"""Cutoffs in time: the history that generators learn from, label windows for the ranker, and the future that judges them.

A random hold-out per user stands beside them, for logs whose dates mean little.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from ibis.expr.types import Table
from numpy.typing import NDArray
from scipy import sparse
from tqdm import tqdm

from musicrec.errors import SourceError, SplitError
from musicrec.matrix import Batch, Catalogue, History, Plays, kept_of_rows, plays_from_batches

_COLUMNS = ["user_id", "item_id", "started_at", "played_share"]
_US_A_MINUTE = 60_000_000


@dataclass(frozen=True)
class Window:
    """Days from start to end, end exclusive."""

    start: date
    end: date


def windows(test_start: date, label_days: int, label_windows: int) -> list[Window]:
    """Label windows back to back, the latest last and ending at test_start.

    >>> [str(window.start) for window in windows(date(2022, 12, 16), 15, 2)]
    ['2022-11-16', '2022-12-01']
    """
    edges = [test_start - timedelta(days=label_days * back) for back in range(label_windows, -1, -1)]
    return [Window(start, end) for start, end in pairwise(edges)]


def windows_of_share(plays_of_day: Mapping[date, int], test_start: date, share: float, label_windows: int) -> list[Window]:
    """Label windows back to back before test_start, the latest last, each of the fewest whole days that hold `share` of all plays before.

    So a window is long where plays are thin. Days at the beginning that do not fill a window are none.

    >>> [str(window.start) for window in windows_of_share({date(2022, 1, day): 5 for day in range(1, 11)}, date(2022, 1, 11), 0.2, 3)]
    ['2022-01-05', '2022-01-07', '2022-01-09']
    """
    before = {day: plays for day, plays in plays_of_day.items() if day < test_start}
    least, held, edges = share * sum(before.values()), 0, [test_start]
    for day in sorted(before, reverse=True):
        held += before[day]
        if held >= least and len(edges) <= label_windows:
            edges.append(day)
            held = 0
    return [Window(start, end) for start, end in pairwise(reversed(edges))]


def latest_windows(windows: Sequence[Window], users: Sequence[int], wanted: int) -> list[Window]:
    """The fewest latest windows in which `wanted` users play, counted window by window; never fewer than two where there are two.

    users: how many play in each window. Every window costs a fit of everything, and many users need no second one to learn from.

    >>> three = windows(date(2022, 12, 16), 15, 3)
    >>> [len(latest_windows(three, [70, 80, 90], wanted)) for wanted in (50, 200, 900)]
    [2, 3, 3]
    """
    kept = min(2, len(windows))
    while kept < len(windows) and sum(users[-kept:]) < wanted:
        kept += 1
    return list(windows[len(windows) - kept:])


def minute(day: date) -> int:
    """Minutes from 1970-01-01 UTC to the first instant of `day`.

    >>> minute(date(1970, 1, 2))
    1440
    """
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) // 60


def history(events: Table | Path, catalogue: Catalogue, cutoff: date | None) -> History:
    """All plays before the first instant of `cutoff` (all there are when None), as every generator and feature sees them.

    events: the path of events.parquet, streamed, or a table with its columns, which is brought into memory ordered by user_id.
    The weight of a pair is its number of plays, or the sum of played_share where the table has it (a missing share counts 1).
    Raises SplitError when no event lies before the cutoff, DataError for items that the catalogue lacks.
    """
    end = None if cutoff is None else minute(cutoff)
    made = _plays(events, catalogue, None, end)
    if not len(made.user_ids):
        raise SplitError(f"no event lies before {cutoff}, so there is nothing to learn from; choose a later [split] test_start "
                         f"(the events run {_span(events)}).")
    last = int(made.minutes.max()) + 1 if end is None else end
    return History(made.user_ids, made.matrix, made.minutes, catalogue, last)


def labels(events: Table | Path, catalogue: Catalogue, start: date, end: date | None = None) -> Plays:
    """All plays from the first instant of `start` to before `end` (to the last event when None); users without any are left out.

    Heard items are not removed: a repeat of something in the history stays in. Raises as history does.
    """
    made = _plays(events, catalogue, minute(start), None if end is None else minute(end))
    if not len(made.user_ids):
        until = "" if end is None else f" and before {end}"
        raise SplitError(f"no event lies at or after {start}{until}, so nobody is left to judge on; choose an earlier [split] test_start "
                         f"(the events run {_span(events)}).")
    return made


def random_holdout(whole: History, fraction: float = 0.2, seed: int = 0) -> tuple[History, Plays]:
    """`whole` without a random part of every user's items, and that part; together they are `whole`.

    Of a user's n items max(1, floor(fraction * n + 0.5)) are held out, none where n < 2; drawn by numpy's default_rng(seed),
    user after user in ascending order. O(entries), and about ten microseconds a user.
    Raises SplitError when no user has two items.
    """
    rng = np.random.default_rng(seed)
    indptr = whole.matrix.indptr
    held = np.zeros(len(whole.minutes), bool)
    for start, n in zip(indptr[:-1].tolist(), whole.n_items_of_user.tolist()):
        if n >= 2:
            held[start + rng.choice(n, max(1, int(fraction * n + 0.5)), replace=False)] = True
    if not held.any():
        raise SplitError("no user has two different items, so nothing can be held out; use more of the logs.")
    kept, out = _chosen(whole, ~held), _chosen(whole, held)
    return History(kept.user_ids, kept.matrix, kept.minutes, whole.catalogue, whole.cutoff), out


def of_users(whole: Plays, user_ids: NDArray[np.int32]) -> Plays:
    """The plays of these users alone; ids that `whole` lacks are passed over. O(users + plays of the users)."""
    rows = np.flatnonzero(np.isin(whole.user_ids, user_ids))
    starts, sizes = whole.matrix.indptr[rows].astype(np.int64), whole.n_items_of_user[rows]
    entries = np.repeat(starts - (np.cumsum(sizes) - sizes), sizes) + np.arange(sizes.sum())
    return Plays(whole.user_ids[rows], whole.matrix[rows], whole.minutes[entries])


def _chosen(whole: Plays, entries: NDArray[np.bool_]) -> Plays:
    matrix = whole.matrix
    counts = kept_of_rows(entries, matrix.indptr)
    there = counts > 0
    indptr = np.concatenate([[0], np.cumsum(counts[there])])
    chosen = sparse.csr_matrix((matrix.data[entries], matrix.indices[entries], indptr), shape=(int(there.sum()), matrix.shape[1]))
    return Plays(whole.user_ids[there], chosen, whole.minutes[entries])


def _plays(events: Table | Path, catalogue: Catalogue, start: int | None, end: int | None) -> Plays:
    expected, batches = _stream(events)
    between = (_between(batch, start, end) for batch in batches)
    return plays_from_batches(between, catalogue.item_ids, expected)


def _stream(events: Table | Path) -> tuple[int, Iterator[pa.RecordBatch]]:
    if not isinstance(events, Path):
        table = events.select(*(name for name in _COLUMNS if name in events.columns)).order_by("user_id").to_pyarrow()
        return table.num_rows, iter(table.to_batches())
    try:
        file = pq.ParquetFile(events)
    except (OSError, pa.ArrowException) as cause:
        raise SourceError(f"{events} cannot be read: {str(cause).splitlines()[0]}; prepare the logs again.") from None
    return file.metadata.num_rows, _with_progress(file, [name for name in _COLUMNS if name in file.schema_arrow.names])


def _with_progress(file: pq.ParquetFile, columns: list[str]) -> Iterator[pa.RecordBatch]:
    with tqdm(total=file.metadata.num_rows, desc="matrix", unit="event", unit_scale=True, disable=None) as bar:
        for batch in file.iter_batches(1 << 20, columns=columns):
            yield batch
            bar.update(batch.num_rows)


def _between(batch: pa.RecordBatch, start: int | None, end: int | None) -> Batch:
    moments = batch.column("started_at").cast(pa.timestamp("us")).to_numpy(zero_copy_only=False)
    minutes = (moments.view(np.int64) // _US_A_MINUTE).astype(np.int32)
    there = np.ones(len(minutes), bool)
    if start is not None:
        there &= minutes >= start
    if end is not None:
        there &= minutes < end
    users, items = (batch.column(name).to_numpy()[there].astype(np.int32, copy=False) for name in ("user_id", "item_id"))
    weights = None
    if "played_share" in batch.schema.names:
        weights = batch.column("played_share").fill_null(1.0).to_numpy(zero_copy_only=False)[there].astype(np.float32, copy=False)
    return Batch(users, items, minutes[there], weights)


def _span(events: Table | Path) -> str:
    _, batches = _stream(events)
    days = [np.asarray(batch.column("started_at").to_numpy(zero_copy_only=False)).astype("datetime64[D]") for batch in batches]
    days = [day for day in days if len(day)]
    return f"from {min(day.min() for day in days)} to {max(day.max() for day in days)}" if days else "nowhere"
