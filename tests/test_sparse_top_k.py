"""Sparse top-k of matrix products against brute force; wide matrices use the hash table and narrow ones do not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from musicrec.models.neighbor_search import rescored
from musicrec.models.sparse_accumulator import DENSE, accumulator, add_scaled, clear, hash_mask
from musicrec.models.sparse_top_k import chained_top_k, sparse_top_k


def _sparse(rng: np.random.Generator, rows: int, columns: int, entries: int) -> sparse.csr_matrix:
    """Small integers, so that sums are exact and ties frequent."""
    matrix = sparse.csr_matrix((rng.integers(-1, 4, entries).astype(np.float32), (rng.integers(0, rows, entries),
                                rng.integers(0, columns, entries))), shape=(rows, columns))
    matrix.sum_duplicates()
    return matrix


def _best(scores: np.ndarray, excluded: np.ndarray, k: int) -> np.ndarray:
    """Columns of the k largest positive scores, ties by column, -1 where fewer exist."""
    scores = np.where(excluded | ~(scores > 0), -np.inf, scores)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    columns = np.where(np.take_along_axis(scores, order, axis=1) > -np.inf, order, -1)
    return np.pad(columns, ((0, 0), (0, k - columns.shape[1])), constant_values=-1)


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6), width=st.sampled_from([7, 90, 4000]), k=st.sampled_from([1, 5, 40]))
def test_best_of_a_product_are_those_of_the_dense_product(seed: int, width: int, k: int) -> None:
    """Columns and scores equal a stable sort of the dense product, whether or not columns are hashed or scores pre-selected."""
    rng = np.random.default_rng(seed)
    left, right, known = _sparse(rng, 20, 30, 120), _sparse(rng, 30, width, 900), _sparse(rng, 20, width, 100)
    known.data[:] = 1
    found, scores = sparse_top_k(left, right, known, k)
    dense = (left @ right).toarray()
    wanted = _best(dense, known.toarray() > 0, k)
    np.testing.assert_array_equal(found, wanted)
    there = wanted >= 0
    np.testing.assert_array_equal(scores[there], np.take_along_axis(dense, np.maximum(wanted, 0), axis=1)[there])


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6), width=st.sampled_from([50, 4000]))
def test_entries_are_divided_by_row_norm_plus_column_shrinkage(seed: int, width: int) -> None:
    """Scores are entries by (row norm + column shrinkage), in the order of those quotients."""
    rng = np.random.default_rng(seed)
    left, right = _sparse(rng, 8, 30, 60), _sparse(rng, 30, width, 900)
    norms, shrinkage = rng.uniform(1, 5, 8), rng.uniform(0, 3, width)
    found, scores = sparse_top_k(left, right, sparse.csr_matrix((8, width)), 10, row_norms=norms, column_shrinkage=shrinkage)
    dense = ((left @ right).toarray() / (norms[:, None] + shrinkage[None])).astype(np.float32)
    np.testing.assert_array_equal(found, _best(dense, np.zeros(dense.shape, bool), 10))
    np.testing.assert_allclose(scores[found >= 0], np.take_along_axis(dense, np.maximum(found, 0), axis=1)[found >= 0], rtol=1e-6)


@pytest.mark.parametrize("width", [50, 4000])
def test_a_chain_skips_one_column_between_its_products(width: int) -> None:
    """Row i of left @ middle loses column skipped[i] before it meets right."""
    rng = np.random.default_rng(5)
    left, middle, right = _sparse(rng, 12, 30, 60), _sparse(rng, 30, width, 500), _sparse(rng, width, width, 3 * width)
    skipped = rng.integers(0, width, 12).astype(np.int32)
    between = (left @ middle).toarray()
    between[np.arange(12), skipped] = 0
    found, _ = chained_top_k(left, middle, right, skipped, sparse.csr_matrix((12, width)), 15)
    np.testing.assert_array_equal(found, _best(between @ right.toarray(), np.zeros((12, width), bool), 15))


@pytest.mark.parametrize("width", [60, 5000])
def test_candidates_are_compared_in_full(width: int) -> None:
    """The k best candidates by dot / (norm x norm + shrinkage) over all columns are kept, -1 among the candidates ends them."""
    rng = np.random.default_rng(7)
    rows, others = abs(_sparse(rng, 6, width, 100)), abs(_sparse(rng, 40, width, 900))
    candidates = np.argsort(rng.random((6, 40)), axis=1)[:, :20].astype(np.int32)
    candidates[:, 15:] = -1
    norms, theirs = rng.uniform(1, 5, 6), rng.uniform(1, 5, 40)
    found, _ = rescored(rows, candidates, others, norms, theirs, 2.0, 4)
    scores = ((rows @ others.T).toarray() / (norms[:, None] * theirs[None] + 2)).astype(np.float32)
    left_out = np.ones(scores.shape, bool)
    np.put_along_axis(left_out, candidates[:, :15], False, axis=1)
    np.testing.assert_array_equal(found, _best(scores, left_out, 4))


def test_columns_that_collide_keep_their_own_sums() -> None:
    """Columns with the same hash each have their own sum, and clear empties the table."""
    width = 100_000
    sums, columns = accumulator(width), np.random.default_rng(0).permutation(width)[:60].astype(np.int32)
    mask = hash_mask(60, width)
    assert mask == 127
    used = add_scaled(sums, mask, 0, columns, 2.0, np.ones(60, np.float32))
    used = add_scaled(sums, mask, used, columns[:30], 1.0, np.ones(30, np.float32))
    slots = sums.slots[:used]
    assert dict(zip(sums.keys[slots].tolist(), sums.values[slots].tolist())) == {
        int(column): 3.0 if place < 30 else 2.0 for place, column in enumerate(columns)}
    clear(sums, used)
    assert (sums.keys == -1).all()
    assert not sums.values.any()


def test_a_hash_table_is_used_where_it_is_small() -> None:
    """A table is at most half full and at most a quarter of the width; else a dense row is used."""
    assert hash_mask(1000, 8192) == 2047
    assert hash_mask(1025, 8192) == DENSE
