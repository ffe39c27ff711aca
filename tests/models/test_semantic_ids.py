"""Semantic ids: quantised as plain numpy does, told apart where they are equal."""

from __future__ import annotations

import numpy as np
import pytest

from edgewise.models.semantic_ids import (
    kmeans,
    residual_kmeans,
    with_collision_code,
)


def blobs(rng, num_groups=6, num_members=30, width=5):
    """Groups far apart, ``[I, D]``, and the group of each vector."""
    group = rng.permutation(np.repeat(np.arange(num_groups), num_members))
    middles = 10 * np.eye(num_groups, width) + 20 * (np.arange(num_groups) >= width)[:, None]
    return middles[group] + rng.normal(0, 0.3, (len(group), width)), group


def test_kmeans_ends_where_lloyds_iteration_stands_still():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(200, 4)).astype(np.float32)
    centroids, nearest = kmeans(vectors, 7, rng)
    for item, vector in enumerate(vectors):
        distances = [np.linalg.norm(vector - centroid) for centroid in centroids]
        assert distances[nearest[item]] == pytest.approx(min(distances), abs=1e-5)
    for code in range(7):
        assert centroids[code] == pytest.approx(vectors[nearest == code].mean(axis=0), abs=1e-4)


def test_groups_share_their_first_code():
    vectors, group = blobs(np.random.default_rng(1))
    codes, _ = residual_kmeans(vectors, 6, 2, seed=0)
    pairs = set(zip(group.tolist(), codes[:, 0].tolist(), strict=True))
    assert len(pairs) == 6 and len({code for _, code in pairs}) == 6


def test_levels_quantise_what_is_left_over_as_in_plain_numpy():
    vectors, _ = blobs(np.random.default_rng(2))
    codes, books = residual_kmeans(vectors, 5, 3, seed=3)
    assert codes.shape == (180, 3) and books.shape == (3, 5, 5)
    for vector, row in zip(vectors, codes, strict=True):
        left = vector.copy()
        for level, code in enumerate(row):
            distances = ((books[level] - left) ** 2).sum(axis=1)
            assert distances[code] == pytest.approx(distances.min(), abs=1e-4)
            left -= books[level, code]
    errors = [
        np.square(vectors - sum(books[n, codes[:, n]] for n in range(depth + 1))).mean()
        for depth in range(3)
    ]
    assert errors[0] > errors[1] > errors[2]
    again, _ = residual_kmeans(vectors, 5, 3, seed=3)
    assert np.array_equal(codes, again)


def test_fewer_vectors_than_codes():
    vectors = np.eye(3, dtype=np.float32)
    codes, books = residual_kmeans(np.concatenate([vectors, vectors]), 8, 2, seed=0)
    assert np.array_equal(codes[:3], codes[3:]) and len(np.unique(codes[:, 0])) == 3
    assert books[0, codes[:3, 0]] == pytest.approx(vectors)


def test_equal_codes_are_counted():
    codes = np.array([[1, 2], [0, 0], [1, 2], [1, 3], [1, 2], [0, 0]])
    expected = [[1, 2, 0], [0, 0, 0], [1, 2, 1], [1, 3, 0], [1, 2, 2], [0, 0, 1]]
    assert with_collision_code(codes).tolist() == expected
