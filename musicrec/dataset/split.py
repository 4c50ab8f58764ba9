"""Splits of a preprocessed log: train set and test set by a cutoff in time, a subset of the users, and a random hold-out.

The items of a train set are those that existed at its cutoff: items with a play before it, and items that the catalog dates before it.
A test set has the same columns first, then the items that came later, which nobody can recommend.
"""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from ibis.expr.types import Table
from numpy.typing import NDArray
from scipy import sparse

from musicrec.dataset.arrays import Float32, Int32, chunks, counts_by_row, positions_of_rows
from musicrec.dataset.building import Builder
from musicrec.dataset.catalog import Catalog
from musicrec.dataset.events import UserEvents, whole_users
from musicrec.dataset.feedback import learned_weights
from musicrec.dataset.interactions import Interactions, Repeats, TrainSet
from musicrec.dataset.times import moment
from musicrec.errors import SourceError, SplitError
from musicrec.files import parquet_in_parts
from musicrec.prefetching import ahead
from musicrec.progress import progress

_COLUMNS = ["user_id", "item_id", "started_at", "track_seq", "played_share", "feedback", "was_recommended"]


@dataclass(frozen=True)
class Dataset:
    """All plays and the whole catalog.

    events: the path of events.parquet, which is streamed, or a table with its columns, which is loaded into memory.
    The weight of a pair is its number of plays; with played_share or feedback the weight that feedback.learned_weights gives it.
    With was_recommended, pairs of a test set that a list has brought have no strength, see Interactions.unjudged.
    Plays of a user in the same second are kept one second apart, in the order of events.parquet, and never reach the cutoff.
    """

    events: Path | Table
    catalog: Catalog

    def train_set(self, cutoff: int | None = None, *, new_items: bool = False) -> TrainSet:
        """All plays before `cutoff` (seconds since 2000-01-01 UTC; all plays when None).

        new_items: keep all items of the catalog, also those that did not exist at the cutoff. Raises SplitError when no play is before
        the cutoff, DataError for an item that is not in the catalog.
        """
        return self.split(cutoff, cutoff, new_items=new_items)[0]

    def split(self, cutoff: int | None, end: int | None = None, *, new_items: bool = False) -> tuple[TrainSet, Interactions]:
        """The train set before `cutoff` and the test set from it to `end` (exclusive; to the last play when None), in one pass.

        The test set keeps items that its users have seen before the cutoff, and may be empty. Raises as train_set does.
        """
        expected, batches = self._stream()
        before, after = Builder(self.catalog.item_ids, expected), Builder(self.catalog.item_ids, 1 << 20)
        stop = np.iinfo(np.int32).max if cutoff is None else cutoff
        has_feedback = False
        for events in ahead(map(UserEvents.of, whole_users(batches))):
            has_feedback |= events.weights is not None or events.was_recommended is not None
            before.add(events.between(None, stop))
            if cutoff is not None and end != cutoff:
                after.add(events.judged().between(cutoff, end))
        past, future = (_with_strength(one.interactions()) if has_feedback else one.interactions() for one in (before, after))
        if not len(past.user_ids):
            raise SplitError(f"no play is before {moment(stop)}, so there is nothing to learn from; leave [split] test_start empty, "
                             f"or choose a time within the logs ({self.span()}).")
        last = int(past.last_played.max()) + 1 if cutoff is None else cutoff
        existing = np.ones(len(self.catalog), bool) if new_items else existing_items(self.catalog, past, last)
        return _train_set(past, self.catalog, existing, last), _existing_columns_first(future, existing)

    def span(self) -> str:
        """The times of the first and the last play as text, for messages."""
        _, batches = self._stream()
        times = (batch.column("started_at").cast(pa.timestamp("s"), safe=False) for batch in batches if batch.num_rows)
        extremes = [pc.min_max(part).as_py() for part in times]
        if not extremes:
            return "without any play"
        return f"from {min(one['min'] for one in extremes)} to {max(one['max'] for one in extremes)}"

    def _stream(self) -> tuple[int, Iterator[pa.RecordBatch]]:
        if not isinstance(self.events, Path):
            order = [name for name in ("user_id", "started_at", "track_seq", "item_id") if name in self.events.columns]
            events = self.events.select(*(name for name in _COLUMNS if name in self.events.columns)).order_by(*order).to_pyarrow()
            return events.num_rows, iter(events.to_batches())
        try:
            file = parquet_in_parts(self.events)
        except (OSError, pa.ArrowException) as cause:
            raise SourceError(f"{self.events} cannot be read: {str(cause).splitlines()[0]}; preprocess the logs again.") from None
        columns = [name for name in _COLUMNS if name in file.schema_arrow.names and name != "track_seq"]
        return file.metadata.num_rows, _with_progress(file, columns)


