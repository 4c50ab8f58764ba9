"""Files appear complete or not at all; a full disk is one sentence that names the file."""

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from catboost import CatBoost, Pool

from musicrec import lists, similar_items
from musicrec.errors import StorageError
from musicrec.events import export
from musicrec.files import make_folder, replaced, write_parquet
from musicrec.models.als import ALS, FittedALS
from musicrec.ranking import Blender, FeatureColumns
from musicrec.ranking.ranker import Ranker
from musicrec.registry import RunInfo, fetch, publish
from musicrec.storage import storage
from tests.service_world import write_run
from tests.worlds import random_world

ROWS = pa.table({"number": np.arange(1000)})


def _als(path: Path) -> None:
    world, rng = random_world(), np.random.default_rng(0)
    factors = (rng.random((n, 4), dtype=np.float32) for n in world.matrix.shape)
    FittedALS(world, *factors, ALS(factors=4)).save_npz(path)


def _ranker(path: Path) -> None:
    rows = Pool(np.arange(20.0)[:, None], np.arange(20) % 2)
    trees = CatBoost({"iterations": 2, "verbose": False, "allow_writing_files": False}).fit(rows)
    Ranker(trees, FeatureColumns((), {}), Blender((), 0.0, np.empty(0))).save(path)


def _lists(path: Path) -> None:
    users = np.arange(3, dtype=np.int32)
    lists.write(path, [lists.Lists(users, np.zeros((3, 1), np.int32), np.ones((3, 1), np.float32))], users)


def _similar(path: Path) -> None:
    items = np.array([[1], [0]], np.int32)
    similar_items.write(path, similar_items.ItemNeighbors(items, np.ones((2, 1), np.float32), np.zeros((2, 1), np.int8)), items[:, 0])


WRITERS: dict[str, Callable[[Path], object]] = {
    "top_popular.parquet": lambda path: write_parquet(ROWS, path), "personal_als.parquet": _lists, "similar.parquet": _similar,
    "als_model.npz": _als, "cb_model.cbm": _ranker, "plays.parquet": lambda path: export.write(ROWS, path),
}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no disk that is always full")
@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_is_one_sentence_and_leaves_the_earlier_file(name: str, tmp_path: Path) -> None:
    """When the partial file cannot be written, the message names the file, and only the earlier file is left."""
    (tmp_path / name).write_bytes(b"earlier")
    (tmp_path / f"{name}.part").symlink_to("/dev/full")
    with pytest.raises(StorageError, match=r"^[^\n]*No space left on device[^\n]*; free space or choose another folder\.$") as caught:
        WRITERS[name](tmp_path / name)
    assert str(caught.value).startswith(f"{tmp_path / name} cannot be written: ")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_bytes() == b"earlier"


@pytest.mark.parametrize("name", WRITERS)
def test_a_whole_file_takes_the_place_of_the_earlier_one(name: str, tmp_path: Path) -> None:
    """The earlier content is replaced, and no partial file is left."""
    (tmp_path / name).write_bytes(b"earlier")
    WRITERS[name](tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_bytes() != b"earlier"


@pytest.fixture
def open_umask() -> Iterator[None]:
    """The umask of a machine that lets everybody read."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_is_for_its_owner_and_group(name: str, tmp_path: Path, open_umask: None) -> None:
    """Mode 0640, exported plays 0600, whatever the umask."""
    WRITERS[name](tmp_path / name)
    assert stat.S_IMODE((tmp_path / name).stat().st_mode) == (0o600 if name == "plays.parquet" else 0o640)


def test_a_folder_and_its_parents_are_for_owner_and_group(tmp_path: Path, open_umask: None) -> None:
    """Those that are made have mode 0750, one that is there keeps its own, and a file in the way is refused."""
    (tmp_path / "there").mkdir(0o777)
    for _ in range(2):
        make_folder(tmp_path / "there" / "new" / "newer")
    assert [stat.S_IMODE((tmp_path / path).stat().st_mode) for path in ("there", "there/new", "there/new/newer")] == [0o777, 0o750, 0o750]
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError):
        make_folder(tmp_path / "file")


def test_a_published_run_is_for_its_owner_and_group(tmp_path: Path, open_umask: None) -> None:
    """Every file of a run has mode 0640 and every folder 0750, also where it was made for everybody; so has a cache."""
    place = storage(str(tmp_path / "artifacts"), {})
    fetch(place, publish(place, write_run(tmp_path / "run"), RunInfo({})), ["items.parquet"], tmp_path / "cache")
    found = [tmp_path / "cache", tmp_path / "artifacts", *(tmp_path / "artifacts").rglob("*")]
    assert {(path.is_dir(), stat.S_IMODE(path.stat().st_mode)) for path in found} == {(True, 0o750), (False, 0o640)}


@pytest.mark.parametrize("fault", [KeyboardInterrupt, ValueError])
def test_an_exception_leaves_the_earlier_file(fault: type[BaseException], tmp_path: Path) -> None:
    """Ctrl-C and errors are raised unchanged; no partial file is left."""
    def interrupted() -> None:
        with replaced(tmp_path / "a") as partial:
            partial.write_bytes(b"partial")
            raise fault

    (tmp_path / "a").write_bytes(b"earlier")
    with pytest.raises(fault):
        interrupted()
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"earlier")]
