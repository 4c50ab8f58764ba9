"""Lists as arrays and as files: files are read as they were written, and are complete or absent."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from musicrec import lists
from musicrec.dataset import Int32
from musicrec.errors import StorageError
from musicrec.lists import JsonLinesWriter, Lists, Writer
from musicrec.schema import PERSONAL, check

ITEM_IDS = np.arange(1, 51, dtype=np.int32) * 10


def made(lengths: list[int], k: int, seed: int = 0) -> Lists:
    """Well-formed lists of the given lengths for users 7, 14, 21 ..."""
    rng = np.random.default_rng(seed)
    items, scores = lists.empty(len(lengths), k)
    for row, length in enumerate(lengths):
        items[row, :length] = rng.permutation(len(ITEM_IDS))[:length]
        scores[row, :length] = -np.sort(-rng.random(length).astype(np.float32))
    return Lists(np.arange(1, len(lengths) + 1, dtype=np.int32) * 7, items, scores)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lengths=st.lists(st.integers(1, 9), max_size=12), size=st.integers(1, 5), seed=st.integers(0, 999))
def test_what_is_written_in_batches_is_what_is_read(lengths: list[int], size: int, seed: int, tmp_path: Path) -> None:
    """Whatever the lengths and the batch size, users, items, order and scores come back."""
    whole = made(lengths, 9, seed)
    parts = [Lists(whole.user_ids[i:i + size], whole.items[i:i + size], whole.scores[i:i + size]) for i in range(0, len(whole), size)]
    assert lists.write(tmp_path / "a.parquet", parts, ITEM_IDS) == sum(lengths)
    back = lists.read(tmp_path / "a.parquet", ITEM_IDS, 9)
    np.testing.assert_array_equal(back.user_ids, whole.user_ids)
    np.testing.assert_array_equal(back.items, whole.items)
    np.testing.assert_array_equal(back.scores, whole.scores)


def test_the_file_has_the_published_schema_and_one_row_group_a_batch(tmp_path: Path) -> None:
    """Columns, types and row groups are those that readers by user range expect."""
    batch = made([3, 0, 2], 4)
    lists.write(tmp_path / "a.parquet", [batch, batch], ITEM_IDS)
    file = pq.ParquetFile(tmp_path / "a.parquet")
    with file:
        assert file.schema_arrow.equals(PERSONAL.arrow)
        assert file.num_row_groups == 2
        check(file.schema_arrow, PERSONAL, "a.parquet")


def test_rows_are_ranked_from_one_without_gaps() -> None:
    """Ids stand in place of indices, rank 1 is the first column, empty places are left out."""
    rows = lists.table(Lists(np.array([7], np.int32), np.array([[4, 1, -1]], np.int32), np.array([[2, 1, -np.inf]], np.float32)), ITEM_IDS)
    assert rows.to_pydict() == {"user_id": [7, 7], "item_id": [50, 20], "score": [2.0, 1.0], "rank": [1, 2]}


def test_reading_fewer_is_a_prefix(tmp_path: Path) -> None:
    """Reading with a smaller k gives the first k columns."""
    whole = made([9, 4, 1], 9)
    lists.write(tmp_path / "a.parquet", [whole], ITEM_IDS)
    np.testing.assert_array_equal(lists.read(tmp_path / "a.parquet", ITEM_IDS, 2).items, whole.top(2).items)


def test_an_item_that_the_catalog_lost_becomes_an_empty_place(tmp_path: Path) -> None:
    """Reading with fewer items raises no error."""
    two = Lists(np.array([7], np.int32), np.array([[49, 0]], np.int32), np.ones((1, 2), np.float32))
    lists.write(tmp_path / "a.parquet", [two], ITEM_IDS)
    assert lists.read(tmp_path / "a.parquet", ITEM_IDS[:40], 2).items.tolist() == [[-1, 0]]


def test_json_lines_hold_every_user_best_first(tmp_path: Path) -> None:
    """A user without recommendations gets an empty list."""
    with JsonLinesWriter(tmp_path / "a.json", ITEM_IDS) as writer:
        writer.add(Lists(np.array([7, 14], np.int32), np.array([[4, 1], [-1, -1]], np.int32), np.zeros((2, 2), np.float32)))
    lines = (tmp_path / "a.json").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [{"user": 7, "tracks": [50, 20]}, {"user": 14, "tracks": []}]


@pytest.mark.parametrize("kind", [Writer, JsonLinesWriter])
@pytest.mark.parametrize("fault", [ValueError, KeyboardInterrupt])
def test_a_failure_in_the_middle_leaves_the_earlier_file(kind: type[Writer], fault: type[BaseException], tmp_path: Path) -> None:
    """Whatever ends the block early, the earlier file stays byte for byte and no other file is left."""
    (tmp_path / "a").write_bytes(b"earlier")

    def broken_off(writer: Writer) -> None:
        writer.add(made([3, 2], 3))
        raise fault

    with pytest.raises(fault), kind(tmp_path / "a", ITEM_IDS) as writer:
        broken_off(writer)
    assert (tmp_path / "a").read_bytes() == b"earlier"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("kind", ["Writer", "JsonLinesWriter"])
def test_a_full_disk_is_one_sentence_and_leaves_the_earlier_file(kind: str, tmp_path: Path) -> None:
    """With a limit of 100 kB per file, the message names the file, and the earlier one is still read."""
    (tmp_path / "a").write_bytes(b"earlier")
    program = f"""
