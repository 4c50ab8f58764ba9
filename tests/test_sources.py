"""The reader of the Yandex Music data: what it reads, and what it refuses."""

from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from musicrec.datasets.generated import is_generated
from musicrec.errors import MusicRecError, SchemaError, SourceError
from musicrec.sources import SOURCES, RawTables
from musicrec.sources.yandex import Yandex

Tables = dict[str, pa.Table]
DAYS = pa.array([datetime(2022, 1, 1), datetime(2022, 3, 1), datetime(2022, 12, 31)], pa.timestamp("us"))


def small() -> Tables:
    """Two tracks, two users, three plays."""
    ids = pa.list_(pa.int64())
    return {
        "tracks": pa.table({"track_id": pa.array([26, 38], pa.int64()), "albums": pa.array([[3], []], ids),
                            "artists": pa.array([[9], [16]], ids), "genres": pa.array([[11, 21], [124]], ids)}),
        "catalog_names": pa.table({"id": pa.array([26, 38, 3, 9, 11], pa.int64()), "type": ["track", "track", "album", "artist", "genre"],
                                   "name": ["Complimentary", "None", "Children", "Catapult", "pop"]}),
        "interactions": pa.table({"user_id": pa.array([0, 0, 1], pa.int32()), "track_id": pa.array([26, 38, 26], pa.int32()),
                                  "track_seq": pa.array([1, 2, 1], pa.int16()), "started_at": DAYS}),
    }


def stored(folder: Path, tables: Tables) -> Path:
    """`folder` with the tables as parquet."""
    folder.mkdir(exist_ok=True, parents=True)
    for name, table in tables.items():
        pq.write_table(table, folder / f"{name}.parquet")
    return folder


def read(folder: Path) -> RawTables:
    """The raw tables of a folder, on a fresh engine."""
    return Yandex(folder=folder).read(ibis.duckdb.connect())


def with_column(tables: Tables, table: str, column: str, values: pa.Array | None) -> Tables:
    """The tables with one column replaced, or dropped when values is None."""
    old = tables[table]
    place = old.schema.get_field_index(column)
    new = old.remove_column(place) if values is None else old.set_column(place, column, values)
    return {**tables, table: new}


def test_what_was_stored_is_read(tmp_path: Path) -> None:
    """The tables have the rows of the files."""
    tables = small()
    found = read(stored(tmp_path, tables))
    assert found.account.sentences()[0].startswith("3 plays were read from 1 file with 3 lines")
    assert found.interactions.order_by("user_id", "track_seq").to_pyarrow().to_pylist() == tables["interactions"].to_pylist()
    assert found.tracks.order_by("track_id").to_pyarrow().to_pylist() == tables["tracks"].to_pylist()
    assert len(found.catalog_names.to_pyarrow()) == 5


@pytest.mark.parametrize(("table", "column", "values"), [
    ("tracks", "albums", pa.array([[], []], pa.list_(pa.null()))),
    ("interactions", "started_at", pa.array([date(2022, 1, 1), date(2022, 3, 1), date(2022, 12, 31)], pa.date32())),
    ("interactions", "started_at", DAYS.cast(pa.timestamp("ns"))),
    ("interactions", "started_at", DAYS.cast(pa.timestamp("ms"))),
    ("interactions", "user_id", pa.array([0, 0, 1], pa.int64())),
    ("interactions", "track_seq", pa.array([1, 2, 1], pa.int64())),
    ("catalog_names", "name", pa.array(["Complimentary", "None", "Children", "Catapult", "pop"], pa.large_string())),
], ids=["list<null>", "date32", "ns", "ms", "wide ids", "wide seq", "large text"])
def test_types_of_the_same_family_are_read(tmp_path: Path, table: str, column: str, values: pa.Array) -> None:
    """A type of the right family gives the same table as the usual type."""
    usual, other = read(stored(tmp_path / "a", small())), read(stored(tmp_path / "b", with_column(small(), table, column, values)))
    left, right = getattr(usual, table), getattr(other, table)
    assert left.schema() == right.schema()
    assert (table, column) == ("tracks", "albums") or left.to_pyarrow().equals(right.to_pyarrow())


def test_a_stored_index_is_left_out(tmp_path: Path) -> None:
    """A pandas index column in the file does not reach the tables."""
    tables = small()
    tables["interactions"] = tables["interactions"].append_column("__index_level_0__", pa.array([0, 1, 0]))
    assert read(stored(tmp_path, tables)).interactions.columns == ("user_id", "track_id", "track_seq", "started_at")


