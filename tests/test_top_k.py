"""Exact top-k against brute force."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from musicrec.models.top_k import rows_of, top_k


def brute_force(scores: np.ndarray, seen: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Lists by a full sort of every row."""
    items, best = np.full((len(scores), k), -1, np.int32), np.full((len(scores), k), -np.inf, np.float32)
    for row, values in enumerate(scores):
        offered = np.flatnonzero(np.isfinite(values) & ~seen[row])
        order = offered[np.lexsort((offered, -values[offered]))][:k]
        items[row, : len(order)], best[row, : len(order)] = order, values[order]
    return items, best


@settings(max_examples=60)
@given(seed=st.integers(0, 10**6), n=st.integers(0, 70), n_items=st.integers(1, 40), k=st.integers(1, 50), levels=st.integers(1, 30))
def test_lists_are_those_of_a_full_sort(seed: int, n: int, n_items: int, k: int, levels: int) -> None:
    """Dense rows with ties, NaN and infinite scores, and seen items give what sorting gives."""
    rng = np.random.default_rng(seed)
    scores = rng.integers(-levels, levels, (n, n_items)).astype(np.float32)
    scores[rng.random((n, n_items)) < 0.05] = np.nan
    scores[rng.random((n, n_items)) < 0.05] = np.inf
    seen = rng.random((n, n_items)) < 0.3
    known = sparse.csr_matrix(seen)
    items, best = top_k(scores, known.indptr, known.indices, k)
    expected = brute_force(scores, seen, k)
    np.testing.assert_array_equal(items, expected[0])
    np.testing.assert_array_equal(best, expected[1])


def test_zero_items_wanted() -> None:
    """k = 0 gives arrays of width 0."""
    items, best = top_k(np.ones((2, 3), np.float32), np.zeros(3, np.int64), np.empty(0, np.int32), 0)
    assert items.shape == best.shape == (2, 0)


def test_unknown_users_have_empty_rows() -> None:
    """Row -1 is empty, other rows are copies, in the order of user_index."""
    matrix = sparse.random(9, 7, 0.4, format="csr", dtype=np.float32, random_state=0)
    asked = np.array([3, -1, 8, 3, -1], np.int32)
    expected = matrix.toarray()[asked] * (asked >= 0)[:, None]
    np.testing.assert_array_equal(rows_of(matrix, asked).toarray(), expected)
