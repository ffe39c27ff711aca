from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from edgewise.graph.randomized_svd import leading_singular_vectors


def test_finds_the_singular_vectors_of_a_dense_oracle(taste_groups):
    matrix = taste_groups.normalized_biadjacency()
    users, values, items = leading_singular_vectors(matrix, 6, num_iterations=8, seed=0)
    left, expected, right_t = np.linalg.svd(matrix.toarray().astype(np.float64))
    np.testing.assert_allclose(values, expected[:6], atol=1e-5)
    for column in range(3):
        assert abs(users[:, column] @ left[:, column]) == pytest.approx(1, abs=1e-3)
        assert abs(items[:, column] @ right_t[column]) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("num_iterations", [1, 4])
def test_users_follow_from_items_whether_converged_or_not(random_graph, num_iterations):
    matrix = random_graph(0, 60, 80, 400).normalized_biadjacency()
    users, values, items = leading_singular_vectors(matrix, 10, num_iterations, seed=0)
    np.testing.assert_allclose(matrix @ items, users * values, atol=1e-5)
    np.testing.assert_allclose(users.T @ users, np.eye(10), atol=1e-5)
    np.testing.assert_allclose(items.T @ items, np.eye(10), atol=1e-5)
    assert (np.diff(values) <= 1e-6).all()


def test_the_largest_entry_of_each_column_is_positive(random_graph):
    matrix = random_graph(1, 40, 30, 200).normalized_biadjacency()
    for seed in range(3):
        _, _, items = leading_singular_vectors(matrix, 5, 4, seed)
        assert (items[np.abs(items).argmax(axis=0), np.arange(5)] > 0).all()


def test_columns_beyond_the_rank_are_zero():
    matrix = sp.csr_array(np.full((6, 4), 1 / np.sqrt(24), dtype=np.float32))
    users, values, items = leading_singular_vectors(matrix, 8, 3, seed=0)
    np.testing.assert_allclose(values, [1, 0, 0, 0, 0, 0, 0, 0], atol=1e-5)
    np.testing.assert_allclose(users[:, 0], 6**-0.5, rtol=1e-4)
    np.testing.assert_allclose(items[:, 0], 4**-0.5, rtol=1e-4)
    assert not users[:, 1:].any()
    assert not items[:, 1:].any()


def test_an_empty_matrix_gives_zeros():
    for shape in [(3, 2), (0, 2), (0, 0)]:
        users, values, items = leading_singular_vectors(sp.csr_array(shape), 4, 2, seed=0)
        assert (users.shape, values.shape, items.shape) == ((shape[0], 4), (4,), (shape[1], 4))
        assert not (users.any() or values.any() or items.any())
