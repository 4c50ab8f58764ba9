"""Event store in one SQLite file, which survives kill -9 and power loss and can be shared by several workers."""

import fcntl
import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any, TextIO

from pydantic_core import to_json

from musicrec.errors import EventStoreError, ExcludedUserError
from musicrec.events import statements
from musicrec.events.group_commit import GroupCommit
from musicrec.events.protocol import (
    PLAY,
    Clock,
    Exposure,
    Impression,
    Key,
    OfUser,
    Remembered,
    UserFeedback,
    coded,
    decoded,
    not_excluded,
    remembered_type,
)
from musicrec.files import make_folder

# Where the lists of an Exposure stand in it.
_LISTS = (1, 2, 8)
_TIMES = {"plays": "played_at", "exposures": "shown_at"}
_CHUNK = 10_000
# Rows that are looked through for those of one user in one transaction, which takes milliseconds.
_ROWS_AT_ONCE = 100_000
_LOCK_TIMEOUT_S = 2.0
_TEST_USER = -1


class SqliteStore:
    """An EventStore in the SQLite file `path`, in WAL mode; a put returns after its commit is synced to the disk."""

    def __init__(self, path: str, per_user: int, max_age_s: float | None, log_rows: int, clock: Clock, log_age_s: float | None) -> None:
        if "://" in path:
            raise EventStoreError("[events] path is the address of a server, but store is sqlite; set store = redis, or path to a file.")
        self.path, self.per_user, self.max_age_s, self.log_rows, self.clock = Path(path), per_user, max_age_s, log_rows, clock
        self.log_age_s, self._turn = log_age_s, self.path.with_name(f"{self.path.name}-turn")
        self._latest_time, self._refused = 0, set[Key]()
        with self._store_errors("opened"), ExitStack() as opened:
            make_folder(self.path.parent)
            # SQLite gives the files that it makes beside the first one the same mode.
            for file in (self.path, self._turn):
                file.touch(0o600)
            self._writer, self._reader = (opened.enter_context(closing(self._connection())) for _ in range(2))
            for connection in (self._writer, self._reader):
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")
            self._writer.create_function("refuse", 1, self._refused.add)
            self._writer.executescript(statements.TABLES)
            self._add_columns()
            self._take_over()
            self._writer.executescript(statements.RECEIVE.format(per_user=per_user))
            opened.pop_all()
        self._commits: GroupCommit[UserFeedback | Exposure, frozenset[Key]] = GroupCommit(self._write)

    async def put(self, user_id: Key, item_id: Key, type: str = PLAY, played_share: float | None = None, context: str = "",
                  recommendation_id: str = "") -> None:
        """Return after the commit that holds the feedback."""
        user = coded(user_id)
        row = UserFeedback(user, coded(item_id), int(self.clock() * 1e6), type, played_share, context, recommendation_id)
        if user in await self._commits.add([row]):
            raise ExcludedUserError

    async def latest(self, user_id: Key, k: int) -> list[Key]:
        """At most k items, latest first."""
        return not_excluded((await self.of_users([user_id], k, remembered=False))[0]).plays

    async def remembered(self, user_id: Key) -> list[Remembered]:
        """The items, latest first."""
        return not_excluded((await self.of_users([user_id], 0))[0]).remembered

    async def of_users(self, user_ids: Sequence[Key], k: int, remembered: bool = True) -> list[OfUser | None]:
        """One query, in the calling thread: a WAL reader does not wait for a writer, and a thousand rows take a millisecond."""
        oldest, users = 0 if self.max_age_s is None else int((self.clock() - self.max_age_s) * 1e6), list(map(coded, user_ids))
        found: dict[Key, OfUser | None] = {user: OfUser([], []) for user in users}
        with self._store_errors("read"):
            query = statements.OF_USERS if remembered else statements.PLAYS_OF_USERS
            rows = self._reader.execute(query, {"users": to_json(users).decode(), "oldest": oldest}).fetchall()
        # Sorted here, which takes a fraction of what SQLite takes for the order of several tables together.
        for user, item, type, at in sorted(rows, key=itemgetter(3), reverse=True):
            if (own := found[user]) is None or item is None:
                found[user] = None
            elif type:
                own.remembered.append(Remembered(decoded(item), type, at))
            elif len(own.plays) < k:
                own.plays.append(decoded(item))
        return [found[user] for user in users]

    async def put_exposures(self, exposures: Sequence[Exposure]) -> None:
        """Return after the commit that holds them."""
        await self._commits.add([one.coded() for one in exposures])

    def feedback(self) -> Iterator[UserFeedback]:
        """The logged feedback, read in chunks, so that an export does not block writers and needs little memory."""
        for user, item, *others in self._logged("plays", "user_id, item_id, played_at, type, played_share, context, recommendation_id"):
            yield UserFeedback(decoded(user), decoded(item), *others)

    def impressions(self) -> Iterator[Impression]:
        """The logged impressions, read in chunks."""
        for row in self._logged("exposures", statements.EXPOSURE):
            shown = Exposure(*(json.loads(value) if at in _LISTS else value for at, value in enumerate(row)))
            yield from shown.decoded().impressions()

    async def delete(self, user_id: Key) -> int:
        """Exclude the user and remove the latest plays in one transaction, the rows of the logs in many short ones between the puts.

        What is removed is overwritten with zeros in the file; in the -wal file as soon as no other process reads it.
        """
        user = coded(user_id)
        removed = await self._commits.between(partial(self._exclude, user))
        for log in _TIMES:
            first, last = await self._commits.between(partial(self._ends, log))
            for start in range(first, last + 1, _ROWS_AT_ONCE):
                removed += await self._commits.between(partial(self._remove, log, start, user))
        await self._commits.between(self._empty_wal)
        return removed

    async def readmit(self, user_id: Key) -> bool:
        """Remove a row between two commits."""
        return await self._commits.between(partial(self._readmit, coded(user_id)))

    async def excluded(self) -> dict[Key, int]:
        """Read in the calling thread."""
        with self._store_errors("read"):
            return {decoded(user): at for user, at in self._reader.execute("SELECT user_id, deleted_at FROM exclusions")}

    async def check(self) -> None:
        """Write and remove a row in the tables of a put, synced to the disk, and read as `latest` does."""
        await self._commits.between(self._write_and_remove)
        await self.latest(_TEST_USER, 1)

    async def close(self) -> None:
        """Commit waiting rows and close the file."""
        await self._commits.close()
        self._writer.close()
        self._reader.close()

    def _add_columns(self) -> None:
        for table, columns in statements.ADDED.items():
            there = {name for _, name, *_ in self._writer.execute(f"PRAGMA table_info({table})")}
            for column in columns:
                if column.split()[0] not in there:
                    self._writer.execute(f"ALTER TABLE {table} ADD COLUMN {column}")

    def _connection(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, timeout=5, isolation_level=None, check_same_thread=False)

    def _write(self, rows: Sequence[UserFeedback | Exposure]) -> frozenset[Key]:
        """Write in one transaction; returns the excluded users among those of the feedback, whose rows were left out."""
        self._refused.clear()
        feedback = [(*row, self._ascending_time(row.at), remembered_type(row.type, row.played_share)) for row in rows
                    if isinstance(row, UserFeedback)]
        exposures = [row for row in rows if isinstance(row, Exposure)]
        with self._transaction():
            if feedback:
                self._writer.execute(statements.FEEDBACK, (to_json(feedback).decode(),))
                self._remove_oldest("plays")
            for start in range(0, len(exposures), statements.MOST_EXPOSURES):
                part = exposures[start:start + statements.MOST_EXPOSURES]
                values = [to_json(value).decode() if at in _LISTS else value for row in part for at, value in enumerate(row)]
                self._writer.execute(statements.log_exposures(len(part)), values)
                self._remove_oldest("exposures")
        return frozenset(self._refused)

    def _take_over(self) -> None:
        with self._transaction():
            if self._writer.execute("SELECT 1 FROM sqlite_schema WHERE name = 'impressions'").fetchone():
                self._writer.execute(statements.TAKE_OVER)
                self._writer.execute("DROP TABLE impressions")

    def _write_and_remove(self) -> None:
        with self._transaction():
            row = self._writer.execute("INSERT INTO plays (user_id, item_id, played_at) VALUES (?, 0, 0)", (_TEST_USER,)).lastrowid
            self._writer.execute("DELETE FROM plays WHERE id = ?", (row,))
            self._writer.execute("INSERT INTO latest VALUES (?, 0, 0)", (_TEST_USER,))
            self._writer.execute("DELETE FROM latest WHERE user_id = ?", (_TEST_USER,))
            self._writer.execute("INSERT INTO remembered VALUES (?, 0, 'play', 0)", (_TEST_USER,))
            self._writer.execute("DELETE FROM remembered WHERE user_id = ?", (_TEST_USER,))
            for log in _TIMES:
                self._remove_oldest(log)

    def _exclude(self, user: Key) -> int:
        self._writer.execute("PRAGMA secure_delete = ON")
        with self._transaction():
            self._writer.execute("INSERT OR IGNORE INTO exclusions VALUES (?, ?)", (user, int(self.clock() * 1e6)))
            self._writer.execute("DELETE FROM remembered WHERE user_id = ?", (user,))
            return self._writer.execute("DELETE FROM latest WHERE user_id = ?", (user,)).rowcount

    def _readmit(self, user: Key) -> bool:
        with self._transaction():
            return bool(self._writer.execute("DELETE FROM exclusions WHERE user_id = ?", (user,)).rowcount)

    def _ends(self, log: str) -> tuple[int, int]:
        first, last = self._writer.execute(f"SELECT min(id), max(id) FROM {log}").fetchone()
        return first or 0, last or 0

    def _remove(self, log: str, start: int, user: Key) -> int:
        with self._transaction():
            return self._writer.execute(f"DELETE FROM {log} WHERE id >= ? AND id < ? AND user_id = ?",
                                        (start, start + _ROWS_AT_ONCE, user)).rowcount

    def _empty_wal(self) -> None:
        with self._store_errors("written"):
            self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def _ascending_time(self, time: int) -> int:
        self._latest_time = max(time, self._latest_time + 1)
        return self._latest_time

    def _remove_oldest(self, log: str) -> None:
        self._writer.execute(f"DELETE FROM {log} WHERE id <= (SELECT max(id) FROM {log}) - ?", (self.log_rows,))
        if self.log_age_s is not None:
            self._writer.execute(statements.REMOVE_OLD.format(log, _TIMES[log]), (int((self.clock() - self.log_age_s) * 1e6),))

    def _logged(self, log: str, columns: str) -> Iterator[list[Any]]:
        after = 0
        while True:
            with self._store_errors("read"):
                rows = self._reader.execute(f"SELECT id, {columns} FROM {log} WHERE id > ? ORDER BY id LIMIT ?", (after, _CHUNK)).fetchall()
            if not rows:
                return
            after = rows[-1][0]
            yield from (row for _, *row in rows)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._store_errors("written"), self._write_lock():
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise

    @contextmanager
    def _write_lock(self) -> Iterator[None]:
        # SQLite waits for another worker's commit by sleeping up to 0.1 s at a time; a file lock is acquired at once when it is free,
        # and the kernel releases it when its holder is killed.
        path = self._turn
        lock = path.open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not _locked_in_time(lock):
                raise EventStoreError(f"event store {self.path} cannot be written: another process has held {path} for more than "
                                      f"{_LOCK_TIMEOUT_S:g} seconds; find it with `fuser {path}` and end it.") from None
        with lock:
            yield

    @contextmanager
    def _store_errors(self, done: str) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as cause:
            raise EventStoreError(f"event store {self.path} cannot be {done}: {cause}; check its folder and free space.") from cause


def _locked_in_time(file: TextIO) -> bool:
    """Whether `file` was locked within _LOCK_TIMEOUT_S; if not, it is closed as soon as it is locked."""
    # flock has no timeout, so a thread waits for it: a daemon, so that the process can exit meanwhile.
    locked, given_up, decided = threading.Event(), threading.Event(), threading.Lock()

    def wait() -> None:
        fcntl.flock(file, fcntl.LOCK_EX)
        with decided:
            locked.set()
            if given_up.is_set():
                file.close()

    threading.Thread(target=wait, name="event-lock", daemon=True).start()
    locked.wait(_LOCK_TIMEOUT_S)
    with decided:
        if not locked.is_set():
            given_up.set()
    return locked.is_set()
