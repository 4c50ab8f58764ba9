"""The end of an import: keys get their ids, and the raw tables are written, the plays as a stream in one sort."""

from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from musicrec.files import replaced
from musicrec.keys import RunKeys
from musicrec.sources.parsing import quoted

_ROWS = 1 << 20


class LastPlay(NamedTuple):
    """A play as the rows behind it need to know it; moment in microseconds."""

    user: int
    track: int
    moment: int
    seq: int


def with_ids(engine: duckdb.DuckDBPyConnection, keys: RunKeys) -> RunKeys:
    """`keys` with those of the import behind them; the engine gets their ids: of users, items, artists, albums and genres."""
    engine.execute("""create table named as select t, first(title) filter (title is not null) as title,
        first(artist) filter (artist is not null) as artist, first(album) filter (album is not null) as album,
        first(genres) filter (len(genres) > 0) as genres, max(duration) as duration from described group by t""")
    engine.execute("create table genre_of as select t, unnest(genres) as k from named")
    for kind, query in _KEYS.items():
        found = engine.execute(f"select distinct k from ({query}) t(k) where k is not null").fetch_arrow_table()["k"]
        keys = keys.extended(kind, found)
        engine.register("found", pa.table({"k": found, "id": getattr(keys, kind).ids_of(found)}))
        engine.execute(f"create table {kind}_ids as select k, id from found")
        engine.unregister("found")
    # By provisional number, so that the sort of the plays joins no text.
    engine.execute("create table user_of as select n, id from users join user_ids using (k)")
    engine.execute("create table item_of as select n, id from items join item_ids using (k)")
    return keys


def write_tables(engine: duckdb.DuckDBPyConnection, folder: Path) -> int:
    """Write the three raw tables as parquet files into `folder`; how many exact repeats of plays were dropped."""
    for name, query in _QUERIES.items():
        with replaced(folder / f"{name}.parquet") as partial:
            engine.execute(f"copy ({query}) to '{quoted(str(partial))}' (format parquet)")
    return _write_plays(engine, folder / "interactions.parquet")


def _write_plays(engine: duckdb.DuckDBPyConnection, path: Path) -> int:
    # Where logs have days only, a track played twice on a day is no repeated row.
    has_times = bool(count(engine, "select count(*) from (from plays where moment <> date_trunc('day', moment) limit 1)"))
    has_feedback = bool(count(engine, "select (select count(feedback) from plays) + (select count(*) from marks)"))
    was_recommended = bool(count(engine, "select count(*) from (from plays where was_recommended limit 1)"))
    absent = [name for name, there in (("feedback", has_feedback), ("was_recommended", was_recommended)) if not there]
    dropped, last = 0, LastPlay(-1, -1, -1, 0)
    with replaced(path) as partial, ExitStack() as stack:
        writer: pq.ParquetWriter | None = None
        for batch in engine.execute(_PLAYS).fetch_record_batch(_ROWS):
            table, last, repeats = _numbered(pa.table(batch), last, drop_repeats=has_times)
            table, dropped = table.drop_columns(absent), dropped + repeats
            writer = writer or stack.enter_context(pq.ParquetWriter(partial, table.schema, compression="zstd"))
            writer.write_table(table)
    return dropped


def count(engine: duckdb.DuckDBPyConnection, query: str) -> int:
    """The number that a query gives."""
    found = engine.execute(query).fetchone()
    return int(found[0]) if found else 0


def _numbered(table: pa.Table, last: LastPlay, drop_repeats: bool) -> tuple[pa.Table, LastPlay, int]:
    """Sorted plays without exact repeats and with track_seq, the last of them, and how many were repeats; `last` stood before them."""
    columns = [table["user_id"].to_numpy(), table["track_id"].to_numpy(), table["started_at"].cast(pa.int64()).to_numpy()]
    same = [np.concatenate(([value == column[0]], column[1:] == column[:-1])) for column, value in zip(columns, last)]
    repeated: NDArray[np.bool_] = same[0] & same[1] & same[2] & drop_repeats
    new_user = ~same[0]
    kept = np.cumsum(~repeated)
    # The number of kept plays before each user's first; of the user who goes on from the table before, less those that came there.
    base = np.maximum.accumulate(np.where(new_user, kept - 1, -last.seq))
    seq: NDArray[np.int32] = (kept - base).astype(np.int32)
    numbered = pa.table({"user_id": table["user_id"], "track_id": table["track_id"], "track_seq": seq, "started_at": table["started_at"],
                         "played_share": table["played_share"], "feedback": table["feedback"],
                         "was_recommended": table["was_recommended"]})
    end = LastPlay(int(columns[0][-1]), int(columns[1][-1]), int(columns[2][-1]), int(seq[-1]))
    return numbered.filter(pa.array(~repeated)), end, int(repeated.sum())


_KEYS = {"user": "select k from users", "item": "select k from items", "artist": "select artist from named",
         "album": "select album from named", "genre": "select k from genre_of"}
_PLAYS = """select user_of.id as user_id, item_of.id as track_id, moment as started_at,
        coalesce(share, case when ms is not null and duration > 0 then least(1, ms / duration) end)::float as played_share,
        coalesce(case when mark not like 'un%' then mark end, feedback) as feedback, was_recommended::tinyint as was_recommended
    from plays join user_of on user_of.n = plays.u join item_of on item_of.n = plays.t left join named on named.t = plays.t
    left join (select u, t, arg_max(feedback, moment) as mark from marks group by u, t) m on m.u = plays.u and m.t = plays.t
    order by user_id, started_at, track_id, played_share desc nulls last"""
_QUERIES = {
    "tracks": """select item_ids.id as track_id, list_filter([album_ids.id], x -> x is not null) as albums,
        list_filter([artist_ids.id], x -> x is not null) as artists, coalesce(any_value(g.ids), []) as genres
        from items join item_ids using (k) left join named on items.n = named.t left join album_ids on album_ids.k = named.album
        left join artist_ids on artist_ids.k = named.artist left join (select t, list(genre_ids.id order by genre_ids.id) as ids
            from genre_of join genre_ids using (k) group by t) g on g.t = items.n
        group by item_ids.id, album_ids.id, artist_ids.id order by item_ids.id""",
    "catalog_names": """select id, 'track' as type, title as name from named join items on items.n = named.t join item_ids using (k)
            where title is not null
        union all select id, 'album', k from album_ids union all select id, 'artist', k from artist_ids
        union all select id, 'genre', k from genre_ids""",
}