def existing_items(catalog: Catalog, past: Interactions, cutoff: int) -> NDArray[np.bool_]:
    """Which items of the catalog existed at the cutoff, bool (n_items,): those added or played before it."""
    played: NDArray[np.bool_] = past.n_listeners > 0
    return played if catalog.added_at is None else played | (catalog.added_at < cutoff)


def of_users(whole: Interactions, user_ids: NDArray[np.int32]) -> Interactions:
    """The interactions of these users; ids that are not in `whole` are ignored. O(n_users + plays of these users)."""
    rows = np.flatnonzero(np.isin(whole.user_ids, user_ids))
    return Interactions(*_rows(whole, rows))


def train_set_of_users(whole: TrainSet, user_ids: NDArray[np.int32]) -> TrainSet:
    """The train set with the plays of these users only, and all of its items."""
    rows = np.flatnonzero(np.isin(whole.user_ids, user_ids))
    return TrainSet(*_rows(whole, rows), catalog=whole.catalog, cutoff=whole.cutoff)


def with_all_items(train: TrainSet, catalog: Catalog) -> TrainSet:
    """The same interactions over all items of `catalog`, to which those of the train set belong. O(interactions)."""
    if len(catalog) == len(train.catalog):
        return train
    column = np.searchsorted(catalog.item_ids, train.item_ids).astype(np.int32)
    shape = (len(train.user_ids), len(catalog))
    matrix = sparse.csr_matrix((train.matrix.data, column[train.matrix.indices], train.matrix.indptr), shape=shape)
    return TrainSet(train.user_ids, matrix, train.last_played, train.repeats, train.strength, catalog=catalog, cutoff=train.cutoff)


def random_holdout(whole: TrainSet, fraction: float = 0.2, seed: int = 0) -> tuple[TrainSet, Interactions]:
    """`whole` without a random share of each user's items, and the interactions held out; together they are `whole`.

    Of a user's n items max(1, floor(fraction * n + 0.5)) are held out, none where n < 2, drawn by numpy's default_rng(seed) for one user
    after the other in ascending order. Items without any pair left cannot be recommended, as in a split in time.
    O(nnz), about ten microseconds per user. Raises SplitError when no user has two items.
    """
    rng = np.random.default_rng(seed)
    indptr = whole.matrix.indptr
    held = np.zeros(len(whole.last_played), bool)
    for start, n in zip(indptr[:-1].tolist(), whole.n_items_of_user.tolist()):
        if n >= 2:
            held[start + rng.choice(n, max(1, int(fraction * n + 0.5)), replace=False)] = True
    if not held.any():
        raise SplitError("no user has two different items, so nothing can be held out; use more of the logs.")
    kept, out = _where(whole, ~held), _where(whole, held)
    existing = existing_items(whole.catalog, kept, whole.cutoff)
    return _train_set(kept, whole.catalog, existing, whole.cutoff), _existing_columns_first(out, existing)


def _rows(whole: Interactions, rows: NDArray[np.intp]) -> tuple[Int32, sparse.csr_matrix, Int32, Repeats, Float32 | None]:
    _, entries = positions_of_rows(whole.matrix.indptr, rows)
    return (whole.user_ids[rows], whole.matrix[rows], whole.last_played[entries], _repeats_of(whole.repeats, entries),
            _strength_of(whole, entries))


