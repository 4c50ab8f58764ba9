"""Conversion of logs with text keys to the three raw tables: keys become numeric ids, names become a catalog.

A source adds blocks of rows and a SQL query that selects their columns; `tables` writes the raw tables as parquet and binds them to
the pipeline's engine. The import always runs in a DuckDB of its own, out of core, so that millions of lines need little memory.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import duckdb
import pyarrow as pa

from musicrec.errors import SourceError, StorageError
from musicrec.files import replaced, writable
from musicrec.schema import LARGEST_ID
from musicrec.sources.lines import LineCounts
from musicrec.sources.raw import RawTables
from musicrec.sources.yandex import Yandex

_MEMORY = "2GB"
_START = """
create table plays (user_key varchar, track_key varchar, moment timestamp, share float);
create table descriptions (track_key varchar, title varchar, artist varchar, album varchar, genre varchar);
create macro moment_of(x) as case when regexp_full_match(x, '[0-9]{9,18}')
    then make_timestamp(x::bigint * case when x::bigint < 100_000_000_000 then 1_000_000
        when x::bigint < 100_000_000_000_000 then 1000 else 1 end)
    else try_cast(x as timestamptz) at time zone 'UTC' end;
create macro share_of(x) as try_cast(x as float);
create macro good_share(x) as x is null or coalesce(try_cast(x as float) between 0 and 1, false);
create macro present(x) as coalesce(trim(x) <> '', false);
"""


class Import:
    """An import of logs; a context manager. work: the folder for parquet files and temporary files of the engine."""

    def __init__(self, work: Path) -> None:
        with writable(work):
            work.mkdir(parents=True, exist_ok=True)
        self.work, self.counts = work, LineCounts()
        self.engine = duckdb.connect(config={"memory_limit": _MEMORY, "temp_directory": str(work / "spill")})
        self.engine.execute("set timezone = 'UTC'")
        self.engine.execute(_START)

    def __enter__(self) -> "Import":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.engine.close()

    def add(self, path: Path, block: pa.Table, query: str) -> None:
        """Add the rows of `block` (with columns number and line) to plays and descriptions.

        query: selects number, line, good, user_key, track_key, moment, share, title, artist, album and genre from block. Rows that are
        not good are counted and left out; rows without a user only describe a track.
        """
        with self._storage_errors():
            self.engine.register("block", block)
            self.engine.execute(f"create or replace temp table parsed as {query}")
            self.engine.unregister("block")
            bad = self.engine.execute("select number, line from parsed where good is not true order by number").fetchall()
            self.counts.add(path, block.num_rows, bad)
            self.engine.execute("""insert into plays select user_key, track_key, moment, share from parsed
                where good and user_key is not null""")
            self.engine.execute("""insert into descriptions select distinct track_key, title, artist, album, genre from parsed
                where good and coalesce(title, artist, album, genre) is not null""")

    def tables(self, connection: Any) -> RawTables:
        """The raw tables of all added rows, bound to `connection`; the report counts unreadable lines and repeated plays.

        Keys of users (or of tracks) that are all whole numbers are kept as ids; others are numbered from 0 in alphabetical order, as
        are artists, albums and genres. A genre may be several names separated by "|".
        Raises SourceError when there are no plays or more than 0.1 % of the lines were unreadable, StorageError when the disk is full.
        """
        report = self.counts.report()
        if not self._number("select count(*) from plays"):
            raise SourceError("the logs contain no plays; set [data] folder to logs with plays.")
        with self._storage_errors():
            repeats = self._number("select count(*) - count(distinct (user_key, track_key)) from plays")
            self._name_tracks()
            for name, query in _QUERIES.items():
                with replaced(self.work / f"{name}.parquet") as partial:
                    self.engine.execute(f"copy ({query}) to '{partial}' (format parquet)")
        found = Yandex(folder=self.work).read(connection)
        repeated = (f"{repeats} plays repeat a track that the user had played before.",) if repeats else ()
        return RawTables(found.tracks, found.catalog_names, found.interactions, (*report, *repeated))

    @contextmanager
    def _storage_errors(self) -> Iterator[None]:
        try:
            yield
        except (duckdb.IOException, duckdb.OutOfMemoryException) as cause:
            raise StorageError(f"{self.work} has no room for the imported logs: {str(cause).splitlines()[0].rstrip('.')}; "
                               "free space or choose another work folder.") from cause

    def _name_tracks(self) -> None:
        self.engine.execute("""create table named as select track_key, min(title) as title, min(artist) as artist, min(album) as album,
            min(genre) as genre from descriptions group by track_key""")
        self.engine.execute("create table genre_of as select track_key, unnest(string_split(genre, '|')) as genre from named")
        self._number_keys("users", "select user_key from plays", keep_numbers=True)
        self._number_keys("items", "select track_key from plays union select track_key from named", keep_numbers=True)
        self._number_keys("artists", "select artist from named")
        self._number_keys("albums", "select album from named")
        self._number_keys("genres", "select genre from genre_of")

    def _number_keys(self, table: str, keys: str, keep_numbers: bool = False) -> None:
        self.engine.execute(f"create table {table} as select distinct k from ({keys}) t(k) where present(k)")
        fit = f"regexp_full_match(k, '0|[1-9][0-9]{{0,9}}') and try_cast(k as bigint) <= {LARGEST_ID}"
        kept = keep_numbers and not self._number(f"select count(*) from {table} where not ({fit})")
        number = "k::bigint" if kept else "row_number() over (order by k) - 1"
        self.engine.execute(f"create or replace table {table} as select k, {number} as id from {table}")

    def _number(self, query: str) -> int:
        found = self.engine.execute(query).fetchone()
        return int(found[0] or 0) if found else 0


_QUERIES = {
    "tracks": """select items.id as track_id, list_filter([albums.id], x -> x is not null) as albums,
        list_filter([artists.id], x -> x is not null) as artists, coalesce(any_value(g.ids), []) as genres
        from items left join named on items.k = named.track_key left join albums on albums.k = named.album
        left join artists on artists.k = named.artist left join (select track_key, list(genres.id order by genres.id) as ids
            from genre_of join genres on genres.k = genre_of.genre group by track_key) g on g.track_key = items.k
        group by items.id, albums.id, artists.id order by items.id""",
    "catalog_names": """select id, 'track' as type, title as name from items join named on k = track_key where title is not null
        union all select id, 'album', k from albums union all select id, 'artist', k from artists
        union all select id, 'genre', k from genres""",
    "interactions": """select users.id::int as user_id, items.id::int as track_id,
        row_number() over (partition by users.id order by moment, items.id)::int as track_seq, moment as started_at, share as played_share
        from plays join users on users.k = user_key join items on items.k = track_key order by user_id, track_seq""",
}
