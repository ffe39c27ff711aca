"""Products on torch's threads, and row blocks on Python's, against plain products."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from edgewise.graph import products, row_blocks
from edgewise.graph.products import BothWays, sparse_times, times
from edgewise.graph.row_blocks import blocks, in_threads, num_threads, rows_of_product


def uneven(num_rows: int = 90, num_columns: int = 40) -> sp.csr_array:
    """A matrix with empty rows, a full row, and columns of all lengths."""
    rng = np.random.default_rng(0)
    chance = rng.random((num_rows, 1)) * rng.random(num_columns)
    dense = np.where(rng.random((num_rows, num_columns)) < chance, rng.random(num_columns), 0)
    dense[[0, 7, num_rows - 1]], dense[3] = 0, 1
    return sp.csr_array(dense.astype(np.float32))


@pytest.mark.parametrize("threads", [1, 2])
def test_a_product_is_that_of_dense_matrices(threads, monkeypatch):
    monkeypatch.setattr(products, "_LARGE", 0)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for matrix in (uneven(), uneven().T.tocsr(), sp.csr_array((3, 5), dtype=np.float32)):
            features = np.random.default_rng(1).random((matrix.shape[1], 6), dtype=np.float32)
            found = times(matrix, np.asfortranarray(features))
            assert found.dtype == np.float32
            np.testing.assert_allclose(found, matrix.toarray() @ features, rtol=1e-6, atol=1e-6)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("large", [0, 10**9])
@pytest.mark.parametrize("rows_of_block", [7, 1000])
def test_both_ways_are_products_of_dense_matrices(large, rows_of_block, monkeypatch):
    monkeypatch.setattr(products, "_LARGE", large)
    monkeypatch.setattr(products, "_VALUES_AT_ONCE", 20)
    monkeypatch.setattr(products, "_ROWS_OF_BLOCK", rows_of_block)
    rng = np.random.default_rng(1)
    for matrix in (uneven(), uneven().T.tocsr(), sp.csr_array((3, 5), dtype=np.float32)):
        dense, both = np.asarray(matrix.todense()), BothWays(matrix)
        of_columns = np.asfortranarray(rng.random((dense.shape[1], 6), dtype=np.float32))
        of_rows = rng.random((dense.shape[0] + 1, 6), dtype=np.float32)[1:]  # begins anywhere
        for found, expected in (
            (both @ of_columns, dense @ of_columns),
            (both.transposed(of_rows), dense.T @ of_rows),
            (both.gram(of_columns), dense.T @ (dense @ of_columns)),
        ):
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("passed", [0, 10**9], ids=["looked up", "passed over"])
def test_sparse_rows_times_a_matrix_are_those_of_dense_ones(passed, monkeypatch):
    monkeypatch.setattr(products, "_PASSED", passed)
    rows, matrix = uneven(20, 90), uneven()
    found = sparse_times(rows, matrix)
    np.testing.assert_allclose(found, rows.toarray() @ matrix.toarray(), rtol=1e-6)


def test_other_types_and_vectors_are_left_to_scipy(monkeypatch):
    monkeypatch.setattr(products, "_LARGE", 0)
    matrix = uneven()
    for features in (np.ones(40, np.float32), np.ones((40, 2))):
        found = times(matrix, features)
        np.testing.assert_allclose(found, matrix.toarray() @ features, rtol=1e-6)


def test_blocks_hold_at_most_so_much_or_one_row():
    assert blocks(np.array([3, 2, 9, 0, 1, 1]), 5) == [(0, 2), (2, 3), (3, 6)]
    assert blocks(np.array([], dtype=np.int64), 5) == []


@pytest.mark.parametrize("threads", ["1", "2"])
def test_blocks_come_in_order_and_rows_are_kept_as_told(threads, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    monkeypatch.setattr(row_blocks, "_VALUES_AT_ONCE", 50)
    assert num_threads() == int(threads)
    parts = [(n, n + 1) for n in range(20)]
    assert list(in_threads(lambda start, end: (start, end), parts)) == parts
    left, right = uneven(), uneven().T.tocsr()

    def marked(rows: sp.csr_array, first: int) -> sp.csr_array:
        rows = rows.copy()
        rows.data += np.repeat(np.arange(first, first + rows.shape[0]), np.diff(rows.indptr))
        return rows

    whole = left.toarray() @ right.toarray()
    expected = np.where(whole > 0, whole + np.arange(90)[:, None], 0)
    found = rows_of_product(left, right, marked)
    np.testing.assert_allclose(found.toarray(), expected, rtol=1e-5)


def test_a_fault_in_a_thread_is_told(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    with pytest.raises(ZeroDivisionError):
        list(in_threads(lambda start, end: 1 // start, [(0, 1), (1, 2)]))
