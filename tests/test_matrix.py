"""Plays as a matrix: the streaming builder against a dictionary that counts by hand."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from musicrec.errors import DataError
from musicrec.matrix import Batch, Plays, kept_of_rows, plays, plays_from_batches

ITEMS = np.array([3, 8, 9, 20, 21], np.int32)
Row = tuple[int, int, int, float]
ROWS = st.lists(st.tuples(st.integers(0, 6), st.sampled_from(ITEMS.tolist()), st.integers(-5, 9), st.sampled_from([0.25, 0.5, 1.0])),
                max_size=60)


def _batches(rows: list[Row], cuts: list[int], weighted: bool) -> list[Batch]:
    edges = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    made = []
    for start, end in pairwise(edges):
        user, item, late, weight = (np.array([row[i] for row in rows[start:end]]) for i in range(4))
        made.append(Batch(user.astype(np.int32), item.astype(np.int32), late.astype(np.int32),
                          weight.astype(np.float32) if weighted else None))
    return made


def _by_hand(rows: list[Row], weighted: bool) -> dict[tuple[int, int], tuple[float, int]]:
    pairs: dict[tuple[int, int], tuple[float, int]] = {}
    for user, item, late, weight in rows:
        value, latest = pairs.get((user, item), (0.0, -10**6))
        pairs[user, item] = (value + (weight if weighted else 1.0), max(latest, late))
    return pairs


def _entries(made: Plays) -> dict[tuple[int, int], tuple[float, int]]:
    rows = np.repeat(made.user_ids, np.diff(made.matrix.indptr)).tolist()
    return {(user, int(ITEMS[column])): (float(value), int(late))
            for user, column, value, late in zip(rows, made.matrix.indices, made.matrix.data, made.minutes)}


@settings(max_examples=60, deadline=None)
@given(rows=ROWS, cuts=st.lists(st.integers(0, 60), max_size=6), weighted=st.booleans())
def test_batches_merge_to_what_counting_by_hand_gives(rows: list[Row], cuts: list[int], weighted: bool) -> None:
    """However the stream is cut into batches, every pair has its plays added and its latest minute."""
    rows = sorted(rows, key=lambda row: row[0])
    made = plays_from_batches(_batches(rows, cuts, weighted), ITEMS, expected=1)
    assert _entries(made) == _by_hand(rows, weighted)
    for row in range(len(made.user_ids)):
        columns = made.matrix.indices[made.matrix.indptr[row]:made.matrix.indptr[row + 1]]
        assert (np.diff(columns) > 0).all()
    assert (np.diff(made.user_ids) > 0).all()
    assert (made.minutes.dtype, made.matrix.indices.dtype, made.matrix.data.dtype) == (np.int32, np.int32, np.float32)


@settings(max_examples=30, deadline=None)
@given(rows=ROWS)
def test_streaming_and_sorting_in_memory_agree(rows: list[Row]) -> None:
    """plays_from_batches equals plays on the same events."""
    rows = sorted(rows, key=lambda row: row[0])
    streamed = plays_from_batches(_batches(rows, [7, 20], False), ITEMS)
    user, item, late = (np.array([row[i] for row in rows], np.int64) for i in range(3))
    whole = plays(user, np.searchsorted(ITEMS, item), late, None, len(ITEMS))
    assert _entries(streamed) == _entries(whole)


def test_descending_users_are_refused() -> None:
    """A table that is not sorted by user is refused, also where only a batch border shows it."""
    rows = [(2, 3, 0, 1.0), (1, 3, 0, 1.0)]
    for cuts in ([], [1]):
        with pytest.raises(DataError, match="user ids do not ascend"):
            plays_from_batches(_batches(rows, cuts, False), ITEMS)


@pytest.mark.parametrize("stray", [4, 2, 22, 10**9, -3])
@pytest.mark.parametrize("far", [False, True], ids=["dense ids", "sparse ids"])
def test_an_item_outside_the_catalogue_is_refused_by_its_id(stray: int, far: bool) -> None:
    """The sentence names the id, be it between, below or above the catalogue's, in either way of looking ids up."""
    items = np.append(ITEMS, np.int32(2**30)) if far else ITEMS
    with pytest.raises(DataError, match=f"item id {stray} is not in the catalogue"):
        plays_from_batches(_batches([(1, 3, 0, 1.0), (1, stray, 0, 1.0)], [], False), items)


def test_sparse_ids_are_found_like_dense_ones() -> None:
    """A huge id in the catalogue changes how ids are looked up, not what is found."""
    rows = [(1, 8, 0, 1.0), (1, 21, 1, 1.0), (3, 3, 0, 1.0)]
    dense = plays_from_batches(_batches(rows, [], False), ITEMS)
    sparse = plays_from_batches(_batches(rows, [], False), np.append(ITEMS, np.int32(2**30)))
    assert dense.matrix.indices.tolist() == sparse.matrix.indices.tolist() == [1, 4, 0]


@given(rows=st.lists(st.lists(st.booleans(), max_size=5), max_size=8))
def test_kept_of_rows_counts_each_row_by_itself(rows: list[list[bool]]) -> None:
    """Of every row as many as it marks, of an empty one none, wherever it stands."""
    keep = np.array([one for row in rows for one in row], bool)
    indptr = np.cumsum([0, *map(len, rows)])
    assert kept_of_rows(keep, indptr).tolist() == [sum(row) for row in rows]
