"""Sparse matrices by row: what all threads make is what scipy makes with one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from scipy import sparse

from musicrec.models import top_k
from musicrec.models.csr import csr_of, transposed
from musicrec.models.pruning import only


@st.composite
def matrices(draw: st.DrawFn) -> sparse.csr_matrix:
    """A random CSR matrix, with empty rows and columns, or without any."""
    n, width, seed = draw(st.integers(0, 70)), draw(st.integers(1, 20)), draw(st.integers(0, 1000))
    return sparse.random(n, width, draw(st.sampled_from([0.0, 0.1, 0.6])), "csr", np.float32, np.random.default_rng(seed))


@pytest.fixture(autouse=True, params=[1, 3])
def threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test with one thread and with more than there are cores."""
    monkeypatch.setattr(top_k, "_threads", request.param)


def assert_same(found: sparse.csr_matrix, expected: sparse.csr_matrix) -> None:
    """The same entries in the same order."""
    assert found.shape == expected.shape
    for name in ("indptr", "indices", "data"):
        assert_array_equal(getattr(found, name), getattr(expected, name))


@given(matrices())
def test_transposed_is_scipys_transpose(matrix: sparse.csr_matrix) -> None:
    """With ascending columns in each row."""
    assert_same(transposed(matrix), matrix.T.tocsr())


@given(matrices(), st.integers(0, 1000))
def test_only_keeps_the_entries_that_are_asked_for(matrix: sparse.csr_matrix, seed: int) -> None:
    """In their order, in the same shape."""
    keep = np.random.default_rng(seed).random(matrix.nnz) < 0.5
    entries = matrix.tocoo()
    expected = sparse.csr_matrix((entries.data[keep], (entries.row[keep], entries.col[keep])), matrix.shape)
    assert_same(only(matrix, keep), expected)


@given(matrices(), st.integers(0, 1000))
def test_lists_become_rows_with_ascending_columns(matrix: sparse.csr_matrix, seed: int) -> None:
    """Whatever the order of a list and however many places of it are empty."""
    rng, k = np.random.default_rng(seed), matrix.shape[1] + 2
    columns, values = np.full((matrix.shape[0], k), -1, np.int32), np.full((matrix.shape[0], k), -np.inf, np.float32)
    for row in range(matrix.shape[0]):
        entries = rng.permutation(np.arange(matrix.indptr[row], matrix.indptr[row + 1]))
        columns[row, :len(entries)], values[row, :len(entries)] = matrix.indices[entries], matrix.data[entries]
    assert_same(csr_of(columns, values, matrix.shape[1]), matrix)