def _where(whole: Interactions, entries: NDArray[np.bool_]) -> Interactions:
    matrix = whole.matrix
    counts = counts_by_row(entries, matrix.indptr)
    filled = counts > 0
    indptr = np.concatenate([[0], np.cumsum(counts[filled])])
    chosen = sparse.csr_matrix((matrix.data[entries], matrix.indices[entries], indptr), shape=(int(filled.sum()), matrix.shape[1]))
    return Interactions(whole.user_ids[filled], chosen, whole.last_played[entries], _repeats_of(whole.repeats, np.flatnonzero(entries)),
                        _strength_of(whole, entries))


def _strength_of(whole: Interactions, entries: NDArray[np.int64] | NDArray[np.bool_]) -> Float32 | None:
    return None if whole.strength is None else whole.strength[entries]


def _repeats_of(repeats: Repeats, entries: NDArray[np.int64]) -> Repeats:
    """The repeats of the pairs at these positions, in any order; the pairs of the result are positions in `entries`."""
    if not len(repeats.pairs) or not len(entries):
        return Repeats()
    position = np.minimum(np.searchsorted(repeats.pairs, entries), len(repeats.pairs) - 1)
    found = np.flatnonzero(repeats.pairs[position] == entries)
    position = position[found]
    counts = np.diff(repeats.starts)[position]
    ends = np.cumsum(counts)
    times = repeats.times[np.repeat(repeats.starts[:-1][position] - (ends - counts), counts) + np.arange(int(counts.sum()))]
    return Repeats(found.astype(np.int32), np.concatenate([[0], ends]).astype(np.int32), times)


def _train_set(past: Interactions, catalog: Catalog, existing: NDArray[np.bool_], cutoff: int) -> TrainSet:
    """`past` with the existing items as its only columns and the weights that are learned from; the matrix is changed in place."""
    matrix = past.matrix
    if past.strength is not None:
        matrix.data[:] = learned_weights(past.strength, past.n_plays, matrix.indptr)
    if not existing.all():
        column = (np.cumsum(existing) - 1).astype(np.int32)
        for chunk in chunks(matrix.nnz):
            matrix.indices[chunk] = column[matrix.indices[chunk]]
        matrix = sparse.csr_matrix((matrix.data, matrix.indices, matrix.indptr), shape=(matrix.shape[0], int(existing.sum())))
    return TrainSet(past.user_ids, matrix, past.last_played, past.repeats, past.strength, catalog=catalog.where(existing), cutoff=cutoff)


def _with_strength(raw: Interactions) -> Interactions:
    """The interactions with the mean strength of each pair, whose sum is its weight so far, and plays as weights; as they are where all
    plays count alike.
    """
    plays = raw.n_plays
    if (raw.matrix.data == plays).all():
        return raw
    strength = raw.matrix.data / plays
    raw.matrix.data[:] = plays
    return dataclasses.replace(raw, strength=strength)


def _existing_columns_first(later: Interactions, existing: NDArray[np.bool_]) -> Interactions:
    if existing.all() or not later.matrix.nnz:
        return later
    n, matrix = int(existing.sum()), later.matrix
    column = np.where(existing, np.cumsum(existing) - 1, n + np.cumsum(~existing) - 1).astype(np.int32)[matrix.indices]
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    order = np.lexsort((column, rows))
    moved = sparse.csr_matrix((matrix.data[order], column[order], matrix.indptr), shape=matrix.shape)
    return Interactions(later.user_ids, moved, later.last_played[order], _repeats_of(later.repeats, order),
                        _strength_of(later, order))


def _with_progress(file: pq.ParquetFile, columns: list[str]) -> Iterator[pa.RecordBatch]:
    with progress(title="reading events", total=file.metadata.num_rows, unit="event") as bar:
        for batch in file.iter_batches(1 << 20, columns=columns):
            yield batch
            bar.update(batch.num_rows)
