"""Preprocessed tables against the same tables computed in plain Python, and logs that cannot be preprocessed."""

import os
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from musicrec.errors import DataError, StorageError
from musicrec.preprocess import preprocessed, write
from musicrec.schema import EVENTS, GENRES, ITEMS, PLAYS_BY_MONTH
from tests import engines
from tests.logs import Rows, raw_rows, raw_tables

DATA = Path(__file__).parents[2] / "shared" / "data"


Tables = dict[str, pa.Table]


@pytest.fixture(scope="module", params=engines.PARAMS)
def any_engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Each engine in turn."""
    return engines.connected(request.param, tmp_path_factory.mktemp("engine"))


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """DuckDB, for what does not depend on the engine."""
    return engines.connected("duckdb", tmp_path_factory.mktemp("engine"))


@pytest.fixture(scope="module")
def odd(any_engine: Any, tmp_path_factory: pytest.TempPathFactory) -> Tables:
    """The logs of odd_rows, preprocessed."""
    return _made(odd_rows(), any_engine, tmp_path_factory.mktemp("odd"), ())


@pytest.fixture(scope="module")
def complete(any_engine: Any, tmp_path_factory: pytest.TempPathFactory) -> Tables:
    """The complete tracks of the same logs, which have no shares."""
    return _made(odd_rows(), any_engine, tmp_path_factory.mktemp("complete"), only_complete_tracks=True)


def _made(rows: Rows, connection: Any, folder: Path, leave_out: tuple[str, ...] = ("played_share",), **options: Any) -> Tables:
    tables = raw_tables(rows, connection, folder, leave_out)
    write(preprocessed(*tables, **options), folder / "out")
    return {name: pq.read_table(folder / "out" / f"{name}.parquet") for name in ("items", "events", "genres", "plays_by_month")}


def odd_rows(n_users: int = 12, n_tracks: int = 10) -> Rows:
    """Logs with repeated names, unnamed and repeated ids, empty and missing lists, repeated plays, and shuffled rows."""
    rows = raw_rows(n_users, n_tracks)
    tracks, names = rows["tracks"], rows["catalog_names"]
    tracks[0] |= {"albums": [1000, 1001, 1000, 1002], "genres": [3002, 777, 3000, 777]}
    tracks[1] |= {"albums": [], "artists": None, "genres": []}
    tracks[2] |= {"albums": [1003, 99999], "artists": [2003, 2004]}
    rename = {("album", 1002): "album 1000", ("artist", 2004): "artist 2003", ("track", 103): None, ("track", 104): "  "}
    for name in names:
        name["name"] = rename.get((name["type"], name["id"]), name["name"])
    names.append({"id": 3000, "type": "genre", "name": "a second name"})
    rows["interactions"] += [{**play, "track_seq": 40} for play in rows["interactions"][:5]]
    rows["interactions"].reverse()
    tracks.reverse()
    return rows


def items_by_hand(rows: Rows) -> list[dict[str, Any]]:
    """The items table in plain Python."""
    names: dict[tuple[str, int], str] = {}
    for row in sorted(rows["catalog_names"], key=lambda row: row["name"] or "", reverse=True):
        if (row["name"] or "").strip():
            names[row["type"], row["id"]] = row["name"]
    listeners = {track["track_id"]: len({p["user_id"] for p in rows["interactions"] if p["track_id"] == track["track_id"]})
                 for track in rows["tracks"]}
    mentions = [genre for track in rows["tracks"] for genre in set(track["genres"] or [])]
    low, high = min(listeners.values()), max(listeners.values())
    made = []
    for track in sorted(rows["tracks"], key=lambda track: track["track_id"]):
        ident, lists = track["track_id"], {}
        for kind in ("album", "artist", "genre"):
            ids = list(dict.fromkeys(track[f"{kind}s"] or []))
            lists[f"{kind}_ids"] = ids
            named = [names.get((kind, i), f"other_genre_{i}" if kind == "genre" else None) for i in ids]
            lists[f"{kind}s"] = list(dict.fromkeys(name for name in named if name))
        scores = [mentions.count(genre) / len(mentions) for genre in lists["genre_ids"]]
        made.append({"item_id": ident, "name": names.get(("track", ident), f"unnamed_track_{ident}"), **lists,
                     "num_users": listeners[ident], "num_users_norm": (listeners[ident] - low) / (high - low),
                     "num_albums": len(lists["album_ids"]), "genre_score_mean": sum(scores) / len(scores) if scores else 0.0})
    return made


def test_items_are_what_plain_python_makes(odd: Tables) -> None:
    """Names without repeats in their order, other_genre_{id}, counts and scores are the same for the logs of odd_rows."""
    for item, expected in zip(odd["items"].to_pylist(), items_by_hand(odd_rows()), strict=True):
        assert item == {name: pytest.approx(value, abs=1e-7) if isinstance(value, float) else value for name, value in expected.items()}


def test_events_are_the_plays_in_order(odd: Tables) -> None:
    """Events ascend by user, time, track_seq and item; no play is missing or merged."""
    expected = [{"user_id": p["user_id"], "item_id": p["track_id"], "track_seq": p["track_seq"], "started_at": p["started_at"],
                 "listened": 1, "played_share": p["played_share"]} for p in odd_rows()["interactions"]]
    assert odd["events"].to_pylist() == sorted(expected, key=lambda p: (p["user_id"], p["started_at"], p["track_seq"], p["item_id"]))


def test_genres_count_tracks_and_share_mentions(odd: Tables) -> None:
    """Most tracks first; scores sum to one; an id that a track repeats counts once."""
    found = odd["genres"].to_pylist()
    assert [row["items_count"] for row in found] == sorted((row["items_count"] for row in found), reverse=True)
    assert {row["name"]: row["items_count"] for row in found}["other_genre_777"] == 1
    assert sum(row["score"] for row in found) == pytest.approx(1)


def test_plays_are_counted_by_item_and_month(odd: Tables) -> None:
    """Every play counts once, at its track and the month in which it began, in this order."""
    counts = Counter((play["track_id"], play["started_at"].replace(day=1, hour=0, minute=0, second=0, microsecond=0))
                     for play in odd_rows()["interactions"])
    expected = [{"item_id": item, "month": month, "plays": plays} for (item, month), plays in sorted(counts.items())]
    assert odd["plays_by_month"].to_pylist() == expected


def test_files_have_the_types_of_the_schema(odd: Tables, complete: Tables) -> None:
    """Column order and types are those of schema.py; played_share, feedback and added_at are there exactly when the source has them."""
    for found, without in ((odd, ()), (complete, ("played_share",))):
        for name, schema in {"items": ITEMS, "events": EVENTS, "genres": GENRES, "plays_by_month": PLAYS_BY_MONTH}.items():
            # items.parquet always has num_users_norm, events.parquet only with extended_columns.
            absent = {*without, "added_at", "feedback", "was_recommended", *(("num_users_norm",) if name == "events" else ())}
            expected = [(field.name, field.type) for field in schema.arrow if field.name not in absent]
            assert [(field.name, field.type) for field in found[name].schema] == expected


def test_columns_of_empty_lists_are_read(connection: Any, tmp_path: Path) -> None:
    """A column whose lists are all empty, stored as list<null>, gives empty lists, and no genres at all gives an empty table."""
    rows = raw_rows()
    tables = raw_tables(rows, connection, tmp_path)
    bare = pq.read_table(tmp_path / "tracks.parquet").drop_columns(["genres"])
    pq.write_table(bare.append_column("genres", pa.array([[]] * len(bare), pa.list_(pa.null()))), tmp_path / "bare.parquet")
    rows_written = write(preprocessed(connection.read_parquet(tmp_path / "bare.parquet"), *tables[1:]), tmp_path / "out")
    assert rows_written == {"items": 10, "events": 60, "genres": 0, "plays_by_month": 50}
    assert pq.read_table(tmp_path / "out" / "items.parquet")["genres"].to_pylist() == [[]] * 10


@pytest.mark.slow
@engines.SPARKS_WARNINGS
def test_both_engines_write_the_same_rows(tmp_path: Path) -> None:
    """DuckDB and Spark agree on every row and type of every table, on 300 users and 400 tracks with every option."""
    made = []
    for name in engines.NAMES:
        (tmp_path / name).mkdir()
        connection = engines.connected(name, tmp_path)
        made.append(_made(odd_rows(300, 400), connection, tmp_path / name, (), only_complete_tracks=True, keep_every=3))
    for name, table in made[0].items():
        assert table.equals(made[1][name]), name


def test_row_groups_follow_users(connection: Any, tmp_path: Path) -> None:
    """events.parquet has several row groups whose ranges of users ascend and hardly overlap, so a range of users is a few groups."""
    tracks, names, _ = raw_tables(raw_rows(), connection, tmp_path)
    plays = connection.sql("""select (i * 7919 % 5003)::int user_id, 100 + (i % 10)::int track_id, i::int track_seq,
                              timestamp '2022-01-01' + to_minutes(i) started_at from range(400000) t(i)""")
    write(preprocessed(tracks, names, plays), tmp_path / "out")
    file = pq.ParquetFile(tmp_path / "out" / "events.parquet")
    ranges = [file.metadata.row_group(group).column(0).statistics for group in range(file.num_row_groups)]
    assert len(ranges) >= 2
    assert all(before.max <= after.min for before, after in pairwise(ranges))


def test_only_complete_tracks_and_their_plays_are_kept_when_asked(complete: Tables) -> None:
    """Tracks without a title, an album, an artist or a genre are left out, and their plays are in no count."""
    assert complete["items"]["item_id"].to_pylist() == [100, 102, 105, 106, 107, 108, 109]
    events = complete["events"].to_pydict()
    assert set(events["item_id"]) <= set(complete["items"]["item_id"].to_pylist())
    assert sum(complete["items"]["num_users"].to_pylist()) == len(set(zip(events["user_id"], events["item_id"])))


def test_every_third_play_is_kept_when_asked(connection: Any, tmp_path: Path) -> None:
    """Plays 1, 4, 7 ... of each user are kept; test_both_engines_write_the_same_rows keeps as many of both engines."""
    found = _made(raw_rows(), connection, tmp_path, keep_every=3)["events"]
    assert set(found["track_seq"].to_pylist()) == {1, 4}


def test_few_orphans_are_dropped_and_counted(connection: Any, tmp_path: Path) -> None:
    """Up to the allowed share the plays are dropped, and the report says how many."""
    rows = raw_rows()
    rows["interactions"][3]["track_id"] = 55
    made = preprocessed(*raw_tables(rows, connection, tmp_path), max_orphan_share=0.02)
    assert made.report == ("1 plays of tracks that are not in the catalog were dropped.",)
    assert write(made, tmp_path / "out")["events"] == 59


def _change(table: str, **values: Any) -> Any:
    def change(rows: Rows) -> None:
        rows[table][1] |= values
    return change


@pytest.mark.parametrize(("change", "sentence"), [
    (_change("interactions", track_id=55), r"interactions: 1 of 60 rows \(1.7%\) have a track_id that is not in tracks"),
    (lambda rows: rows["interactions"].clear(), "interactions has no rows"),
    (lambda rows: rows["tracks"].clear(), "tracks has no rows"),
    (_change("tracks", track_id=100), "tracks: 1 track ids occur more than once, for example 100"),
    (_change("tracks", track_id=-4), "tracks: column 'track_id' holds -4; ids must be in 0"),
    (_change("tracks", track_id=2**31), "tracks: column 'track_id' holds 2147483648"),
    (_change("interactions", user_id=-1), "interactions: column 'user_id' holds -1"),
    (_change("interactions", started_at=None), "interactions: 1 rows have no started_at"),
    (_change("interactions", started_at=datetime(9000, 1, 1)), "interactions: column 'started_at' holds 9000-01-01"),
])
def test_unusable_logs_are_refused_in_one_sentence(connection: Any, tmp_path: Path, change: Any, sentence: str) -> None:
    """Table, column and value are named."""
    rows = raw_rows()
    change(rows)
    with pytest.raises(DataError, match=sentence):
        preprocessed(*raw_tables(rows, connection, tmp_path))


def test_a_damaged_file_is_refused_by_the_checks_or_while_writing(connection: Any, tmp_path: Path) -> None:
    """Overwritten bytes in interactions make the checks fail, in catalog_names the writing; both raise DataError."""
    rows = raw_rows(300, 400)
    for name in ("interactions", "catalog_names"):
        tables = raw_tables(rows, connection, tmp_path)
        file = tmp_path / f"{name}.parquet"
        content = bytearray(file.read_bytes())
        content[100:-3000] = os.urandom(len(content) - 3100)
        file.write_bytes(content)
        with pytest.raises(DataError, match=r"The logs cannot be (read|preprocessed): .*check the files that \[data\] names"):
            write(preprocessed(*tables), tmp_path / "out")
        assert not list((tmp_path / "out").glob("*")) if (tmp_path / "out").exists() else True


def test_a_disk_that_fills_up_leaves_the_earlier_files(connection: Any, tmp_path: Path) -> None:
    """With a limited file size, writing raises StorageError; the old files are unchanged and no other file is left."""
    made = preprocessed(*raw_tables(raw_rows(300, 400), connection, tmp_path))
    write(made, tmp_path / "out")
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
        with pytest.raises(StorageError, match="out cannot be written"):
            write(made, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


_LONG = '''
import sys
from pathlib import Path
import ibis
from musicrec.preprocess import Preprocessed, write
connection = ibis.duckdb.connect(memory_limit="1GB", threads=2)
long = connection.sql("""select (i // 10)::int user_id, 1 item_id, i::int track_seq, timestamp '2022-01-01' started_at, 1::tinyint listened
                         from range(20000000) t(i)""")
small = connection.sql("select 1 as track_id")
print("writing", flush=True)
write(Preprocessed(long, small, small, lambda listeners, genres, low, high: listeners, ("track_id",)), Path(sys.argv[1]))
'''


def test_ctrl_c_in_the_middle_leaves_the_earlier_files(tmp_path: Path) -> None:
    """SIGINT while events are written ends the process within 20 s; earlier files are unchanged and no partial file is left."""
    (tmp_path / "items.parquet").write_text("earlier")
    process = subprocess.Popen([sys.executable, "-c", _LONG, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                               text=True, cwd=Path(__file__).parents[1])
    assert process.stdout is not None
    with process, process.stdout:
        assert process.stdout.readline() == "writing\n"
        deadline = time.monotonic() + 30
        while not (tmp_path / "events.parquet.part").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(20) == -signal.SIGINT
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"items.parquet": "earlier"}


@pytest.mark.parametrize(("folder", "interactions"), [("lastfm_artists", "interactions"), ("playlists", "interactions_additions_only")])
def test_real_logs_are_preprocessed_completely(connection: Any, tmp_path: Path, folder: str, interactions: str) -> None:
    """Every play of two real data sets becomes an event, every track an item."""
    files = [DATA / folder / f"{name}.parquet" for name in ("tracks", "catalog_names", interactions)]
    if not files[0].exists():
        pytest.skip("the real data sets are not here")
    written = write(preprocessed(*(connection.read_parquet(file) for file in files)), tmp_path / "out")
    assert (written["items"], written["events"]) == (pq.read_metadata(files[0]).num_rows, pq.read_metadata(files[2]).num_rows)
