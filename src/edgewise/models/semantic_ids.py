"""Semantic ids: items as a few codes of small codebooks, so that similar items begin alike.

Residual quantisation by k-means: the first codebook holds centroids of the items' vectors, each
later one those of what the codebooks before it left over, so that the first code says roughly and
the next ones more exactly where an item lies. TIGER (Rajput et al., NeurIPS 2023, arXiv 2305.05065)
trains an RQ-VAE for this, encoder and codebooks together; plain residual k-means needs no network.

Items of equal codes are told apart by one more code, 0, 1, 2, ... (TIGER, section 3.1).

Shapes: I items, D numbers of a vector, L levels, K codes of a level.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

_MAX_ROUNDS = 30
_NEW_AT_ONCE = 1000


def residual_kmeans(
    vectors: np.ndarray, num_codes: int, num_levels: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Quantise vectors level by level, each level what the levels before it left over.

    Args:
        vectors: ``float[I, D]``.
        num_codes: K; with fewer vectors some codes stay unused.
        num_levels: L.
        seed: of the first centroids.

    Returns:
        Codes ``int64[I, L]`` and codebooks ``float32[L, K, D]``. An item's vector is about the sum
        over levels of its codes' rows.
    """
    rng = np.random.default_rng(seed)
    left = np.array(vectors, dtype=np.float32)
    codes = np.zeros((len(left), num_levels), dtype=np.int64)
    books = np.zeros((num_levels, num_codes, left.shape[1]), dtype=np.float32)
    for level in range(num_levels):
        books[level], codes[:, level] = kmeans(left, num_codes, rng)
        left -= books[level, codes[:, level]]
    return codes, books


def kmeans(
    vectors: np.ndarray, num_codes: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Lloyd's iteration from k-means++ (Arthur and Vassilvitskii, SODA 2007).

    A centroid without vectors stays where it is.

    Args:
        vectors: ``float32[I, D]``.
        num_codes: K.
        rng: of the first centroids.

    Returns:
        Centroids ``float32[K, D]`` and the nearest one of each vector, ``int64[I]``.
    """
    centroids = _spread_out(vectors, num_codes, rng)
    nearest = _nearest(vectors, centroids)
    for _ in range(_MAX_ROUNDS):
        sizes = np.bincount(nearest, minlength=num_codes)
        members = sp.csr_array(
            (np.ones(len(vectors), np.float32), (nearest, np.arange(len(vectors)))),
            shape=(num_codes, len(vectors)),
        )
        used = sizes > 0
        centroids[used] = (members @ vectors)[used] / sizes[used, None]
        before, nearest = nearest, _nearest(vectors, centroids)
        if np.array_equal(before, nearest):
            break
    return centroids, nearest


def with_collision_code(codes: np.ndarray) -> np.ndarray:
    """Codes ``int64[I, L]`` with one more column that counts items of equal codes from 0."""
    _, group = np.unique(codes, axis=0, return_inverse=True)
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], group[order])
    count = np.empty(len(codes), dtype=np.int64)
    count[order] = np.arange(len(codes)) - starts
    return np.concatenate([codes, count[:, None]], axis=1)


def codes_like_old(codes: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Codes of old items ``int64[I', L]``, and for each new one those of the nearest old one.

    Args:
        codes: of items 0 to I'.
        vectors: of all items, ``float32[I, D]``.
    """
    old, new = np.split(vectors, [len(codes)])
    parts = (new[n : n + _NEW_AT_ONCE] for n in range(0, len(new), _NEW_AT_ONCE))
    return np.concatenate([codes, *(codes[_nearest(part, old)] for part in parts)])


def _spread_out(vectors: np.ndarray, num_codes: int, rng: np.random.Generator) -> np.ndarray:
    """First centroids: vectors, each drawn by its squared distance from those before it."""
    chosen = [int(rng.integers(len(vectors)))]
    distance = np.full(len(vectors), np.inf)
    while len(chosen) < num_codes:
        newest = np.square(vectors - vectors[chosen[-1]], dtype=np.float64).sum(axis=1)
        distance = np.minimum(distance, newest)
        total = distance.sum()
        share = None if total == 0 else distance / total
        chosen.append(int(rng.choice(len(vectors), p=share)))
    return vectors[chosen].copy()


def _nearest(vectors: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """The place of the nearest centroid; of equal ones the first."""
    squares = np.square(centroids).sum(axis=1)
    return (squares - 2 * vectors @ centroids.T).argmin(axis=1)
