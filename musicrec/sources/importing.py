"""Conversion of logs of any form to the three raw tables: keys get stable ids, names become a catalog, everything is accounted for.

A source hands over rows of text and says in SQL which of them is what. The import runs in a DuckDB of its own, out of core: plays hold
provisional numbers of their keys, and the last step sorts them once, drops exact repeats and writes them as a stream.
"""

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import duckdb
import pyarrow as pa

from musicrec.errors import SchemaError, StorageError
from musicrec.files import make_folder, writable
from musicrec.progress import progress
from musicrec.sources.account import OF_EXCLUDED_USER, Account, FileCount, place, shown
from musicrec.sources.delimited import Rows
from musicrec.sources.files import FoundFiles
from musicrec.sources.numbering import count, with_ids, write_tables
from musicrec.sources.parsing import FIELDS, START, Kind, problem
from musicrec.sources.raw import Earlier, RawTables
from musicrec.sources.reading import ParquetRows
from musicrec.sources.yandex import Yandex

# A sort and its joins need some memory for each thread.
_ENGINE = {"memory_limit": "512MB", "threads": min(4, os.cpu_count() or 1)}
# A clock that is set to another time zone is not yet in the future.
_AHEAD = timedelta(days=1)

_TOLD = {"share": "played_share", "feedback": "feedback", "answer": "recommendation_id"}


class Counted(Protocol):
    """What is known of a file while it is read, and in the end."""

    @property
    def lines(self) -> int:
        """Lines read so far, of a parquet file rows."""
        ...

    @property
    def position(self) -> int:
        """Bytes of the file read so far."""
        ...

    @property
    def digest(self) -> str:
        """The same for files with the same content."""
        ...


