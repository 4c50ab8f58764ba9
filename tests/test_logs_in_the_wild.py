"""Logs of the shapes that people have: what is read from them, or the sentence that refuses them."""

import csv
import gzip
import io
import json
import unicodedata
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from musicrec.errors import MusicRecError, SchemaError, SourceError
from musicrec.sources import Earlier
from musicrec.sources.delimited import DelimitedRows, Dialect
from tests.source_files import column, names, plays, read, stored

START = datetime(2023, 1, 24, 9, 42)
HEADER = ("user", "track", "timestamp")
Row = tuple[Any, ...]


def rows(n: int = 1200) -> list[Row]:
    """(user number, track number, moment), every moment another minute."""
    return [(place % 12, 100 + place % 50, START + timedelta(minutes=place)) for place in range(n)]


def text(given: list[Row], header: Row | None = HEADER, **dialect: Any) -> str:
    """A CSV of the rows."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n", **dialect)
    writer.writerows([header, *given] if header else given)
    return out.getvalue()


def whole(found: list[tuple[str, str, datetime]]) -> list[Row]:
    """Plays of whole-number keys in the order of `rows`."""
    return sorted(((int(user), int(track), moment) for user, track, moment in found), key=lambda row: row[2])


ENCODED = {
    "Excel: byte order mark and CRLF": text(rows()).replace("\n", "\r\n").encode("utf-8-sig"),
    "old Mac": text(rows()).replace("\n", "\r").encode(),
    "utf-16": text(rows()).encode("utf-16"), "no newline at the end": text(rows()).rstrip("\n").encode(),
    "two gzip members": gzip.compress(text(rows(600)).encode()) + gzip.compress(text(rows()[600:], None).encode()),
    "zstd": pa.compress(text(rows()).encode(), "zstd", asbytes=True),
    "spaces in the header": text(rows(), ("user", " track", "timestamp ")).encode(),
    "blank lines": text(rows()).replace("\n", "\n\n").encode(), "all quoted": text(rows(), quoting=csv.QUOTE_ALL).encode(),
}


@pytest.mark.parametrize("form", ENCODED)
def test_bytes_of_many_forms_are_the_same_plays(form: str, tmp_path: Path) -> None:
    """Byte order marks, line ends, encodings and compressed parts give the plays that were written."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "PLAYS.CSV").write_bytes(ENCODED[form])
    assert whole(plays(read("columns", tmp_path / "logs"))) == rows()


TIMES = {
    "text": str, "seconds": lambda m: str(int(m.replace(tzinfo=UTC).timestamp())),
    "fractions": lambda m: f"{m.replace(tzinfo=UTC).timestamp():.3f}",
    "milliseconds": lambda m: str(int(m.replace(tzinfo=UTC).timestamp()) * 1000),
    "microseconds": lambda m: str(int(m.replace(tzinfo=UTC).timestamp()) * 10**6),
    "nanoseconds": lambda m: str(int(m.replace(tzinfo=UTC).timestamp()) * 10**9),
    "offset": lambda m: m.replace(tzinfo=UTC).astimezone(timezone(timedelta(hours=3))).isoformat(),
    "Last.fm": lambda m: m.strftime("%d %b %Y, %H:%M"), "Z": lambda m: m.strftime("%Y-%m-%dT%H:%M:%SZ"),
}


@pytest.mark.parametrize("form", TIMES)
def test_times_of_many_forms_are_the_same_moment(form: str, tmp_path: Path) -> None:
    """Text with and without an offset, numbers since 1970 in any unit, and the form of Last.fm are the same moment in UTC."""
    stored(tmp_path / "logs", {"plays.csv": text([(user, track, TIMES[form](moment)) for user, track, moment in rows()])})
    assert whole(plays(read("columns", tmp_path / "logs"))) == rows()


def test_any_form_of_time_can_be_named(tmp_path: Path) -> None:
    """date_format says how to read 24.01.2023 09:42; without it the sentence shows the value."""
    stored(tmp_path / "logs", {"plays.csv": text([(user, track, moment.strftime("%d.%m.%Y %H:%M")) for user, track, moment in rows()])})
    assert whole(plays(read("columns", tmp_path / "logs", date_format="%d.%m.%Y %H:%M"))) == rows()
    with pytest.raises(SourceError, match=r"column 'timestamp' is not a time, first plays\.csv line \d+: '\d\d\.\d\d\.2023 \d\d:\d\d'"):
        read("columns", tmp_path / "logs", date_format="")


