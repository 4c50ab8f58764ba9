"""Recommendation lists: k items and scores per user, as two aligned arrays, and files of them, written batch by batch."""

import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from musicrec.dataset import Float32, Int32, index_of
from musicrec.files import replaced, writable
from musicrec.schema import PERSONAL

EMPTY = np.int32(-1)


@dataclass(frozen=True)
class Lists:
    """k recommendations for each of n users.

    user_ids: int32 (n,). items: item indices int32 (n, k), best first, -1 where fewer exist (only at the end of a row).
    scores: float32 (n, k), descending; equal scores are ordered by ascending item index; -inf beside -1.
    """

    user_ids: Int32
    items: Int32
    scores: Float32

    def __len__(self) -> int:
        return len(self.user_ids)

    def top(self, k: int) -> "Lists":
        """The first k columns."""
        return Lists(self.user_ids, self.items[:, :k], self.scores[:, :k])

    def without(self, pairs: NDArray[np.int64]) -> "Lists":
        """The lists without some items, whose places go to the next ones; pairs: user id << 32 | item index.

        >>> two = Lists(np.array([7], np.int32), np.array([[5, 6]], np.int32), np.array([[2, 1]], np.float32))
        >>> two.without(np.array([7 << 32 | 5])).items.tolist()
        [[6, -1]]
        """
        gone = np.isin(self.user_ids[:, None].astype(np.int64) << 32 | self.items, pairs)
        order = np.argsort(gone, axis=1, kind="stable")
        items, scores = np.where(gone, EMPTY, self.items), np.where(gone, np.float32(-np.inf), self.scores)
        return Lists(self.user_ids, np.take_along_axis(items, order, 1), np.take_along_axis(scores, order, 1))


class FittedModel(Protocol):
    """A model fitted to a train set, which recommends to batches of users."""

    def recommend(self, user_index: Int32, k: int) -> tuple[Int32, Float32]:
        """Item indices int32 (n, k) and scores float32 (n, k) for rows of the train set; row -1 is a cold user."""
        ...


def empty(n: int, k: int) -> tuple[Int32, Float32]:
    """Empty lists for n users: items -1, scores -inf.

    >>> empty(1, 2)[0].tolist()
    [[-1, -1]]
    """
    return np.full((n, k), EMPTY, np.int32), np.full((n, k), -np.inf, np.float32)


def table(lists: Lists, item_ids: Int32) -> pa.Table:
    """Rows (user_id, item_id, score, rank) of `lists` in their order, with ids instead of indices; ranks begin at 1."""
    n, k = lists.items.shape
    filled = lists.items >= 0
    users = np.broadcast_to(lists.user_ids[:, None], (n, k))[filled]
    ranks = np.broadcast_to(np.arange(1, k + 1, dtype=np.int32), (n, k))[filled]
    columns = [users, item_ids[lists.items[filled]], lists.scores[filled], ranks]
    return pa.table([pa.array(column) for column in columns], schema=PERSONAL.arrow)


class ListsFile:
    """A file of lists, which appears when its `with` block ends without an error; until then an earlier file stays."""

    def __init__(self, path: Path, item_ids: Int32) -> None:
        self.path, self.item_ids, self.rows = path, item_ids, 0

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._open(stack.enter_context(replaced(self.path)))
            stack.callback(self._close)  # before the file is renamed
            self._stack = stack.pop_all()
        return self

    def add(self, lists: Lists) -> None:
        """Append a batch. For a sorted file, the users of later batches must have higher ids."""
        with writable(self.path):
            self.rows += self._append(lists)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.__exit__(kind, error, trace)

    def _open(self, partial: Path) -> None:
        raise NotImplementedError

    def _append(self, lists: Lists) -> int:
        raise NotImplementedError

    def _close(self) -> None:
        raise NotImplementedError


class Writer(ListsFile):
    """Writes lists to a parquet file, one row group per batch; a context manager, see ListsFile.

    Raises StorageError when the file cannot be written.
    """

    def _open(self, partial: Path) -> None:
        self._writer = pq.ParquetWriter(partial, PERSONAL.arrow, compression="zstd")

    def _append(self, lists: Lists) -> int:
        rows = table(lists, self.item_ids)
        self._writer.write_table(rows)
        return int(rows.num_rows)

    def _close(self) -> None:
        self._writer.close()


class JsonLinesWriter(ListsFile):
    """Writes lists as JSON lines `{"user": 7, "tracks": [50, 20]}`, best first; otherwise like Writer.

    Users without recommendations have an empty list.
    """

    def _open(self, partial: Path) -> None:
        self._file = partial.open("w", encoding="utf-8")

    def _append(self, lists: Lists) -> int:
        for user, items in zip(lists.user_ids.tolist(), lists.items):
            self._file.write(json.dumps({"user": user, "tracks": self.item_ids[items[items >= 0]].tolist()}) + "\n")
        return len(lists)

    def _close(self) -> None:
        self._file.close()


def write(path: Path, batches: Iterable[Lists], item_ids: Int32) -> int:
    """Write the batches to `path` with a Writer and return the number of rows."""
    with Writer(path, item_ids) as writer:
        for batch in batches:
            writer.add(batch)
    return writer.rows


def read(path: Path, item_ids: Int32, k: int) -> Lists:
    """The lists written to `path`, cut at rank k, users ascending. Items that are not in `item_ids` become -1."""
    stored = pq.read_table(path, filters=[("rank", "<=", k)])
    users, rows = np.unique(stored["user_id"].to_numpy(), return_inverse=True)
    items, scores = empty(len(users), k)
    column = stored["rank"].to_numpy() - 1
    items[rows, column] = index_of(item_ids, stored["item_id"].to_numpy())
    scores[rows, column] = stored["score"].to_numpy()
    return Lists(users.astype(np.int32), items, scores)


def batches(model: FittedModel, user_ids: Int32, user_index: Int32, k: int, size: int) -> Iterator[Lists]:
    """Lists for all users, `size` users at a time, in the order given."""
    for start in range(0, len(user_ids), size):
        part = slice(start, start + size)
        yield Lists(user_ids[part], *model.recommend(user_index[part], k))
