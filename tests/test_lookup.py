"""From parquet artifacts to mapped arrays and back, against plain Python."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from musicrec import registry
from musicrec.errors import ArtifactError, SchemaError
from musicrec.serving import cache, cache_space, checksums, layout
from musicrec.serving.answers import AnswerOptions, Answers
from musicrec.serving.layout import GrowingArray
from musicrec.serving.lookup import Lookup, grouped, lookup, place, without
from musicrec.storage import storage
from tests.service_world import HEARD, ITEMS, PERSONAL, POPULAR, PROJECT, USER, published, write_run

PARTS = ("recommendations", "seen", "popular", "items", "filters")


def made(root: Path, parts: tuple[str, ...] = PARTS) -> dict[str, Path]:
    """The folders of the parts of the current run below root."""
    location = str(root / "artifacts")
    return cache.ready(location, {}, registry.current(storage(location, {})), parts, root / "cache")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Lookup:
    """The little world, mapped."""
    root = tmp_path_factory.mktemp("world")
    return lookup(published(root), made(root))


def test_personal_lists(world: Lookup) -> None:
    """A user's list comes back in its order with its scores."""
    items, scores = world.personal.of(USER)
    assert items.tolist() == list(PERSONAL)
    assert scores.tolist() == [np.float32(1 - rank / 100) for rank in range(1, len(PERSONAL) + 1)]


@pytest.mark.parametrize("unknown", [0, 15, 17, USER - 1, USER + 1, 2**31 - 1])
def test_unknown_user(world: Lookup, unknown: int) -> None:
    """A user before, between or after the known ones has an empty list."""
    assert not len(world.personal.of(unknown)[0])
    assert not len(world.seen.of(unknown)[0])


def test_seen(world: Lookup) -> None:
    """What was seen comes back ascending."""
    assert world.seen.of(USER)[0].tolist() == list(HEARD)


def test_popular_goes_on_through_the_catalog(world: Lookup) -> None:
    """The published top list is followed by all other items, most listeners first."""
    assert world.popular.tolist() == [*POPULAR, *(item for item in ITEMS if item not in POPULAR)]


def test_texts(world: Lookup) -> None:
    """Names, artists and genres are those of the item; an unknown item has none."""
    item = world.catalog.item(151)
    assert (item.name, item.artists, item.genres, item.artist_ids) == ("Track 151", ("Artist 4",), ("rock",), (4,))
    assert world.catalog.item(5) == type(item)(5)


def test_arrays_are_read_only(world: Lookup) -> None:
    """Nobody can write into the mapped arrays."""
    with pytest.raises(ValueError, match="read-only"):
        world.personal.items[0] = 1


@settings(max_examples=30)
@given(rows=st.lists(st.tuples(st.integers(0, 50), st.integers(0, 2**31 - 1)), max_size=60), batch=st.integers(1, 7))
def test_seen_is_a_dictionary_of_sets(rows: list[tuple[int, int]], batch: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    """For any events, in batches of any size, seen is what a dictionary of sets holds."""
    folder = tmp_path_factory.mktemp("seen")
    rows.sort(key=lambda row: row[0])
    columns = {"user_id": [user for user, _ in rows], "item_id": [item for _, item in rows], "track_seq": [1] * len(rows),
               "started_at": [0] * len(rows), "listened": [1] * len(rows)}
    types = (pa.int32(), pa.int32(), pa.int16(), pa.timestamp("us"), pa.int8())
    table = pa.table([pa.array(values, kind) for values, kind in zip(columns.values(), types)], names=list(columns))
    pq.write_table(table, folder / "events.parquet")
    into = folder / "out"
    into.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "_ROWS", batch)
        layout.write("seen", folder, into)
    seen = grouped(into, "item_id")
    for user in range(52):
        assert seen.of(user)[0].tolist() == sorted({item for one, item in rows if one == user})


@given(st.lists(st.integers(0, 50), unique=True), st.lists(st.integers(0, 50)))
def test_without_agrees_with_sets(seen: list[int], items: list[int]) -> None:
    """without and place agree with Python's `in`."""
    ascending = np.array(sorted(seen), np.int32)
    assert without(np.array(items, np.int32), ascending).tolist() == [item not in seen for item in items]
    assert [place(ascending, item) >= 0 for item in items] == [item in seen for item in items]