def uuids(numbers: list[int]) -> pa.Array:
    """The numbers as sixteen bytes each."""
    return pa.array([number.to_bytes(16, "big") for number in numbers], pa.binary(16))


PARQUET = {
    "int64": {}, "category": {"user": lambda u: pa.array(u).cast(pa.string()).dictionary_encode()},
    "floats": {"user": lambda u: pa.array(u, pa.float64())}, "category of numbers": {"track": lambda t: pa.array(t).dictionary_encode()},
    "decimal": {"user": lambda u: pa.array(u).cast(pa.decimal128(38, 0))}, "uint64": {"user": lambda u: pa.array(u, pa.uint64())},
    "large text": {"user": lambda u: pa.array(map(str, u), pa.large_string())},
    "text view": {"track": lambda t: pa.array(map(str, t), pa.string_view())},
    "text as bytes": {"user": lambda u: pa.array([str(x).encode() for x in u])},
    "zone": {"timestamp": lambda m: pa.array(m, pa.timestamp("us", "UTC")).cast(pa.timestamp("us", "Europe/Moscow"))},
    "nanoseconds": {"timestamp": lambda m: pa.array(m, pa.timestamp("ns"))},
    "epoch as floats": {"timestamp": lambda m: pa.array([one.replace(tzinfo=UTC).timestamp() for one in m])},
}


@pytest.mark.parametrize("form", PARQUET)
def test_columns_of_many_types_are_the_same_plays(form: str, tmp_path: Path) -> None:
    """Whatever type a parquet column has, keys and times are what was written."""
    (tmp_path / "logs").mkdir()
    columns = {name: list(values) for name, values in zip(HEADER, zip(*rows()))}
    made = {name: PARQUET[form].get(name, pa.array)(values) for name, values in columns.items()}  # type: ignore[operator]
    pq.write_table(pa.table(made), tmp_path / "logs" / "plays.parquet")
    assert whole(plays(read("columns", tmp_path / "logs", plays="*.parquet"))) == rows()


def test_binary_uuids_are_written_as_uuids(tmp_path: Path) -> None:
    """Sixteen bytes are a UUID with dashes, whose key the API takes."""
    (tmp_path / "logs").mkdir()
    users, tracks, moments = zip(*rows())
    table = {"user": uuids(list(users)), "track": tracks, "timestamp": moments}
    pq.write_table(pa.table(table), tmp_path / "logs" / "plays.parquet")
    found = plays(read("columns", tmp_path / "logs", plays="*.parquet"))
    assert found[0][0] == "00000000-0000-0000-0000-000000000000"


def test_genres_may_be_lists_structs_or_text(tmp_path: Path) -> None:
    """A list, a list of structs, and text with "|" or ";" give the same genres."""
    structs = [{"name": "folk", "id": 1}, {"name": "pop", "id": 2}]
    forms: list[Any] = [pa.array([["folk", "pop"]]), pa.array([structs]), pa.array(["folk; pop"]),
                        pa.array(["folk|pop"]), pa.array([["folk", "pop"]]).cast(pa.large_list(pa.string()))]
    for place, genres in enumerate(forms):
        folder = tmp_path / str(place) / "logs"
        folder.mkdir(parents=True)
        pq.write_table(pa.table({"user": ["a"], "track": ["b"], "timestamp": [START], "genre": genres}), folder / "plays.parquet")
        assert names(read("columns", folder, plays="*.parquet", genre="genre"), "genre") == {"folk", "pop"}


def test_dates_without_a_time_keep_every_play(tmp_path: Path) -> None:
    """Where logs have days only, a track played twice on a day is two plays."""
    (tmp_path / "logs").mkdir()
    pq.write_table(pa.table({"user": [1, 1], "track": [7, 7], "timestamp": [date(2023, 1, 24)] * 2}), tmp_path / "logs" / "plays.parquet")
    assert len(plays(read("columns", tmp_path / "logs", plays="*.parquet"))) == 2


