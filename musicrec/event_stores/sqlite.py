"""Plays in one SQLite file: survives kill -9 and power loss, and several workers may share it."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from musicrec.errors import EventStoreError
from musicrec.event_stores.group_commit import GroupCommit
from musicrec.event_stores.protocol import Clock, Impression, Play

Row = TypeVar("Row", Play, Impression)

_TABLES = """
CREATE TABLE IF NOT EXISTS plays (id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL, item_id INTEGER NOT NULL, played_at INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS impressions (id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL, item_id INTEGER NOT NULL, source TEXT NOT NULL,
                                        position INTEGER NOT NULL, shown_at INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS latest (user_id INTEGER NOT NULL, item_id INTEGER NOT NULL, played_at INTEGER NOT NULL,
                                   PRIMARY KEY (user_id, item_id)) WITHOUT ROWID;
"""
_LOG_PLAY = "INSERT INTO plays (user_id, item_id, played_at) VALUES (?1, ?2, ?3)"
# A clock that stands still or goes back must not change the order: a play is at least a microsecond after the user's newest.
_MOVE_TO_FRONT = """
INSERT INTO latest VALUES (?1, ?2, max(?3, 1 + coalesce((SELECT max(played_at) FROM latest WHERE user_id = ?1), 0)))
ON CONFLICT DO UPDATE SET played_at = excluded.played_at
"""
_CAP = """
DELETE FROM latest WHERE user_id = ?1 AND item_id IN
  (SELECT item_id FROM latest WHERE user_id = ?1 ORDER BY played_at DESC LIMIT -1 OFFSET ?2)
"""
_LATEST = "SELECT item_id FROM latest WHERE user_id = ? AND played_at >= ? ORDER BY played_at DESC LIMIT ?"
_LOG_IMPRESSION = "INSERT INTO impressions (user_id, item_id, source, position, shown_at) VALUES (?, ?, ?, ?, ?)"
_CHUNK = 10_000


class SqliteStore:
    """An EventStore in the SQLite file `path`, in WAL mode; a put returns after the commit has reached the disk."""

    def __init__(self, path: str, per_user: int, max_age_s: float | None, log_rows: int, clock: Clock) -> None:
        self.path, self.per_user, self.max_age_s, self.log_rows, self.clock = Path(path), per_user, max_age_s, log_rows, clock
        with self._said("opened"):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._writer, self._reader = self._connection(), self._connection()
            self._writer.executescript(_TABLES)
        self._commits: GroupCommit[Play | Impression] = GroupCommit(self._write)

    async def put(self, user_id: int, item_id: int) -> None:
        """Return after the commit that holds the play."""
        await self._commits.add([Play(user_id, item_id, int(self.clock() * 1e6))])

    async def latest(self, user_id: int, k: int) -> list[int]:
        """At most k items, newest first. Read in the calling thread: a WAL reader never waits for a writer, and it takes microseconds."""
        oldest = 0 if self.max_age_s is None else int((self.clock() - self.max_age_s) * 1e6)
        with self._said("read"):
            return [item for item, in self._reader.execute(_LATEST, (user_id, oldest, k))]

    async def put_impressions(self, impressions: Sequence[Impression]) -> None:
        """Return after the commit that holds them."""
        await self._commits.add(impressions)

    def plays(self) -> Iterator[Play]:
        """The logged plays, read in chunks, so that a long export neither blocks writers nor fills memory."""
        return self._logged("plays", "user_id, item_id, played_at", Play)

    def impressions(self) -> Iterator[Impression]:
        """The logged impressions, read in chunks."""
        return self._logged("impressions", "user_id, item_id, source, position, shown_at", Impression)

    async def close(self) -> None:
        """Commit what waits and close the file."""
        await self._commits.close()
        self._writer.close()
        self._reader.close()

    def _connection(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=5, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        return connection

    def _write(self, rows: Sequence[Play | Impression]) -> None:
        with self._said("written"):
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                for row in rows:
                    self._store(row)
                for log in ("plays", "impressions"):
                    self._writer.execute(f"DELETE FROM {log} WHERE id <= (SELECT max(id) FROM {log}) - ?", (self.log_rows,))
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise

    def _store(self, row: Play | Impression) -> None:
        if isinstance(row, Impression):
            self._writer.execute(_LOG_IMPRESSION, row)
            return
        self._writer.execute(_LOG_PLAY, row)
        self._writer.execute(_MOVE_TO_FRONT, row)
        self._writer.execute(_CAP, (row.user_id, self.per_user))

    def _logged(self, log: str, columns: str, row_of: Callable[..., Row]) -> Iterator[Row]:
        after = 0
        while True:
            with self._said("read"):
                rows = self._reader.execute(f"SELECT id, {columns} FROM {log} WHERE id > ? ORDER BY id LIMIT ?", (after, _CHUNK)).fetchall()
            if not rows:
                return
            after = rows[-1][0]
            yield from (row_of(*row[1:]) for row in rows)

    @contextmanager
    def _said(self, done: str) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as cause:
            raise EventStoreError(f"event store {self.path} cannot be {done}: {cause}; check its folder and free space.") from cause
