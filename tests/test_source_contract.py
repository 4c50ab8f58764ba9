"""What every source promises, shown on the example that it declares itself; a source gets these tests by being listed in SOURCES."""

import bz2
import gzip
import lzma
from collections.abc import Callable
from dataclasses import fields
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

import ibis
import pyarrow as pa
import pytest

from musicrec.errors import MusicRecError, SourceError, StorageError
from musicrec.keys import RunKeys
from musicrec.preprocess import preprocessed, write
from musicrec.settings import load
from musicrec.sources import SOURCES, Earlier
from tests.source_files import column, plays, read, stored

KINDS = list(SOURCES)
PROJECT = Path(__file__).resolve().parents[1]
TEXT = [kind for kind in KINDS if any(isinstance(content, str) for content in SOURCES[kind].example.values())]
IMPORTED = [kind for kind in KINDS if "work" in SOURCES[kind].__dataclass_fields__]  # type: ignore[attr-defined]
LINES = [kind for kind in TEXT if kind != "spotify"]
Whole = Callable[[str], list[tuple[str, str, datetime]]]


def example(kind: str, folder: Path) -> Path:
    """A folder with the example of a source."""
    return stored(folder / "logs", SOURCES[kind].example)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """The plays of the example of a source, each read once."""
    return cache(lambda kind: plays(read(kind, example(kind, tmp_path_factory.mktemp(kind)))))


def first_log(kind: str, folder: Path) -> Path:
    """The first file of the example."""
    return folder / next(name for name, content in SOURCES[kind].example.items() if isinstance(content, str))


@pytest.mark.parametrize("kind", KINDS)
def test_the_example_is_read_whole(kind: str, tmp_path: Path) -> None:
    """Every play of the example is read, none is left out, and track_seq runs from 1 in order of time for every user."""
    found = read(kind, example(kind, tmp_path))
    assert len(plays(found)) == found.account.rows >= 2
    assert not found.account.left_out
    table = found.interactions.order_by("user_id", "started_at", "track_seq").to_pyarrow().to_pandas()
    assert (table["track_seq"] == table.groupby("user_id").cumcount() + 1).all()
    assert str(found.account.rows) in found.account.sentences()[0]


@pytest.mark.parametrize("kind", KINDS)
def test_the_example_can_be_preprocessed(kind: str, tmp_path: Path) -> None:
    """items, events and genres can be written from the raw tables of every source, and every play is an event."""
    found = read(kind, example(kind, tmp_path))
    rows = write(preprocessed(found.tracks, found.catalog_names, found.interactions), tmp_path / "tables")
    assert rows["events"] == found.account.rows


@pytest.mark.parametrize("kind", IMPORTED)
def test_a_second_import_keeps_every_id(kind: str, tmp_path: Path) -> None:
    """An import that goes on from the keys of another one gives the same ids, whatever else was in between."""
    first = read(kind, example(kind, tmp_path))
    assert first.keys is not None
    before = plays(first), column(first, "user_id"), column(first, "track_id")
    between = first.keys.extended("user", ["aaron", "0"]).extended("item", ["a new track", "zz"])
    again = read(kind, tmp_path / "logs", Earlier(between))
    assert (plays(again), column(again, "user_id"), column(again, "track_id")) == before


@pytest.mark.parametrize("kind", IMPORTED)
def test_plays_of_the_events_service_come_to_their_owner(kind: str, tmp_path: Path) -> None:
    """An exported play by key, one by id, and one of a track nobody knew are at their owner after the next import."""
    first = read(kind, example(kind, tmp_path))
    assert first.keys is not None
    user, track = first.keys.user.keys[0].as_py(), first.keys.item.keys[0].as_py()
    before = plays(first)
    moment = before[0][2].replace(year=2024)
    exported = stored(tmp_path, {"plays.parquet": [
        {"user_id": user, "track_id": track, "started_at": moment},
        {"user_id": str(first.keys.user.ids[0]), "track_id": "a track nobody knew", "started_at": moment.replace(second=1)}]})
    again = read(kind, tmp_path / "logs", Earlier(first.keys, exported / "plays.parquet"))
    new = set(plays(again)) - set(before)
    assert new == {(user, track, moment), (user, "a track nobody knew", moment.replace(second=1))}


