"""Files that are read from a bucket or written to one, as if it were a folder."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from musicrec.errors import StorageError
from musicrec.storage import storage
from musicrec.storage.copying import local_copy, written
from tests.s3_server import S3Server


def test_a_folder_is_read_where_it_is(tmp_path: Path) -> None:
    """Nothing is copied."""
    assert local_copy(tmp_path, {}, tmp_path / "copy") == tmp_path
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize("scheme", ["s3", "s3a"])
def test_objects_below_a_prefix_become_a_folder_without_what_was_there_before(scheme: str, server: S3Server, tmp_path: Path) -> None:
    """Parts in folders keep their places, also when the location was a Path; a file of an earlier copy is gone."""
    place = storage("s3://music/logs", server.environment())
    place.write("plays.parquet/part-0.parquet", b"one")
    place.write("plays.parquet/part-1.parquet", b"two")
    place.write("tracks.csv", b"three")
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "earlier.csv").touch()
    found = local_copy(Path(f"{scheme}://music/logs/"), server.environment(), tmp_path / "copy")
    assert {path.relative_to(found).as_posix(): path.read_bytes() for path in found.rglob("*") if path.is_file()} == {
        "plays.parquet/part-0.parquet": b"one", "plays.parquet/part-1.parquet": b"two", "tracks.csv": b"three"}


def test_a_location_without_objects_is_one_sentence(server: S3Server, tmp_path: Path) -> None:
    """It names the location as it was written."""
    with pytest.raises(StorageError, match=r"s3a://music/nothing holds no objects; correct bucket and prefix\."):
        local_copy(Path("s3a://music/nothing"), server.environment(), tmp_path / "copy")


def test_a_file_is_uploaded_when_it_is_complete(server: S3Server, tmp_path: Path) -> None:
    """After an error an earlier object stays; nothing stays on this machine."""
    place, target = storage("s3://music/out", server.environment()), Path("s3a://music/out/lists.parquet")
    with written(target, server.environment(), tmp_path / "work") as path:
        pq.write_table(pa.table({"user_id": [1]}), path)
    before = place.read("lists.parquet")
    stopped = written(target, server.environment(), tmp_path / "work")
    stopped.__enter__().write_bytes(b"half")
    assert not stopped.__exit__(KeyError, KeyError(), None)
    assert place.read("lists.parquet") == before
    assert list((tmp_path / "work").iterdir()) == []
