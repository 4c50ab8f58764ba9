"""Building Interactions from a stream of plays, against a dictionary counted by hand."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from musicrec.dataset import EventBatch, Interactions, counts_by_row, interactions, interactions_from_batches
from musicrec.errors import DataError

ITEMS = np.array([3, 8, 9, 20, 21], np.int32)
Row = tuple[int, int, int, float]
ROWS = st.lists(st.tuples(st.integers(0, 6), st.sampled_from(ITEMS.tolist()), st.integers(-5, 9), st.sampled_from([0.25, 0.5, 1.0])),
                max_size=60)


def _batches(rows: list[Row], cuts: list[int], blended: bool) -> list[EventBatch]:
    edges = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    made = []
    for start, end in pairwise(edges):
        user, item, late, weight = (np.array([row[i] for row in rows[start:end]]) for i in range(4))
        made.append(EventBatch(user.astype(np.int32), item.astype(np.int32), late.astype(np.int32),
                          weight.astype(np.float32) if blended else None))
    return made


def _by_hand(rows: list[Row], blended: bool) -> dict[tuple[int, int], tuple[float, int]]:
    pairs: dict[tuple[int, int], tuple[float, int]] = {}
    for user, item, late, weight in rows:
        value, latest = pairs.get((user, item), (0.0, -10**6))
        pairs[user, item] = (value + (weight if blended else 1.0), max(latest, late))
    return pairs


def _entries(made: Interactions) -> dict[tuple[int, int], tuple[float, int]]:
    rows = np.repeat(made.user_ids, np.diff(made.matrix.indptr)).tolist()
    return {(user, int(ITEMS[column])): (float(value), int(late))
            for user, column, value, late in zip(rows, made.matrix.indices, made.matrix.data, made.last_played)}


@settings(max_examples=60)
@given(rows=ROWS, cuts=st.lists(st.integers(0, 60), max_size=6), blended=st.booleans())
def test_batches_merge_to_what_counting_by_hand_gives(rows: list[Row], cuts: list[int], blended: bool) -> None:
    """However the stream is cut into batches, every pair has the sum of its weights and the time of its latest play."""
    rows = sorted(rows, key=lambda row: row[0])
    made = interactions_from_batches(_batches(rows, cuts, blended), ITEMS, expected=1)
    assert _entries(made) == _by_hand(rows, blended)
    for row in range(len(made.user_ids)):
        columns = made.matrix.indices[made.matrix.indptr[row]:made.matrix.indptr[row + 1]]
        assert (np.diff(columns) > 0).all()
    assert (np.diff(made.user_ids) > 0).all()
    assert (made.last_played.dtype, made.matrix.indices.dtype, made.matrix.data.dtype) == (np.int32, np.int32, np.float32)


@settings(max_examples=30)
@given(rows=ROWS)
def test_streaming_and_sorting_in_memory_agree(rows: list[Row]) -> None:
    """interactions_from_batches equals interactions on the same plays."""
    rows = sorted(rows, key=lambda row: row[0])
    streamed = interactions_from_batches(_batches(rows, [7, 20], False), ITEMS)
    user, item, late = (np.array([row[i] for row in rows], np.int64) for i in range(3))
    whole = interactions(user, np.searchsorted(ITEMS, item), late, None, len(ITEMS))
    assert _entries(streamed) == _entries(whole)


def test_descending_users_are_refused() -> None:
    """A table that is not sorted by user is refused, also where only a batch border shows it."""
    rows = [(2, 3, 0, 1.0), (1, 3, 0, 1.0)]
    for cuts in ([], [1]):
        with pytest.raises(DataError, match="user ids do not ascend"):
            interactions_from_batches(_batches(rows, cuts, False), ITEMS)


@pytest.mark.parametrize("stray", [4, 2, 22, 10**9, -3])
@pytest.mark.parametrize("far", [False, True], ids=["dense ids", "sparse ids"])
def test_an_item_outside_the_catalog_is_refused_by_its_id(stray: int, far: bool) -> None:
    """The message names the id, be it between, below or above the catalog's, in either way of looking ids up."""
    items = np.append(ITEMS, np.int32(2**30)) if far else ITEMS
    with pytest.raises(DataError, match=f"item id {stray} is not in the catalog"):
        interactions_from_batches(_batches([(1, 3, 0, 1.0), (1, stray, 0, 1.0)], [], False), items)