class Import:
    """An import of logs; a context manager.

    folder: of the logs, for messages. work: for parquet files and temporary files of the engine. earlier: what it goes on from.
    """

    def __init__(self, folder: Path, work: Path, earlier: Earlier, max_bad_share: float) -> None:
        with writable(work):
            make_folder(work)
        self.folder, self.work, self.keys, self.max_bad_share = folder, work, earlier.keys, max_bad_share
        self._further_plays = earlier.further_plays
        # A key or, where it is none, an id of the current run.
        excluded = pa.table({"k": earlier.keys.user.canonical(sorted(earlier.excluded))})
        self.account = Account()
        self._digests: dict[str, str] = {}
        self._bar: Any = None
        self._latest = datetime.now(UTC).replace(tzinfo=None, microsecond=0) + _AHEAD
        self._database = work / "import.duckdb"
        self._database.unlink(missing_ok=True)
        self.engine = duckdb.connect(str(self._database), config={**_ENGINE, "temp_directory": str(work / "spill")})
        self.engine.execute("set timezone = 'UTC'")
        self.engine.execute(START)
        self.engine.register("excluded", excluded)
        self._ignored = (f"case when filled(\"user\") in (from excluded) then '{OF_EXCLUDED_USER}' else ignored end" if earlier.excluded
                         else "ignored")

    def __enter__(self) -> "Import":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.engine.close()
        self._database.unlink(missing_ok=True)

    def files(self, found: FoundFiles) -> Iterator[Path]:
        """The files one after the other, under a progress bar of bytes with the lines a second; those passed over go into the account."""
        self.account.passed_over |= found.passed_over
        total = sum(path.stat().st_size for path in found.files)
        with progress(title="reading logs", total=total, unit="B", unit_scale=True) as bar:
            self._bar, self._begun, self._done = bar, time.monotonic(), 0
            for path in found.files:
                yield path
                self._done += path.stat().st_size
        self._bar = None

    def add(self, path: Path, counted: Counted, rows: Iterable[Rows], fields: Mapping[str, str], relation: str = "block",
            names: Mapping[str, str] | None = None, *, kind: Kind = "plays", moment_of: str = "moment_of(moment)") -> None:
        """Add the rows of one file to the plays, and what they say about tracks to the descriptions.

        fields: for each of FIELDS that the rows have its SQL expression over `relation`, which reads the table `block` and keeps its
        column `number`. names: what the logs call the fields, for messages. kind: "tracks" for rows that only tell about tracks, "marks"
        for feedback given apart from plays: the latest one is that of all plays of its user and track, unlike and undislike take it back.
        """
        file = FileCount(place(path, self.folder), path.stat().st_size)
        self.account.files.append(file)
        left_out = {reason: one.rows for reason, one in self.account.left_out.items()}
        absent = {name: "null::varchar[]" if name == "genres" else "null::varchar" for name in FIELDS}
        columns = ", ".join(f'{value} as "{name}"' for name, value in {**absent, **fields}.items())
        query = f"select number, {columns} from {relation}"
        called = {name: (names or {}).get(name) or name for name in FIELDS}
        describes = bool({"title", "artist", "album", "genres", "duration"} & set(fields))
        for piece in rows:
            self.account.no_rows += piece.no_rows
            for number, text, what in piece.broken:
                self.account.leave_out(f"the line {what}", 1, f"{file.name} line {number:,}: {shown(text)}")
            if piece.table.num_rows:
                with self._storage_errors():
                    self._add(file, piece, query, called, kind, moment_of)
                    if describes:
                        self._describe()
            self._show(counted)
        file.lines = counted.lines
        # The path may say whose plays they are: the query has it.
        if (same := self._digests.setdefault(counted.digest + query, file.name)) != file.name:
            self._forget(file, same, left_out)

    def tables(self, connection: Any) -> RawTables:
        """The raw tables of all added rows, bound to `connection`, with their keys and the account.

        Raises SourceError when there are no plays or too many rows were left out, StorageError when the disk is full.
        """
        if self._further_plays is not None:
            self._add_further_plays(self._further_plays)
        self.account.check(self.max_bad_share)
        with self._storage_errors():
            self.keys = with_ids(self.engine, self.keys)
            self.account.repeats = write_tables(self.engine, self.work)
        found = Yandex(folder=self.work).read(connection)
        return RawTables(found.tracks, found.catalog_names, found.interactions, self.account, self.keys)

    def _add(self, file: FileCount, piece: Rows, query: str, called: Mapping[str, str], kind: Kind, moment_of: str) -> None:
        self.engine.register("block", piece.table.append_column("number", pa.array(piece.numbers)))
        self.engine.execute(f"""create or replace temp table parsed as select *, {problem(called, kind, self._latest)} as problem
            from (select * replace (filled("user") as "user", filled(track) as track, given(share) as share, given(ms) as ms,
                lower(given(feedback)) as feedback, {self._ignored} as ignored), {moment_of} as started from ({query}))""")
        self.engine.unregister("block")
        left_out = self.engine.execute("""select coalesce(problem.rule, ignored), problem is not null, count(*), min(number),
            arg_min(problem.value, number) from parsed where problem is not null or ignored is not null group by 1, 2""").fetchall()
        for rule, is_bad, rows, number, value in left_out:
            self.account.leave_out(rule, rows, f"{file.name} line {number:,}" + f": {shown(value)}" * is_bad, is_bad)
        self.engine.execute("delete from parsed where problem is not null or ignored is not null")
        self._number("items", "track")
        rows = count(self.engine, "select count(*) from parsed")
        if kind == "tracks":
            self.account.no_rows += rows
        else:
            self._number("users", '"user"')
            columns = "users.n, items.n, started, feedback"
            if kind == "plays":
                columns = (f"{len(self.account.files)}, users.n, items.n, started, share::float, ms::double::bigint, feedback, "
                           "coalesce(answer, '') <> ''")
            self.engine.execute(f"""insert into {kind} select {columns} from parsed join users on users.k = "user"
                join items on items.k = track""")
            file.rows += rows * (kind == "plays")
            self.account.no_rows += rows * (kind == "marks")

    def _describe(self) -> None:
        self.engine.execute("""insert into described select d.* from (select distinct items.n as t, filled(title) as title,
                filled(artist) as artist, filled(album) as album, names_of(genres) as genres, try_cast(duration as double) as duration,
                hash(title, artist, album, genres, duration) as h from parsed join items on items.k = track
                where coalesce(title, artist, album, duration, genres::varchar) is not null) d
            anti join described on described.t = d.t and described.h = d.h""")

    def _add_further_plays(self, path: Path) -> None:
        """Plays by key, or by id where there is no such key."""
        file = ParquetRows(path)
        if missing := [name for name in ("user_id", "track_id", "started_at") if name not in file.names]:
            raise SchemaError(f"{path} has no column {missing[0]!r}; it has {', '.join(file.names)}.")
        keys = {"user_id": self.keys.user, "track_id": self.keys.item}
        told = {field: name for field, name in _TOLD.items() if name in file.names}

        def keyed() -> Iterator[Rows]:
            for one in file.rows([*keys, "started_at", *told.values()]):
                table = {name: known.canonical(one.table[name]) for name, known in keys.items()}
                yield Rows(pa.table({**table, "moment": one.table["started_at"], **{name: one.table[name] for name in told.values()}}),
                           one.numbers)

        self.add(path, file, keyed(), {"user": "user_id", "track": "track_id", "moment": "moment", **told})

    def _number(self, table: str, column: str) -> None:
        """Give new keys the next provisional numbers."""
        self.engine.execute(f"""insert into {table} select k, (select count(*) from {table}) + row_number() over () - 1
            from (select distinct {column} as k from parsed) anti join {table} using (k)""")

    def _forget(self, file: FileCount, same: str, left_out: Mapping[str, int]) -> None:
        self.engine.execute(f"delete from plays where file = {len(self.account.files)}")
        self.account.no_rows += file.rows + self.account.take_back(left_out)
        file.rows = 0
        self.account.passed_over[file.name] = f"with the same content as {same}"

    def _show(self, counted: Counted) -> None:
        if self._bar is None:
            return
        self._bar.update(self._done + counted.position - self._bar.n)
        seconds = time.monotonic() - self._begun
        if seconds > 1:
            read = sum(file.lines for file in self.account.files[:-1]) + counted.lines
            self._bar.set_postfix_str(f"{read / seconds:,.0f} lines/s", refresh=False)

    @contextmanager
    def _storage_errors(self) -> Iterator[None]:
        try:
            yield
        except (duckdb.IOException, duckdb.OutOfMemoryException) as cause:
            raise StorageError(f"{self.work} has no room for the imported logs: {str(cause).splitlines()[0].rstrip('.')}; "
                               "free space or choose another work folder.") from cause