def test_played_share_is_kept(tmp_path: Path) -> None:
    """Where the file has played_share, the table has it, too."""
    tables = small()
    tables["interactions"] = tables["interactions"].append_column("played_share", pa.array([0.5, 1.0, 0.25], pa.float64()))
    assert sorted(read(stored(tmp_path, tables)).interactions.played_share.to_pyarrow().to_pylist()) == [0.25, 0.5, 1.0]


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def _as_text(path: Path) -> None:
    path.write_text("user_id,track_id\n1,2\n")


def _overwritten_inside(path: Path) -> None:
    body = bytearray(path.read_bytes())
    body[4:len(body) // 2] = b"\xff" * (len(body) // 2 - 4)
    path.write_bytes(body)


@pytest.mark.parametrize("name", ["tracks", "catalog_names", "interactions"])
@pytest.mark.parametrize(("damage", "word"), [(Path.unlink, "does not exist"), (_as_text, "not a parquet file"), (_cut, "truncated")],
                         ids=["missing", "text", "truncated"])
def test_unusable_files_are_refused(tmp_path: Path, name: str, damage: Callable[[Path], Any], word: str) -> None:
    """The message names the file and what is wrong with it."""
    damage(stored(tmp_path, small()) / f"{name}.parquet")
    with pytest.raises(SourceError, match=word) as caught:
        read(tmp_path)
    assert f"{name}.parquet" in str(caught.value)


def test_a_file_damaged_inside_is_refused(tmp_path: Path) -> None:
    """Pages that cannot be decoded are found before an engine reads them."""
    _overwritten_inside(stored(tmp_path, small()) / "interactions.parquet")
    with pytest.raises(SourceError, match=r"interactions\.parquet is damaged"):
        read(tmp_path)


def _two(numbers: list[int]) -> pa.Array:
    return pa.array(numbers, pa.int64())


@pytest.mark.parametrize(("table", "column", "values", "error", "words"), [
    ("tracks", "genres", None, SchemaError, "genres"),
    ("interactions", "started_at", None, SchemaError, "started_at"),
    ("interactions", "started_at", pa.array(["a", "b", "c"]), SchemaError, "timestamps"),
    ("interactions", "user_id", pa.array(["x", "y", "z"]), SchemaError, "integers"),
    ("tracks", "artists", pa.array(["x", "y"]), SchemaError, "lists"),
    ("tracks", "track_id", _two([26, 26]), SourceError, "26"),
    ("tracks", "track_id", _two([-4, 26]), SourceError, "-4"),
    ("tracks", "track_id", _two([2**40, 26]), SourceError, str(2**40)),
    ("interactions", "user_id", _two([0, -1, 1]), SourceError, "-1"),
    ("interactions", "track_id", _two([-7, 38, 26]), SourceError, "-7"),
    ("interactions", "user_id", _two([0, 2**31, 1]), SourceError, str(2**31)),
    ("interactions", "started_at", pa.array([0, 1, 10**17], pa.timestamp("ms")), SourceError, "timestamp"),
    ("interactions", "started_at", pa.array([0, 1, -(2**62)], pa.timestamp("us")), SourceError, "timestamp"),
    ("interactions", "started_at", pa.array([0, 1, 2**30], pa.date32()), SourceError, "timestamp"),
])
def test_unusable_columns_are_refused(tmp_path: Path, table: str, column: str, values: pa.Array | None, error: type[MusicRecError],
                                      words: str) -> None:
    """The message is one line and names the file, the column and the value."""
    with pytest.raises(error) as caught:
        read(stored(tmp_path, with_column(small(), table, column, values)))
    sentence = str(caught.value)
    assert f"{table}.parquet" in sentence
    assert column in sentence
    assert words in sentence
    assert "\n" not in sentence


@pytest.mark.parametrize("name", ["tracks", "interactions"])
def test_empty_tables_are_refused(tmp_path: Path, name: str) -> None:
    """A file without rows is an error."""
    tables = small()
    with pytest.raises(SourceError, match="no rows"):
        read(stored(tmp_path, {**tables, name: tables[name].slice(0, 0)}))


def test_every_source_says_what_it_reads() -> None:
    """Each entry of SOURCES is a dataclass whose first field is the folder, and is documented."""
    for kind in SOURCES.values():
        assert next(iter(kind.__dataclass_fields__)) == "folder"  # type: ignore[attr-defined]
        assert kind.__doc__
        assert kind.read.__doc__


def test_only_files_with_the_metadata_are_generated(tmp_path: Path) -> None:
    """Files without the metadata, and missing files, are not generated."""
    assert not is_generated(tmp_path)
    assert not is_generated(stored(tmp_path, small()))