@pytest.mark.parametrize("line", [3, 700, 1201])
def test_a_quote_that_never_closes_is_text(line: int, tmp_path: Path) -> None:
    """A title that begins with a quote, wherever it stands, costs no play, and keeps its quote."""
    given = [f"{user},{track},{moment},Song {track}" for user, track, moment in rows()]
    given[line - 2] = ",".join([*given[line - 2].split(",")[:3], '"Heroes'])
    stored(tmp_path / "logs", {"plays.csv": "\n".join(["user,track,timestamp,title", *given]) + "\n"})
    found = read("columns", tmp_path / "logs", title="title")
    assert whole(plays(found)) == rows()
    assert not found.account.left_out


def test_a_quote_that_breaks_its_line_costs_that_line(tmp_path: Path) -> None:
    """A quote that swallows a delimiter makes one line unreadable, which is named."""
    given = text(rows(), HEADER).splitlines()
    given[500] = '"5,110,2023-01-24 10:00:00'
    given[501] = "5,110"
    stored(tmp_path / "logs", {"plays.csv": "\n".join(given) + "\n"})
    found = read("columns", tmp_path / "logs", max_bad_share=0.01)
    assert len(plays(found)) == 1199
    assert found.account.left_out["the line has 2 values, not 3"].example == "plays.csv line 502: '5,110'"


def test_values_over_several_lines_are_values(tmp_path: Path) -> None:
    """A quoted title with a line break, and one with everything that CSV can quote, are what was written."""
    titles = ["line\nbreak", 'a "quoted", title', "plain", "\n\n", "<script>", "$uicide$", "None", "\u202eevil"]
    given = [(user, track, moment, titles[track % len(titles)]) for user, track, moment in rows()]
    stored(tmp_path / "logs", {"plays.csv": text(given, (*HEADER, "title"))})
    found = read("columns", tmp_path / "logs", title="title")
    assert whole(plays(found)) == rows()
    assert set(titles) == names(found, "track")


def _is_blank(key: str) -> bool:
    return not key or (key[0] == " " and all(unicodedata.category(one) == "Zs" for one in key))


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\x00\r"), max_size=6)


@settings(max_examples=20)
@given(values=st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=60), delimiter=st.sampled_from(",;\t|"),
       quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]))
def test_whatever_a_csv_writer_writes_is_read(values: list[tuple[str, str]], delimiter: str, quoting: Any,
                                              tmp_path_factory: pytest.TempPathFactory) -> None:
    """Any text in any dialect comes back, or is left out because its key is blank."""
    folder = tmp_path_factory.mktemp("csv") / "logs"
    given = [(user, track, START + timedelta(minutes=place)) for place, (user, track) in enumerate(values)]
    stored(folder, {"plays.csv": text([*given, ("u", "t", START - timedelta(days=1))], delimiter=delimiter, quoting=quoting)})
    found = read("columns", folder, delimiter=delimiter, max_bad_share=1.0)
    wanted = [row for row in given if not _is_blank(row[0]) and not _is_blank(row[1])]
    assert sorted(plays(found), key=lambda row: row[2])[1:] == wanted
    assert found.account.bad == len(given) - len(wanted)


BYTES = st.one_of(st.binary(max_size=400), st.text('ab,"\n\r;1\\', max_size=200).map(str.encode))