import resource, signal
from pathlib import Path
import numpy as np
from musicrec.errors import StorageError
from musicrec.lists import Lists, {kind}
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
rng = np.random.default_rng(0)
try:
    with {kind}(Path({str(tmp_path / 'a')!r}), np.arange(100_000, dtype=np.int32)) as writer:
        for start in range(0, 40_000, 2_000):
            users = np.arange(start, start + 2_000, dtype=np.int32)
            writer.add(Lists(users, rng.integers(0, 100_000, (2_000, 20), dtype=np.int32), rng.random((2_000, 20), dtype=np.float32)))
except StorageError as cause:
    print(cause)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.startswith(f"{tmp_path / 'a'} cannot be written: ")
    assert done.stdout.endswith("File too large; free space or choose another folder.\n")
    assert done.stdout.count("\n") == 1
    assert (tmp_path / "a").read_bytes() == b"earlier"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_folder_that_does_not_exist_is_one_sentence(tmp_path: Path) -> None:
    """The message names the path."""
    with pytest.raises(StorageError, match=r"nowhere/a cannot be written"):
        lists.write(tmp_path / "nowhere" / "a", [], ITEM_IDS)


def test_batches_ask_for_all_users_once_in_order() -> None:
    """Each user is in exactly one batch of at most `size` users."""
    asked: list[list[int]] = []

    class Echo:
        """Recommends to each user the item of their own index."""

        def recommend(self, user_index: Int32, k: int) -> tuple[Int32, np.ndarray]:
            asked.append(user_index.tolist())
            return np.repeat(user_index[:, None], k, axis=1), np.zeros((len(user_index), k), np.float32)

    users = np.array([5, 6, 7, 8, 9], np.int32)
    found = list(lists.batches(Echo(), users, np.arange(5, dtype=np.int32), 2, 2))
    assert asked == [[0, 1], [2, 3], [4]]
    assert np.concatenate([part.user_ids for part in found]).tolist() == users.tolist()
    assert np.concatenate([part.items for part in found]).tolist() == [[i, i] for i in range(5)]


def test_an_empty_file_is_a_file(tmp_path: Path) -> None:
    """No user at all: a table without rows, which reads as no lists."""
    assert lists.write(tmp_path / "a.parquet", [], ITEM_IDS) == 0
    assert len(lists.read(tmp_path / "a.parquet", ITEM_IDS, 3)) == 0
    assert pq.read_table(tmp_path / "a.parquet").schema.equals(pa.schema(PERSONAL.arrow))