def test_names_of_any_alphabet(tmp_path: Path) -> None:
    """Names with any characters, empty ones and missing ones come back as they are; missing as empty."""
    names = ["Ёлка", "", None, "日本 \U0001f3b5", "a" * 3000]
    lists = [["Би-2", "x"], [], None, [""], ["y"]]
    n = len(names)
    pq.write_table(pa.table({
        "item_id": pa.array([5, 3, 9, 1, 7], pa.int64()), "name": names, "artists": pa.array(lists, pa.list_(pa.string())),
        "albums": pa.array([[]] * n, pa.list_(pa.null())), "genres": pa.array([[]] * n, pa.list_(pa.null())),
        "num_users": pa.array([1] * n), "num_users_norm": [0.5] * n, "num_albums": [1] * n, "genre_score_mean": [0.1] * n,
        "album_ids": pa.array([[]] * n, pa.list_(pa.null())), "artist_ids": pa.array([[1, 2], [], None, [3], [4]], pa.list_(pa.int64())),
        "genre_ids": pa.array([[]] * n, pa.list_(pa.null()))}), tmp_path / "items.parquet")
    into = tmp_path / "out"
    into.mkdir()
    layout.write("items", tmp_path, into)
    from musicrec.serving.lookup import ItemNames
    from musicrec.serving.lookup import arrays as mapped

    found = mapped(into)
    catalog = ItemNames(found["item_id"], found)
    assert [catalog.item(item).name for item in (5, 3, 9, 1, 7)] == ["Ёлка", "", "", "日本 \U0001f3b5", "a" * 3000]
    assert [catalog.item(item).artists for item in (5, 3, 9, 7)] == [("Би-2", "x"), (), (), ("y",)]
    assert [catalog.artist_ids(item) for item in (5, 3, 9, 1, 7)] == [(1, 2), (), (), (3,), (4,)]


def test_growing_array(tmp_path: Path) -> None:
    """A file written in pieces is what numpy reads, whatever its length."""
    for pieces in ([], [[1, 2], []], [list(range(100_000))] * 3):
        with GrowingArray(tmp_path / "a.npy", np.int32) as array:
            for piece in pieces:
                array.add(np.array(piece))
        assert np.load(tmp_path / "a.npy").tolist() == [value for piece in pieces for value in piece]


def test_cache_is_made_once(tmp_path: Path) -> None:
    """A second call finds the arrays and writes nothing; a run with one changed artifact makes only the parts of that one."""
    published(tmp_path)
    first = made(tmp_path)
    times = {part: (folder / "index.json").stat().st_mtime_ns for part, folder in first.items()}
    assert made(tmp_path) == first
    published(tmp_path, personal=range(160, 170))
    second = made(tmp_path)
    assert {part for part in PARTS if first[part] != second[part]} == {"recommendations"}
    assert times == {part: (folder / "index.json").stat().st_mtime_ns for part, folder in first.items()}