@pytest.mark.parametrize("kind", IMPORTED)
def test_feedback_of_the_events_service_comes_with_its_type_and_share(kind: str, tmp_path: Path) -> None:
    """Of an exported skip the share, and of a like that it is one, are in the next import, also where the logs have no feedback."""
    first = read(kind, example(kind, tmp_path))
    assert first.keys is not None
    user, moment = first.keys.user.keys[0].as_py(), plays(first)[0][2].replace(year=2024)
    exported = stored(tmp_path, {"plays.parquet": [
        {"user_id": user, "track_id": "new 1", "started_at": moment, "played_share": 0.25, "feedback": "skip"},
        {"user_id": user, "track_id": "new 2", "started_at": moment, "played_share": None, "feedback": "like"}]})
    again = read(kind, tmp_path / "logs", Earlier(first.keys, exported / "plays.parquet"))
    assert again.keys is not None
    rows = {row["track_id"]: row for row in again.interactions.to_pyarrow().to_pylist()}
    new = [rows[again.keys.item.ids_of([key])[0]] for key in ("new 1", "new 2")]
    assert (new[0]["played_share"], [row["feedback"] for row in new]) == (0.25, ["skip", "like"])


@pytest.mark.parametrize("kind", KINDS)
def test_plays_that_name_the_answer_that_brought_them_are_marked(kind: str, tmp_path: Path, whole: Whole) -> None:
    """Of further plays those with a recommendation_id alone; where none has one there is no such column."""
    (user, track, moment), as_key = whole(kind)[0], str if kind in IMPORTED else int
    example(kind, tmp_path)
    row = {"user_id": as_key(user), "track_id": as_key(track)}
    for answers, marks in ((["a", ""], [moment + timedelta(days=1)]), (["", ""], [])):
        exported = stored(tmp_path, {"plays.parquet": [
            {**row, "started_at": moment + timedelta(days=1 + at), "recommendation_id": answer} for at, answer in enumerate(answers)]})
        found = read(kind, tmp_path / "logs", Earlier(RunKeys(), exported / "plays.parquet")).interactions.to_pyarrow().to_pylist()
        assert [play["started_at"] for play in found if play.get("was_recommended")] == marks
        assert ("was_recommended" in found[0]) == bool(marks) or kind not in IMPORTED
        assert len(found) == len(whole(kind)) + 2


@pytest.mark.parametrize("kind", KINDS)
def test_an_excluded_user_is_left_out_and_counted(kind: str, tmp_path: Path, whole: Whole) -> None:
    """Everything but the plays of the user is read as before; the rows are in the account, and not bad."""
    before = whole(kind)
    user, _ = before[0][0], example(kind, tmp_path)
    further = "other" if kind in IMPORTED else 77
    exported = stored(tmp_path, {"plays.parquet": [{"user_id": further, "track_id": int(before[0][1]) if further == 77 else before[0][1],
                                                    "started_at": before[0][2]}]})
    found = read(kind, tmp_path / "logs", Earlier(RunKeys(), exported / "plays.parquet", frozenset({user})))
    assert [play for play in plays(found) if play[0] != str(further)] == [play for play in before if play[0] != user]
    left_out = found.account.left_out["the user was deleted"]
    assert (left_out.rows, left_out.is_bad) == (sum(play[0] == user for play in before), False)
    found.account.check(0)
    assert "lines that no row accounts for" not in found.account.left_out


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, lambda body: pa.compress(body, "zstd", asbytes=True)],
                         ids=["gz", "bz2", "xz", "zst"])
@pytest.mark.parametrize("kind", TEXT)
def test_compressed_files_are_read_by_their_content(kind: str, pack: Callable[[bytes], bytes], tmp_path: Path, whole: Whole) -> None:
    """A compressed log gives the same plays, with the ending .gz whatever the method was."""
    example(kind, tmp_path)
    for name, content in SOURCES[kind].example.items():
        path = tmp_path / "logs" / name
        if isinstance(content, str):
            path.unlink()
            path.with_name(path.name + ".gz").write_bytes(pack(content.encode()))
    assert plays(read(kind, tmp_path / "logs")) == whole(kind)


@pytest.mark.parametrize("kind", TEXT)
def test_a_compressed_file_that_is_cut_off_is_refused(kind: str, tmp_path: Path) -> None:
    """Half a .gz is an error that names the file, not half the plays."""
    path = first_log(kind, example(kind, tmp_path))
    body = gzip.compress(path.read_bytes() * 2)
    path.unlink()
    path.with_name(path.name + ".gz").write_bytes(body[: len(body) - 12])
    with pytest.raises(SourceError, match=path.name):
        read(kind, tmp_path / "logs")


@pytest.mark.parametrize("junk", ["\x00\x01", "{", '"', "a,b,c,d,e,f,g,h,i", "[1", "\ufffd;;;"])
@pytest.mark.parametrize("kind", LINES)
def test_a_line_of_nonsense_costs_itself_only(kind: str, junk: str, tmp_path: Path, whole: Whole) -> None:
    """A line that is no play is left out with its file and number; every other play is read."""
    path = first_log(kind, example(kind, tmp_path))
    with path.open("a", encoding="utf-8") as file:
        file.write(junk + "\n")
    number = len(path.read_text(encoding="utf-8").rstrip("\n").split("\n"))
    found = read(kind, tmp_path / "logs", max_bad_share=1.0)
    assert plays(found) == whole(kind)
    assert found.account.bad == 1
    assert f"line {number}" in next(iter(found.account.left_out.values())).example