@settings(max_examples=500)
@given(body=BYTES, quote=st.sampled_from(['"', ""]), escape=st.sampled_from(["", "\\"]))
def test_every_line_of_any_bytes_is_accounted_for(body: bytes, quote: str, escape: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whatever is in a file, each line is a row, part of one, blank, or named as unreadable."""
    path = tmp_path_factory.mktemp("lines", numbered=True) / "plays.csv"
    path.write_bytes(b"user,track,timestamp\n" + body)
    file = DelimitedRows(path, Dialect(quote=quote, escape=escape))
    found = list(file.rows(["user", "track", "timestamp"]))
    assert file.lines == sum(one.table.num_rows + one.no_rows + len(one.broken) for one in found)
    assert all(one.table.num_rows == len(one.numbers) for one in found)


def test_an_escaped_quote_at_the_end_of_a_value_closes_nothing(tmp_path: Path) -> None:
    """With an escape character a line that leaves its quote open is text, and the lines behind it are rows."""
    given = ['"x\\",110,2023-01-24 09:42:00', "5,110,2023-01-24 09:43:00", "6,111,2023-01-24 09:44:00"]
    stored(tmp_path / "logs", {"plays.csv": "\n".join(["user,track,timestamp", *given]) + "\n"})
    assert [user for user, *_ in plays(read("columns", tmp_path / "logs", escape="\\"))] == ["5", "6", '"x\\"']


def test_a_replacement_character_is_a_character(tmp_path: Path) -> None:
    """Beside a line that is not UTF-8, one with U+FFFD in it is read."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "plays.csv").write_bytes("user,track,timestamp\n\ufffd,1,2023-01-24\n".encode() + b"\xff,2,2023-01-24\n")
    found = read("columns", tmp_path / "logs", max_bad_share=0.5)
    assert [user for user, *_ in plays(found)] == ["\ufffd"]
    assert found.account.bad == 1


@settings(max_examples=20)
@given(body=BYTES)
def test_no_bytes_are_a_traceback(body: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whatever is in a file, the answer is rows, or one sentence."""
    folder = tmp_path_factory.mktemp("bytes") / "logs"
    folder.mkdir()
    (folder / "plays.csv").write_bytes(b"user,track,timestamp\nu,t,2023-01-24\n" + body)
    (folder / "plays.json").write_bytes(body)
    for pattern in ("*.csv", "*.json"):
        try:
            answer = str(read("columns", folder, max_bad_share=1.0, plays=pattern).account.rows)
        except MusicRecError as cause:
            answer = str(cause)
        assert answer
        assert "\n" not in answer


def test_a_composite_key_knows_tracks_by_artist_and_title(tmp_path: Path) -> None:
    """Two artists' Intro are two tracks; case and spaces make no other track."""
    given = [("ann", "The Larks", "Intro", START), ("ann", "Owls", "Intro", START + timedelta(hours=1)),
             ("ben", " the larks", "INTRO ", START)]
    stored(tmp_path / "logs", {"plays.csv": text(given, ("user", "artist", "title", "timestamp"))})
    found = read("columns", tmp_path / "logs", track="artist, title", title="title", artist="artist")
    assert [track for _, track, _ in plays(found)] == ["the larks\tintro", "owls\tintro", "the larks\tintro"]


def test_whole_numbers_stay_what_they_are(tmp_path: Path) -> None:
    """One id above 2^31 and one leading zero change no other id, and both are keys."""
    tracks = ["1000", "1001", "3000000001", "01000", "1002", "1003"]
    given = [(1, track, START + timedelta(minutes=place)) for place, track in enumerate(tracks)]
    stored(tmp_path / "logs", {"plays.csv": text(given)})
    found = read("columns", tmp_path / "logs")
    assert [track for _, track, _ in plays(found)] == tracks
    assert [item for item in column(found, "track_id") if item < 2000] == [1000, 1001, 1002, 1003]


def test_a_new_user_renumbers_nobody(tmp_path: Path) -> None:
    """A week later a user and a track early in the alphabet have joined: everybody keeps the id, although all are text."""
    given = [(f"user-{user}", f"track:{track}", moment) for user, track, moment in rows()]
    stored(tmp_path / "logs", {"plays.csv": text(given)})
    first = read("columns", tmp_path / "logs")
    assert first.keys is not None
    before = dict(zip(plays(first), zip(column(first, "user_id"), column(first, "track_id"))))
    stored(tmp_path / "logs", {"plays.csv": text([*given, ("aaron", "a track", START + timedelta(days=9))])})
    again = read("columns", tmp_path / "logs", Earlier(first.keys))
    after = dict(zip(plays(again), zip(column(again, "user_id"), column(again, "track_id"))))
    assert {play: after[play] for play in before} == before
    assert len(after) == len(before) + 1


def test_the_listener_may_be_a_constant_the_file_or_its_folder(tmp_path: Path) -> None:
    """"me" in quotes, {file}, {folder} and a folder user=ann say whose plays they are."""
    for path in ("ann/plays.csv", "ben/plays.csv", "user=eve/plays.csv"):
        stored(tmp_path / "logs", {path: text([row[1:] for row in rows(2)], ("track", "timestamp"))})
    (tmp_path / "logs" / "user=eve").rename(tmp_path / "eve")
    for setting, users in (('"me"', {"me"}), ("{folder}", {"ann", "ben"}), ("{file}", {"plays"})):
        assert {user for user, *_ in plays(read("columns", tmp_path / "logs", user=setting))} == users
    (tmp_path / "hive").mkdir()
    (tmp_path / "eve").rename(tmp_path / "hive" / "user=eve")
    assert {user for user, *_ in plays(read("columns", tmp_path / "hive"))} == {"eve"}


def test_json_lines_may_be_nested(tmp_path: Path) -> None:
    """A path reaches into objects; lists of genres are genres."""
    given = [{"user": "ann", "at": 1674553320 + place, "song": {"id": f"s{place}", "name": "Noon"}, "tags": ["folk", "pop"]}
             for place in range(5)]
    stored(tmp_path / "logs", {"plays.jsonl": "".join(json.dumps(one) + "\n" for one in given)})
    found = read("columns", tmp_path / "logs", plays="*.jsonl", track="song.id", started_at="at", title="song.name", genre="tags")
    assert [track for _, track, _ in plays(found)] == [f"s{place}" for place in range(5)]
    assert names(found, "genre") == {"folk", "pop"}


def test_a_share_comes_from_milliseconds(tmp_path: Path) -> None:
    """Half of the duration played is a share of 0.5, more than all of it 1; NaN and nothing are not known."""
    given = [(1, place, START + timedelta(minutes=place), ms, 180000) for place, ms in enumerate([90000, 200000, "nan", ""])]
    stored(tmp_path / "logs", {"plays.csv": text(given, (*HEADER, "ms", "duration"))})
    assert column(read("columns", tmp_path / "logs", played_ms="ms", duration_ms="duration"), "played_share") == [0.5, 1.0, None, None]
    with pytest.raises(SourceError, match=r"not a share from 0 to 1; name milliseconds in played_ms, first plays\.csv line 2: '90000'"):
        read("columns", tmp_path / "logs", played_share="ms")


def test_feedback_is_kept_under_its_own_words(tmp_path: Path) -> None:
    """feedback_values maps what the logs say; a word that means nothing is named."""
    given = [(1, place, START + timedelta(minutes=place), word) for place, word in enumerate(["1", "0", "like", ""])]
    stored(tmp_path / "logs", {"plays.csv": text(given, (*HEADER, "mark"))})
    found = read("columns", tmp_path / "logs", feedback="mark", feedback_values="1=like, 0=skip")
    assert column(found, "feedback") == ["like", "skip", "like", None]
    with pytest.raises(SourceError, match=r"column 'mark' is not play, skip, like or dislike; map it in feedback_values.*'1'"):
        read("columns", tmp_path / "logs", feedback="mark")


def test_links_copies_and_hidden_files_are_accounted_for(tmp_path: Path) -> None:
    """A linked folder is read; a copy, a second link and the hidden files of a Mac are passed over and told."""
    stored(tmp_path / "logs", {"day1/plays.csv": text(rows(600)), "day1/plays (1).csv": text(rows(600)), "__MACOSX/._plays.csv": "\x00",
                               ".hidden/plays.csv": "x"})
    stored(tmp_path / "elsewhere", {"plays.csv": text(rows()[600:])})
    (tmp_path / "logs" / "day2").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (tmp_path / "logs" / "day3").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (tmp_path / "logs" / "loop").symlink_to(tmp_path / "logs", target_is_directory=True)
    found = read("columns", tmp_path / "logs")
    assert whole(plays(found)) == rows()
    assert set(found.account.passed_over) == {"day1/plays.csv", "__MACOSX/._plays.csv", ".hidden/plays.csv"} | (
        {"day1/plays.csv"} & set(found.account.passed_over))


def test_exact_repeats_are_dropped_once_and_counted(tmp_path: Path) -> None:
    """Two exports that overlap give each play once; the same track at another time stays."""
    stored(tmp_path / "logs", {"a.csv": text(rows(800)), "b.csv": text(rows()[400:])})
    found = read("columns", tmp_path / "logs")
    assert whole(plays(found)) == rows()
    assert found.account.repeats == 400
    assert "400 exact repeats of user, track and moment dropped." in found.account.sentences()


def test_a_play_from_the_future_is_left_out_and_named(tmp_path: Path) -> None:
    """A device with a wrong clock does not move the test set to 2037."""
    stored(tmp_path / "logs", {"plays.csv": text([*rows(), (1, 2, "2037-01-01 00:00:00")])})
    found = read("columns", tmp_path / "logs")
    assert whole(plays(found)) == rows()
    assert found.account.left_out["column 'timestamp' is in the future"].example == "plays.csv line 1,202: '2037-01-01 00:00:00'"


def test_lines_that_are_not_utf_8_say_what_to_set(tmp_path: Path) -> None:
    """latin-1 is refused with the line, and read when the encoding is set."""
    (tmp_path / "logs").mkdir()
    given = text([(*row, "Bj\xf6rk") for row in rows()], (*HEADER, "artist"))
    (tmp_path / "logs" / "plays.csv").write_bytes(given.encode("latin-1"))
    with pytest.raises(SourceError, match=r"1,200 x the line is not UTF-8; set encoding, first plays\.csv line 2"):
        read("columns", tmp_path / "logs", artist="artist")
    assert names(read("columns", tmp_path / "logs", artist="artist", encoding="latin-1"), "artist") == {"Bj\xf6rk"}
    with pytest.raises(SourceError, match="encoding 'klingon' does not exist"):
        read("columns", tmp_path / "logs", encoding="klingon")


def test_a_delimiter_may_be_written_as_backslash_t(tmp_path: Path) -> None:
    """What config.ini can say for a tab is a tab, and without quotes a quote is text."""
    given = text([(*row, '12" mix') for row in rows()], (*HEADER, "title"), delimiter="\t", quotechar="\x01")
    stored(tmp_path / "logs", {"plays.tsv": given})
    found = read("columns", tmp_path / "logs", plays="*.tsv", delimiter="\\t", quote="none", title="title")
    assert whole(plays(found)) == rows()
    assert names(found, "track") == {'12" mix'}


def test_files_without_a_header_are_named_by_a_setting(tmp_path: Path) -> None:
    """names says what the columns are."""
    stored(tmp_path / "logs", {"plays.csv": text(rows(), None)})
    assert whole(plays(read("columns", tmp_path / "logs", names="user, track, timestamp"))) == rows()


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    """The message names the file, the column, the setting and the columns of the file."""
    stored(tmp_path / "logs", {"plays.csv": text([(1, 2, 3)], ("user", "track", "plays"))})
    with pytest.raises(SchemaError, match=r"plays\.csv has no column 'timestamp'.*as started_at; it has user, track, plays\."):
        read("columns", tmp_path / "logs")


@pytest.mark.parametrize(("name", "body", "words"), [
    ("plays.csv", b"PK\x03\x04rest", "is a zip archive; unpack it first"), ("plays.csv", b"PAR1rest", "is a parquet file"),
    ("plays.csv.gz", gzip.compress(text(rows()).encode())[:900], "is damaged or truncated after line"),
    ("plays.csv.zst", pa.compress(text(rows()).encode(), "zstd", asbytes=True)[:900], "is damaged or truncated after line"),
    ("plays.csv", b"", "has no column 'user'"), ("plays.csv", b"\n\n", "has no column 'user'"),
    ("plays.csv", b"user,track,timestamp\n", "no plays"),
])
def test_files_that_are_no_logs_are_one_sentence(name: str, body: bytes, words: str, tmp_path: Path) -> None:
    """Archives, other formats, truncated and empty files are named, and what to do is said."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / name).write_bytes(body)
    with pytest.raises(MusicRecError, match=words) as caught:
        read("columns", tmp_path / "logs")
    assert "\n" not in str(caught.value)


def test_a_path_may_have_quotes_and_spaces(tmp_path: Path) -> None:
    """An apostrophe in a folder is no end of a text in SQL."""
    stored(tmp_path / "it's \"my\" music" / "logs", {"plays.csv": text(rows())})
    assert whole(plays(read("columns", tmp_path / "it's \"my\" music" / "logs"))) == rows()


def test_exports_of_last_fm_are_read_person_by_person(tmp_path: Path) -> None:
    """The listener is in the name of the file, in a column, or in a setting; a bare export has artist, album, track, time."""
    bare = text([("The Larks", "Dawn", "Noon", "24 Jan 2023 09:42"), ("The Larks", "Dawn", "Morning", "24 Jan 2023 09:46")], None)
    stored(tmp_path / "logs", {"ann.csv": bare})
    assert plays(read("lastfm", tmp_path / "logs"))[0] == ("ann", "the larks\tnoon", START)
    assert plays(read("lastfm", tmp_path / "logs", user="ben"))[0][0] == "ben"
    named = text([("x", "eve", "The Larks", "Noon", "1674553320")], ("id", "Username", "Artist", "Track", "uts"))
    stored(tmp_path / "logs", {"ann.csv": named})
    assert plays(read("lastfm", tmp_path / "logs"))[0] == ("eve", "the larks\tnoon", START)


def test_podcasts_are_left_out_and_skips_are_skips(tmp_path: Path) -> None:
    """A Spotify history gives tracks only; who went on skipped, and the longest whole play is the duration."""
    def entry(minute: int, ms: int, **more: Any) -> dict[str, Any]:
        return {"ts": f"2023-01-24T09:{minute:02d}:00Z", "username": "ann", "ms_played": ms, "master_metadata_track_name": "Noon",
                "master_metadata_album_artist_name": "Owls", "spotify_track_uri": "spotify:track:1", "reason_end": "trackdone", **more}

    podcast = dict.fromkeys(("master_metadata_track_name", "master_metadata_album_artist_name", "spotify_track_uri"))
    history = [entry(1, 200000), entry(5, 50000, reason_end="fwdbtn"), entry(9, 5000, **podcast, episode_name="Talk")]
    stored(tmp_path / "logs", {"endsong_0.json": json.dumps(history)})
    found = read("spotify", tmp_path / "logs")
    assert column(found, "feedback") == ["play", "skip"]
    assert column(found, "played_share") == [1.0, 0.25]
    assert found.account.bad == 0
    assert "1 row left out: podcast, audiobook or video, no track" in " ".join(found.account.sentences())


def test_likes_of_yambda_belong_to_plays_until_they_are_taken_back(tmp_path: Path) -> None:
    """A like marks the plays of its user and track; one that was taken back later does not; the sequential form is the same."""
    listens = [{"uid": 1, "timestamp": 100 * place, "item_id": 7 + place, "played_ratio_pct": 90} for place in range(1, 4)]
    likes = [{"uid": 1, "timestamp": 500, "item_id": item} for item in (8, 9)]
    stored(tmp_path / "flat" / "logs", {"listens.parquet": listens, "likes.parquet": likes,
                                        "unlikes.parquet": [{"uid": 1, "timestamp": 600, "item_id": 9}]})
    flat = read("yambda", tmp_path / "flat" / "logs")
    assert column(flat, "feedback") == ["like", "play", "play"]
    sequential = [{"uid": 1, **{name: [one[name] for one in listens] for name in ("timestamp", "item_id", "played_ratio_pct")}}]
    stored(tmp_path / "seq" / "logs", {"listens.parquet": sequential})
    assert plays(read("yambda", tmp_path / "seq" / "logs")) == plays(flat)


def test_yandex_reads_folders_categories_and_logs_without_track_seq(tmp_path: Path) -> None:
    """What Spark and pandas write is read: parts in a folder, a category as type, and plays that only have times."""
    moments = [START + timedelta(minutes=place) for place in (5, 1, 3)]
    table = pa.table({"user_id": [1, 1, 2], "track_id": [10, 11, 10], "started_at": moments})
    folder = tmp_path / "logs" / "interactions.parquet"
    folder.mkdir(parents=True)
    for part in range(3):
        pq.write_table(table.slice(part, 1), folder / f"part-0000{part}-c000.snappy.parquet")
    (folder / "_SUCCESS").write_text("")
    lists = {kind: pa.array([[1], []], pa.list_(pa.int64())) for kind in ("albums", "artists", "genres")}
    pq.write_table(pa.table({"track_id": [10, 11], **lists}), tmp_path / "logs" / "tracks.parquet")
    catalog = {"id": [10], "type": pa.array(["track"]).dictionary_encode(), "name": ["Noon"]}
    pq.write_table(pa.table(catalog), tmp_path / "logs" / "catalog_names.parquet")
    found = read("yandex", tmp_path / "logs")
    assert plays(found) == [("1", "11", moments[1]), ("1", "10", moments[0]), ("2", "10", moments[2])]
    assert names(found, "track") == {"Noon"}
    assert found.account.rows == 3


def test_lines_and_rows_add_up(tmp_path: Path) -> None:
    """Every line of a messy folder is a row, left out, or no row; nothing is unaccounted for."""
    given = text([(*row, 'a "b",\nc') for row in rows()], (*HEADER, "title")).splitlines(keepends=True)
    given.insert(10, "\n")
    given.insert(20, "nonsense\n")
    stored(tmp_path / "logs", {"plays.csv": "".join(given)})
    account = read("columns", tmp_path / "logs", title="title").account
    assert sum(file.lines for file in account.files) == account.rows + account.bad + account.no_rows
    assert (account.rows, account.bad) == (1200, 1)
    assert np.isclose(account.record()["rows"], 1200)
