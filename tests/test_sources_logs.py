"""Readers of other logs: the raw tables have the plays of the files, and unreadable lines are reported by number."""

import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from musicrec.errors import SchemaError, SourceError, StorageError
from musicrec.settings import load
from musicrec.sources import SOURCES, RawTables
from musicrec.sources.botify import Botify
from musicrec.sources.columns import Columns
from musicrec.sources.lastfm import Lastfm

START = datetime(2022, 3, 1, 12, tzinfo=UTC)
REAL = Path(__file__).resolve().parents[2] / "shared" / "data" / "playback"
Play = tuple[str, str, datetime, float]
KINDS = ("botify", "lastfm", "columns", "parquet")


def made(n: int = 3000, seed: int = 0) -> list[Play]:
    """Plays (user, title, time, share): titles with quotes, commas and Cyrillic letters; no (user, title) twice."""
    rng = np.random.default_rng(seed)
    titles = [f'Ночь "{number}", часть {number % 7}' for number in range(60)]
    pairs = rng.permutation(100 * 60)[:n]
    return [(f"user_{pair // 60:06d}", titles[pair % 60], START + timedelta(minutes=int(place)), round(float(rng.random()), 3))
            for place, pair in enumerate(pairs)]


def lines(kind: str, plays: list[Play]) -> list[str]:
    """The lines of a file of that kind."""
    if kind == "botify":
        rest = {"message": "next", "latency": 0.1, "recommendation": 5, "experiments": {"AA": "C"}}
        return [json.dumps({**rest, "timestamp": int(moment.timestamp() * 1000), "user": int(user[5:]), "track": int(title.split('"')[1]),
                            "time": share}) for user, title, moment, share in plays]
    if kind == "lastfm":
        return ["\t".join((user, moment.strftime("%Y-%m-%dT%H:%M:%SZ"), "", f"Artist {title[-1]}", "", title))
                for user, title, moment, _ in plays]
    rows = [(user, title.replace('"', '""'), moment.isoformat(), share, title[-1]) for user, title, moment, share in plays]
    return ["who,what,when,share,by", *(f'{user},"{title}",{moment},{share},Artist {by}' for user, title, moment, share, by in rows)]


def source(kind: str, folder: Path) -> Any:
    """The reader of that kind for a folder."""
    work = folder.parent / "work"
    if kind == "botify":
        return Botify(folder=folder, work=work)
    if kind == "lastfm":
        return Lastfm(folder=folder, plays="plays.tsv", work=work)
    return Columns(folder=folder, plays="*.parquet" if kind == "parquet" else "*.csv", user="who", track="what", started_at="when",
                   played_share="share", title="what", artist="by", work=work)


def stored(kind: str, folder: Path, plays: list[Play], packed: bool = False) -> Path:
    """A folder with two files of that kind."""
    names = {"botify": "data.json", "lastfm": "plays.tsv", "columns": "plays.csv", "parquet": "plays.parquet"}
    half = len(plays) // 2
    for place, part in enumerate((plays[:half], plays[half:])):
        path = folder / f"service-{place}" / names[kind]
        path.parent.mkdir(parents=True)
        if kind == "parquet":
            columns = [pa.array(column) for column in zip(*part)]
            by = pa.array([f"Artist {title[-1]}" for _, title, _, _ in part])
            pq.write_table(pa.table([*columns, by], names=["who", "what", "when", "share", "by"]), path)
        else:
            body = ("\n".join(lines(kind, part)) + "\n").encode()
            path.with_name(path.name + ".gz" * packed).write_bytes(gzip.compress(body) if packed else body)
    return folder


def read(kind: str, folder: Path) -> RawTables:
    """The raw tables of a folder, on a fresh engine."""
    return source(kind, folder).read(ibis.duckdb.connect())  # type: ignore[no-any-return]


def plays_of(found: RawTables) -> list[tuple[int, str, datetime]]:
    """(user, title, time) of every play, sorted."""
    names = found.catalog_names.filter(found.catalog_names.type == "track").to_pyarrow()
    titles = dict(zip(names["id"].to_pylist(), names["name"].to_pylist()))
    rows = found.interactions.to_pyarrow().to_pylist()
    return sorted((row["user_id"], titles.get(row["track_id"], str(row["track_id"])), row["started_at"]) for row in rows)


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize("kind", KINDS)
def test_round_trip(kind: str, packed: bool, tmp_path: Path) -> None:
    """Users, titles, times, shares and artists of all plays in two files are read, compressed or not."""
    plays = made()
    found = read(kind, stored(kind, tmp_path / "logs", plays, packed))
    users = {user: number for number, user in enumerate(sorted({user for user, *_ in plays}))}
    as_number = {user: int(user[5:]) for user in users} if kind == "botify" else users
    shown = (lambda title: title.split('"')[1]) if kind == "botify" else (lambda title: title)
    assert plays_of(found) == sorted((as_number[user], shown(title), moment.replace(tzinfo=None)) for user, title, moment, _ in plays)
    assert found.report == ()
    if kind != "lastfm":
        shares = found.interactions.played_share.to_pyarrow().to_pylist()
        np.testing.assert_allclose(sorted(shares), sorted(share for *_, share in plays), atol=1e-6)
    if kind != "botify":
        artists = found.catalog_names.filter(found.catalog_names.type == "artist").to_pyarrow()["name"].to_pylist()
        assert sorted(artists) == sorted({f"Artist {title[-1]}" for _, title, _, _ in plays})