@pytest.mark.parametrize("kind", LINES)
def test_more_bad_lines_than_allowed_are_refused(kind: str, tmp_path: Path) -> None:
    """As long as nothing else is set one line of nonsense in a few is too much, and one sentence says so."""
    with first_log(kind, example(kind, tmp_path)).open("a", encoding="utf-8") as file:
        file.write("{\n")
    with pytest.raises(SourceError, match=r"1 of \d+ rows are unreadable, more than \[data\] max_bad_share 0\.100%") as caught:
        read(kind, tmp_path / "logs")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", LINES)
def test_the_same_content_is_read_once(kind: str, tmp_path: Path, whole: Whole) -> None:
    """A copy of a log, compressed under another name, adds no plays and is told."""
    path = first_log(kind, example(kind, tmp_path))
    (path.parent / "copy").mkdir()
    (path.parent / "copy" / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    found = read(kind, tmp_path / "logs")
    assert plays(found) == whole(kind)
    assert any("the same content" in sentence for sentence in found.account.sentences())


def test_what_is_wrong_in_a_copy_counts_once(tmp_path: Path) -> None:
    """The bad rows of a log whose copy is passed over are counted as those of one file."""
    path = first_log("columns", example("columns", tmp_path))
    with path.open("a", encoding="utf-8") as file:
        file.write("a line that is none\n")
    alone = read("columns", tmp_path / "logs", max_bad_share=1.0).account
    path.with_name("z.csv").write_bytes(path.read_bytes())
    both = read("columns", tmp_path / "logs", max_bad_share=1.0).account
    assert (both.bad, both.rows, both.left_out) == (alone.bad, alone.rows, alone.left_out)
    assert both.bad == 1


@pytest.mark.parametrize("prepare", [Path.mkdir, lambda folder: None], ids=["empty", "missing"])
@pytest.mark.parametrize("kind", KINDS)
def test_folders_without_logs_are_refused(kind: str, prepare: Callable[[Path], None], tmp_path: Path) -> None:
    """A folder that is missing or has no such file is one sentence that names it."""
    prepare(tmp_path / "logs")
    with pytest.raises(SourceError, match="logs") as caught:
        read(kind, tmp_path / "logs")
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no disk that is always full")
@pytest.mark.parametrize("kind", IMPORTED)
def test_a_full_disk_is_one_sentence(kind: str, tmp_path: Path) -> None:
    """The message names the work folder; files of an earlier import stay, and no partial file is left."""
    read(kind, example(kind, tmp_path))
    before = (tmp_path / "work" / "tracks.parquet").read_bytes()
    (tmp_path / "work" / "tracks.parquet.part").symlink_to("/dev/full")
    with pytest.raises(StorageError, match=r"work has no room for the imported logs: [^\n]*No space left on device[^\n]*; free space"):
        read(kind, tmp_path / "logs")
    assert (tmp_path / "work" / "tracks.parquet").read_bytes() == before
    assert not list((tmp_path / "work").glob("*.part"))


@pytest.mark.parametrize("kind", KINDS)
def test_every_setting_of_a_source_is_in_config(kind: str) -> None:
    """The shipped config.ini has every setting of each reader, in its own section or in [data], with the same default."""
    settings = load(PROJECT / "config.ini", {})
    reader = settings.component(f"sources.{kind}", SOURCES[kind], folder=Path())
    shared = set(type(settings.data).model_fields)
    section = settings.components.get(f"sources.{kind}", {})
    for field in fields(reader):
        assert field.name in section or field.name in shared, field.name
        if field.name != "folder":
            assert getattr(reader, field.name) == field.default, field.name


@pytest.mark.parametrize("kind", KINDS)
def test_every_source_is_documented(kind: str) -> None:
    """A source says what it reads, and how its errors read."""
    assert SOURCES[kind].__doc__
    assert SOURCES[kind].read.__doc__
    assert "Raises" in SOURCES[kind].read.__doc__


def test_a_missing_folder_names_the_setting(tmp_path: Path) -> None:
    """The sentence says which setting to change."""
    with pytest.raises(MusicRecError, match=r"set \[data\] folder"):
        SOURCES["columns"](folder=tmp_path / "none", work=tmp_path / "work").read(ibis.duckdb.connect())  # type: ignore[call-arg]