def test_sparse_ids_are_found_like_dense_ones() -> None:
    """A huge id in the catalog changes how ids are looked up, not what is found."""
    rows = [(1, 8, 0, 1.0), (1, 21, 1, 1.0), (3, 3, 0, 1.0)]
    dense = interactions_from_batches(_batches(rows, [], False), ITEMS)
    sparse = interactions_from_batches(_batches(rows, [], False), np.append(ITEMS, np.int32(2**30)))
    assert dense.matrix.indices.tolist() == sparse.matrix.indices.tolist() == [1, 4, 0]


@given(rows=st.lists(st.lists(st.booleans(), max_size=5), max_size=8))
def test_entries_are_counted_row_by_row(rows: list[list[bool]]) -> None:
    """Of every row as many as it marks, of an empty one none, wherever it stands."""
    keep = np.array([one for row in rows for one in row], bool)
    indptr = np.cumsum([0, *map(len, rows)])
    assert counts_by_row(keep, indptr).tolist() == [sum(row) for row in rows]


def _plays_by_hand(rows: list[Row]) -> dict[int, list[tuple[int, int]]]:
    """(time, column) of all plays of each user, sorted."""
    plays: dict[int, list[tuple[int, int]]] = {}
    for user, item, time, _ in rows:
        plays.setdefault(user, []).append((time, int(np.searchsorted(ITEMS, item))))
    return {user: sorted(of_user) for user, of_user in plays.items()}


@settings(max_examples=60)
@given(rows=ROWS, cuts=st.lists(st.integers(0, 60), max_size=6))
def test_sequences_hold_every_play_in_order_of_time(rows: list[Row], cuts: list[int]) -> None:
    """Items and times of each user are those of the log, repeats included, also in reverse order of users and with a cold user between."""
    rows = sorted(rows, key=lambda row: row[0])
    made, by_hand = interactions_from_batches(_batches(rows, cuts, False), ITEMS), _plays_by_hand(rows)
    asked = [*reversed(range(len(made.user_ids))), -1, *range(len(made.user_ids))]
    indptr, items, times = made.sequences(np.array(asked, np.int32))
    assert len(items) == len(times) == indptr[-1] == 2 * len(rows)
    for place, row in enumerate(asked):
        own = slice(indptr[place], indptr[place + 1])
        assert list(zip(times[own].tolist(), items[own].tolist())) == (by_hand[int(made.user_ids[row])] if row >= 0 else [])


@settings(max_examples=60)
@given(rows=ROWS, cuts=st.lists(st.integers(0, 60), max_size=6))
def test_first_play_and_number_of_plays_are_those_of_the_log(rows: list[Row], cuts: list[int]) -> None:
    """Each pair has the minimum of its times as first_played and as many plays as the log has."""
    rows = sorted(rows, key=lambda row: row[0])
    made = interactions_from_batches(_batches(rows, cuts, True), ITEMS)
    users = np.repeat(made.user_ids, np.diff(made.matrix.indptr)).tolist()
    by_hand: dict[tuple[int, int], list[int]] = {}
    for user, item, time, _ in rows:
        by_hand.setdefault((user, item), []).append(time)
    pairs = list(zip(users, ITEMS[made.matrix.indices].tolist()))
    assert dict(zip(pairs, made.first_played.tolist())) == {pair: min(times) for pair, times in by_hand.items()}
    assert dict(zip(pairs, made.n_plays.tolist())) == {pair: len(times) for pair, times in by_hand.items()}


def test_first_play_is_no_copy_where_nothing_is_repeated() -> None:
    """Without repeats first_played is last_played itself."""
    made = interactions_from_batches(_batches([(1, 3, 5, 1.0), (1, 8, 4, 1.0)], [], False), ITEMS)
    assert made.first_played is made.last_played


@pytest.mark.parametrize("n_repeats", [1, 2, 3, 10, 100])
def test_a_play_takes_at_most_twelve_bytes(n_repeats: int) -> None:
    """Whether pairs are played once, twice or a hundred times, the arrays of pairs and repeats take 12 bytes per play, and 4 bytes once."""
    n_users, n_items = 50, 40
    users = np.repeat(np.arange(n_users), n_items * n_repeats)
    items = np.tile(np.repeat(np.arange(n_items), n_repeats), n_users)
    made = interactions(users, items, np.arange(len(users)), None, n_items)
    arrays = (made.matrix.data, made.matrix.indices, made.last_played, made.repeats.pairs, made.repeats.starts, made.repeats.times)
    assert sum(array.nbytes for array in arrays) <= 12 * len(users) + 4
    assert made.n_plays.sum() == len(users)
