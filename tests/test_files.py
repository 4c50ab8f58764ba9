"""Files appear complete or not at all; a full disk is one sentence that names the file."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from catboost import CatBoost, Pool

from musicrec import lists, similar_items
from musicrec.errors import StorageError
from musicrec.events import export
from musicrec.files import replaced, write_parquet
from musicrec.models.als import ALS, FittedALS
from musicrec.ranking import Blender, FeatureColumns
from musicrec.ranking.ranker import Ranker
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
