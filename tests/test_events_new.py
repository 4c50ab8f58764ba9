"""What leaves the logs of a stream as files: each row once, whatever was killed in between."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from musicrec.events import EventStore, Exposure, event_store, export
from tests.commands import exit_code
from tests.redis_server import redis_server


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """An empty Redis."""
    (tmp_path / "redis").mkdir()
    with redis_server(tmp_path / "redis") as found:
        yield found


def put(url: str, first: int, n: int, deleted: int | None = None) -> None:
    """n plays, and as many exposures of two items, from number `first` on; then a user is deleted."""
    async def steps(store: EventStore) -> None:
        for number in range(first, first + n):
            await store.put(number % 3, number)
            await store.put_exposures([Exposure(number % 3, (number, number + 1), ("personal",), 1000 + number, run="r")])
        if deleted is not None:
            await store.delete(deleted)
        await store.close()
    asyncio.run(steps(event_store("redis", url)))


def told(folder: Path) -> pa.Table:
    """The rows of all files in the order of their names."""
    return pa.concat_tables([pq.read_table(path) for path in sorted(folder.glob("*.parquet"))])


def test_each_row_leaves_once_in_one_of_the_files(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files of several calls together hold what one whole export holds, and a call without news writes none."""
    monkeypatch.setattr(export, "_NEW", 4)
    store = event_store("redis", url)
    for first in (0, 10):
        put(url, first, 10)
        assert export.write_new(store, "impressions", tmp_path / "shown") == 20
        assert export.write_new(store, "interactions", tmp_path / "plays") == 10
        assert export.write_new(store, "impressions", tmp_path / "shown") == 0
    assert len(list((tmp_path / "shown").iterdir())) == 6
    assert told(tmp_path / "shown") == export.impressions(store)
    order = [("user_id", "ascending"), ("track_id", "ascending")]
    plays, whole = told(tmp_path / "plays").sort_by(order), export.interactions(store).sort_by(order)
    assert plays.select(["user_id", "track_id", "started_at"]) == whole.select(["user_id", "track_id", "started_at"])
    asyncio.run(store.close())


def test_what_a_killed_call_has_not_noted_is_written_again_under_its_name(url: str, tmp_path: Path,
                                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it ended before or after its file was there, no row is missing or there twice, also when a user was deleted meanwhile."""
    monkeypatch.setattr(export, "_NEW", 4)
    store = event_store("redis", url)
    put(url, 0, 10)
    rows = store.new_rows("impressions", 4)
    for _ in range(2):
        name, logs = next(rows)
        export.write(export.impressions(logs), tmp_path / f"impressions-{name}.parquet")
    rows.close()  # the second file is there, and nobody has noted it
    assert export.write_new(store, "impressions", tmp_path) == 12
    assert told(tmp_path) == export.impressions(store)
    put(url, 10, 6)
    next(store.new_rows("impressions", 6))
    put(url, 16, 0, deleted=1)
    export.write_new(store, "impressions", tmp_path / "after")
    assert set(told(tmp_path / "after")["user_id"].to_pylist()) == {0, 2}
    asyncio.run(store.close())


def test_the_command_writes_what_is_new_from_a_stream_alone(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                            capsys: pytest.CaptureFixture[str]) -> None:
    """A folder of files from Redis; one sentence for another store, and for a form that needs all rows."""
    put(url, 0, 3)
    monkeypatch.setenv("MUSICREC_EVENTS_PATH", url)
    monkeypatch.setenv("MUSICREC_EVENTS_STORE", "redis")
    asked = ("events", "export", "--new", "--out", tmp_path / "new")
    assert exit_code(*asked, "--form", "impressions") == 0
    assert told(tmp_path / "new").num_rows == 6
    assert exit_code(*asked) == 2
    monkeypatch.setenv("MUSICREC_EVENTS_STORE", "memory")
    assert exit_code(*asked, "--form", "impressions") == 1
    assert "--new needs a store that is a stream" in capsys.readouterr().err