def test_many_processes_make_it_once(tmp_path: Path) -> None:
    """Processes that start at the same time end with one whole cache."""
    published(tmp_path)
    code = ("import sys; from pathlib import Path; from tests.test_lookup import made; "
            "from musicrec.serving.lookup import lookup; print(len(lookup('x', made(Path(sys.argv[1]))).popular))")
    command = [sys.executable, "-c", code, str(tmp_path)]
    processes = [subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert [process.communicate(timeout=60)[0].strip() for process in processes] == [str(len(ITEMS))] * 3
    assert not list((tmp_path / "cache").glob("*.part"))


def test_damaged_artifact(tmp_path: Path) -> None:
    """A published file whose bytes changed is refused by name, whether the arrays exist already or not."""
    run_id = published(tmp_path)
    file = tmp_path / "artifacts" / "runs" / run_id / "recommendations.parquet"
    whole = file.read_bytes()
    file.write_bytes(whole[:-10])
    with pytest.raises(ArtifactError, match=r"recommendations\.parquet is damaged"):
        made(tmp_path)
    file.write_bytes(whole)
    made(tmp_path)
    file.write_bytes(whole[:-10])
    with pytest.raises(ArtifactError, match=r"recommendations\.parquet is damaged"):
        made(tmp_path)


def test_missing_artifact(tmp_path: Path) -> None:
    """A run whose file is gone is refused by name."""
    run_id = published(tmp_path)
    (tmp_path / "artifacts" / "runs" / run_id / "items.parquet").unlink()
    with pytest.raises(ArtifactError, match=r"items\.parquet is missing"):
        made(tmp_path)


def test_nothing_published(tmp_path: Path) -> None:
    """Where nothing is published, the sentence says how to publish."""
    with pytest.raises(ArtifactError, match="make demo"):
        made(tmp_path)


def test_foreign_artifacts(tmp_path: Path) -> None:
    """A file that is not parquet, lacks a column, or is not sorted is refused by name."""
    run, into = write_run(tmp_path / "run"), tmp_path / "out"
    into.mkdir()
    table = pq.read_table(run / "recommendations.parquet")
    pq.write_table(table.sort_by([("user_id", "descending")]), run / "recommendations.parquet")
    with pytest.raises(ArtifactError, match=r"recommendations\.parquet is not sorted by user_id"):
        layout.write("recommendations", run, into)
    pq.write_table(table.drop_columns("score"), run / "recommendations.parquet")
    with pytest.raises(SchemaError, match="no column 'score'"):
        layout.write("recommendations", run, into)
    (run / "recommendations.parquet").write_text("user_id,item_id\n1,2\n")
    with pytest.raises(ArtifactError, match="not a readable parquet file"):
        layout.write("recommendations", run, into)
    events = pq.read_table(run / "events.parquet")
    pq.write_table(events.sort_by([("user_id", "descending")]), run / "events.parquet")
    with pytest.raises(ArtifactError, match=r"events\.parquet is not sorted by user_id"):
        layout.write("seen", run, into)


def test_damaged_cache(tmp_path: Path) -> None:
    """A cut-off or missing array in the cache is refused with the folder to remove."""
    run_id = published(tmp_path)
    folders = made(tmp_path)
    array = folders["seen"] / "item_id.npy"
    array.write_bytes(array.read_bytes()[:-4])
    with pytest.raises(ArtifactError, match=r"seen.* is damaged .* remove it"):
        lookup(run_id, folders)
    array.unlink()
    with pytest.raises(ArtifactError, match=r"seen.* is damaged .* remove it"):
        lookup(run_id, folders)


def test_changed_arrays_are_made_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Random bytes in any file of the cache, and a file that is gone, are noticed when a service loads it, named, and made anew."""
    run_id = published(tmp_path)
    folders = made(tmp_path)
    before = {path: path.read_bytes() for folder in folders.values() for path in folder.iterdir()}
    arrays = [path for path in before if path.name != checksums.NAME]
    for path in arrays:
        path.write_bytes(np.random.default_rng(1).bytes(len(before[path])))
    assert made(tmp_path) == folders
    changed = {folder: ", ".join(sorted(path.name for path in arrays if path.parent == folder)) for folder in folders.values()}
    assert caplog.messages == [f"cache folder {folder} is damaged ({names} changed) and made again" for folder, names in changed.items()]
    caplog.clear()
    folders["seen"].joinpath("keys.npy").unlink()
    folders["popular"].joinpath(checksums.NAME).write_bytes(b"nonsense")
    assert made(tmp_path) == folders
    assert [message.partition(" is damaged (")[2] for message in caplog.messages] == [
        "keys.npy: No such file or directory) and made again", "checksums.json cannot be read) and made again"]
    assert {path: path.read_bytes() for path in before} == before
    assert lookup(run_id, folders).personal.of(USER)[0].tolist() == list(PERSONAL)
    (folders["recommendations"] / "keys.npy").write_bytes(b"x")
    with pytest.raises(ArtifactError, match=r"recommendations.* cannot be used \(keys\.npy changed\)"):
        cache.warm(registry.current(storage(str(tmp_path / "artifacts"), {})), PARTS, tmp_path / "cache")


def test_the_cache_stays_below_its_limit(tmp_path: Path) -> None:
    """Of runs that nobody serves the arrays used longest ago go first; the run just mapped stays although it is larger than the limit."""
    location, runs = str(tmp_path / "artifacts"), []
    for day, first in enumerate((150, 160, 170)):
        published(tmp_path, personal=range(first, first + 10))
        runs.append(made(tmp_path)["recommendations"])
        os.utime(runs[-1], (time.time() - 1000 + day, time.time() - 1000 + day))
    run = registry.current(storage(location, {}))
    one = cache_space.size(runs[0])
    needed = 2 * run.files["recommendations.parquet"].bytes
    published(tmp_path, personal=range(180, 190))
    run = registry.current(storage(location, {}))
    limit = cache_space.size(tmp_path / "cache") - one - one // 2 + needed
    newest = cache.ready(location, {}, run, PARTS, tmp_path / "cache", limit)["recommendations"]
    assert [folder.exists() for folder in (*runs, newest)] == [False, False, True, True]
    published(tmp_path, personal=range(190, 200))
    found = cache.ready(location, {}, registry.current(storage(location, {})), PARTS, tmp_path / "cache", 0)
    assert [folder.exists() for folder in (runs[2], newest, *found.values())] == [False, False, *[True] * len(PARTS)]


def test_cleaning_the_cache_spares_what_is_served(tmp_path: Path) -> None:
    """--all removes everything but the run that a service noted as served; a dry run removes nothing."""
    published(tmp_path)
    old = made(tmp_path)["recommendations"]
    run_id = published(tmp_path, personal=range(160, 170))
    location = str(tmp_path / "artifacts")
    served = made(tmp_path)
    cache_space.ServedRun.of(tmp_path / "cache", location, PARTS).write(registry.current(storage(location, {})))
    copies = (tmp_path / "cache" / "runs").glob("*")
    gone = [old, *(folder for folder in copies if folder.name != run_id)]
    assert cache.clean(tmp_path / "cache", 1 << 40) == []
    assert sorted(cache.clean(tmp_path / "cache", 1 << 40, everything=True, dry_run=True)) == sorted(gone)
    assert old.exists()
    assert sorted(cache.clean(tmp_path / "cache", 1 << 40, everything=True)) == sorted(gone)
    assert [folder.exists() for folder in (old, *served.values())] == [False, *[True] * len(served)]


def test_unwritable_cache(tmp_path: Path) -> None:
    """A cache folder that cannot be made is named."""
    published(tmp_path)
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(ArtifactError, match="cache"):
        made(tmp_path)


def test_index_lists_every_array(tmp_path: Path) -> None:
    """index.json names each array with its type and length."""
    published(tmp_path)
    index = json.loads((made(tmp_path)["recommendations"] / "index.json").read_text())
    assert index == {"item_id": ["int32", 60], "keys": ["int32", 2], "score": ["float32", 60], "starts": ["int64", 3]}


def test_old_arrays_are_forgotten(tmp_path: Path) -> None:
    """Arrays that nobody took up for seven days go when a later run is mapped; younger ones stay."""
    published(tmp_path)
    old = made(tmp_path)
    published(tmp_path, personal=range(160, 170))
    young = made(tmp_path)
    os.utime(old["recommendations"], (0, 0))
    published(tmp_path, personal=range(170, 180))
    now = made(tmp_path)
    assert not old["recommendations"].exists()
    assert all(folder.exists() for folder in (*young.values(), *now.values()))


def test_artists_over_the_limit_come_before_popular_items(world: Lookup) -> None:
    """With one track an artist, the rest of the personal list fills the answer before popular items do, and nothing is missing."""
    limited, free = (Answers(world, AnswerOptions(max_per_artist=most)) for most in (1, 0))
    size = sum(source == "personal" for source in free.offline(USER, 50).sources)
    answer = limited.offline(USER, size + 3)
    assert answer.sources == ("personal",) * size + ("popular",) * 3
    assert sorted(answer.item_ids) == sorted(free.offline(USER, size + 3).item_ids)
    artists = [world.catalog.artist_ids(item) for item in answer.item_ids[:size]]
    assert len(set(artists)) < size, "no artist comes twice in this list"
    assert artists[:len(set(artists))] == list(dict.fromkeys(artists))