@pytest.mark.parametrize("kind", KINDS)
def test_track_seq_follows_time(kind: str, tmp_path: Path) -> None:
    """track_seq runs 1..n for each user in order of time."""
    table = read(kind, stored(kind, tmp_path / "logs", made(500))).interactions.to_pyarrow().to_pandas()
    table = table.sort_values(["user_id", "started_at"])
    assert (table["track_seq"].to_numpy() == table.groupby("user_id").cumcount().to_numpy() + 1).all()


BAD = {
    "botify": ["not json", '{"user": 1, "track": 2}', '{"user": 1, "track": 2, "timestamp": 1646136000000, "time": 7}',
               '{"user": null, "track": 2'],
    "lastfm": ["only one field", "user_1\tyesterday\t\tA\t\tB", "\t2022-03-01T12:00:00Z\t\tA\t\tB", "u\t2022-03-01T12:00:00Z\t\tA\t\t"],
    "columns": ["user_1,x", "user_1,x,yesterday,0.5,A", ",x,2022-03-01T12:00:00,0.5,A", "user_1,x,2022-03-01T12:00:00,1.5,A"],
}


@pytest.mark.parametrize(("kind", "line"), [(kind, line) for kind, found in BAD.items() for line in found])
def test_an_unreadable_line_is_left_out_and_reported_by_number(kind: str, line: str, tmp_path: Path) -> None:
    """Of 3,001 lines only the unreadable one is left out; the report names its file and number."""
    plays = made(3000)
    folder = stored(kind, tmp_path / "logs", plays)
    path = next((folder / "service-1").iterdir())
    rows = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([*rows[:700], line, *rows[700:]]) + "\n", encoding="utf-8")
    found = read(kind, folder)
    assert len(plays_of(found)) == 3000
    assert len(found.report) == 1
    assert "1 of 3001 lines" in found.report[0]
    assert f"{path.name} line 701" in found.report[0]


@pytest.mark.parametrize("kind", ["botify", "lastfm"])
def test_a_line_that_is_not_utf_8_is_reported(kind: str, tmp_path: Path) -> None:
    """Bytes that are not UTF-8 are an unreadable line."""
    folder = stored(kind, tmp_path / "logs", made(3000))
    path = next((folder / "service-0").iterdir())
    path.write_bytes(b"\xff\xfe\xfd\n" + path.read_bytes())
    assert f"{path.name} line 1: not UTF-8" in read(kind, folder).report[0]


@pytest.mark.parametrize("kind", BAD)
def test_too_many_unreadable_lines_are_an_error(kind: str, tmp_path: Path) -> None:
    """Four unreadable lines of 3,004 are more than 0.1 %: the message says how many and shows the first with their numbers."""
    folder = stored(kind, tmp_path / "logs", made(3000))
    path = next((folder / "service-1").iterdir())
    path.write_text(path.read_text(encoding="utf-8") + "\n".join(BAD[kind]) + "\n", encoding="utf-8")
    with pytest.raises(SourceError, match=r"4 of 3004 lines are unreadable, more than 0\.1%.*line 150[12]") as caught:
        read(kind, folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["botify", "lastfm", "columns"])
def test_a_packed_file_that_is_cut_off_is_refused(kind: str, tmp_path: Path) -> None:
    """Half a .gz is an error, not half the plays."""
    folder = stored(kind, tmp_path / "logs", made(3000), packed=True)
    path = next((folder / "service-1").iterdir())
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(SourceError, match=path.name):
        read(kind, folder)


def test_a_parquet_file_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    """A table of plays without its end is one sentence that names the file."""
    folder = stored("parquet", tmp_path / "logs", made(3000))
    path = next((folder / "service-1").iterdir())
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(SourceError, match=r"plays\.parquet cannot be read to its end"):
        read("parquet", folder)


def test_a_tenth_of_a_percent_of_the_lines_may_be_unreadable(tmp_path: Path) -> None:
    """3 of 3,000 lines are left out; 4 of 3,001 are an error."""
    folder = stored("lastfm", tmp_path / "logs", made(2997))
    path = next((folder / "service-1").iterdir())
    path.write_text(path.read_text(encoding="utf-8") + "bad\n" * 3, encoding="utf-8")
    assert "3 of 3000 lines" in read("lastfm", folder).report[0]
    path.write_text(path.read_text(encoding="utf-8") + "bad\n", encoding="utf-8")
    with pytest.raises(SourceError, match="4 of 3001 lines"):
        read("lastfm", folder)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no disk that is always full")
@pytest.mark.parametrize("kind", KINDS)
def test_a_full_disk_is_one_sentence(kind: str, tmp_path: Path) -> None:
    """The message names the work folder; files of an earlier import stay, and no partial file is left."""
    folder = stored(kind, tmp_path / "logs", made(300))
    read(kind, folder)
    before = (tmp_path / "work" / "interactions.parquet").read_bytes()
    (tmp_path / "work" / "interactions.parquet.part").symlink_to("/dev/full")
    with pytest.raises(StorageError, match=r"work has no room for the imported logs: [^\n]*No space left on device[^\n]*; free space"):
        read(kind, folder)
    assert (tmp_path / "work" / "interactions.parquet").read_bytes() == before
    assert not list((tmp_path / "work").glob("*.part"))


def _none(folder: Path) -> None:
    folder.mkdir()


def _nothing(folder: Path) -> None:
    """Not even a folder."""


@pytest.mark.parametrize("prepare", [_none, _nothing])
@pytest.mark.parametrize("kind", KINDS)
def test_folders_without_logs_are_refused(kind: str, prepare: Callable[[Path], None], tmp_path: Path) -> None:
    """A folder that is missing or has no such file is one sentence."""
    prepare(tmp_path / "logs")
    with pytest.raises(SourceError, match="logs"):
        read(kind, tmp_path / "logs")


def test_logs_without_plays_are_refused(tmp_path: Path) -> None:
    """Files with blank lines only have no plays."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "data.json").write_text("\n\n")
    with pytest.raises(SourceError, match="no plays"):
        read("botify", tmp_path / "logs")


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    """The message names the file, the column and the columns of the file."""
    folder = stored("columns", tmp_path / "logs", made(100))
    with pytest.raises(SchemaError, match=r"plays\.csv has no column 'listener'.*who, what"):
        Columns(folder=folder, user="listener", track="what", started_at="when", work=tmp_path / "work").read(ibis.duckdb.connect())


def test_repeats_are_counted(tmp_path: Path) -> None:
    """A repeated play is kept, and the report says how many there are."""
    plays = made(300)
    again = [(user, title, moment + timedelta(days=1), share) for user, title, moment, share in plays[:40]]
    found = read("lastfm", stored("lastfm", tmp_path / "logs", plays + again))
    assert len(plays_of(found)) == 340
    assert found.report == ("40 plays repeat a track that the user had played before.",)


def test_tracks_json_names_the_tracks(tmp_path: Path) -> None:
    """Titles, artists and genres come from the file of tracks; a played track that is not in it has no name."""
    folder = stored("botify", tmp_path / "logs", made(300))
    rows = [{"track": number, "artist": f"A{number % 5}", "title": f"T{number}", **({"genre": "Pop_Rock|Rap"} if number % 2 else {})}
            for number in range(1, 90)]
    (folder / "tracks.json.gz").write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    found = read("botify", folder)
    names = {(row["type"], row["id"]): row["name"] for row in found.catalog_names.to_pyarrow().to_pylist()}
    tracks = {row["track_id"]: row for row in found.tracks.to_pyarrow().to_pylist()}
    assert set(tracks) == set(range(90))
    assert names["track", 7] == "T7"
    assert ("track", 0) not in names
    assert [names["artist", artist] for artist in tracks[7]["artists"]] == ["A2"]
    assert sorted(names["genre", genre] for genre in tracks[7]["genres"]) == ["Pop_Rock", "Rap"]
    assert tracks[8]["genres"] == tracks[0]["artists"] == []


@pytest.mark.parametrize("stamp", ["1646136000", "1646136000000", "1646136000000000", "2022-03-01 12:00:00", "2022-03-01T15:00:00+03:00"])
def test_timestamps_are_read_in_many_forms(stamp: str, tmp_path: Path) -> None:
    """Seconds, milliseconds, microseconds, and text with or without an offset give the same time in UTC."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "a.csv").write_text(f"user,track,timestamp\n5,9,{stamp}\n")
    [row] = Columns(folder=tmp_path / "logs", work=tmp_path / "work").read(ibis.duckdb.connect()).interactions.to_pyarrow().to_pylist()
    assert (row["user_id"], row["track_id"], row["started_at"]) == (5, 9, datetime(2022, 3, 1, 12))


def test_config_documents_every_source() -> None:
    """The shipped config.ini has every setting of each reader of other logs."""
    settings = load(Path(__file__).resolve().parents[1] / "config.ini", {})
    for name in ("botify", "lastfm", "columns"):
        section = settings.components[f"sources.{name}"]
        assert {*section, "folder"} == set(SOURCES[name].__dataclass_fields__)  # type: ignore[attr-defined]


@pytest.mark.skipif(not REAL.is_dir(), reason="needs the shared playback logs")
def test_shared_playback_logs_are_read(tmp_path: Path) -> None:
    """174,978 plays of 8,676 users, every share within 0..1."""
    found = Botify(folder=REAL, work=tmp_path).read(ibis.duckdb.connect())
    table = found.interactions.to_pyarrow().to_pandas()
    assert len(table) == 174_978
    assert table["user_id"].nunique() == 8676
    assert table["played_share"].between(0, 1).all()
