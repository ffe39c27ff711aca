"""Propagation and its relatives with dense matrices and plain loops."""

from __future__ import annotations

import numpy as np


def dense_adjacency(pairs: set[tuple[int, int]], num_users: int, num_items: int) -> np.ndarray:
    """``D^-1/2 A D^-1/2`` of eqs. 13-14, in float64."""
    num_nodes = num_users + num_items
    adjacency = np.zeros((num_nodes, num_nodes))
    for user, item in pairs:
        adjacency[user, num_users + item] = adjacency[num_users + item, user] = 1
    degrees = adjacency.sum(axis=1)
    for i in range(num_nodes):
        for j in range(num_nodes):
            if adjacency[i, j]:
                adjacency[i, j] /= np.sqrt(degrees[i] * degrees[j])
    return adjacency


def mean_of_powers(adjacency: np.ndarray, layer: np.ndarray, powers: range) -> np.ndarray:
    """Eqs. 7 and 15: the mean of ``A^l X`` over some l."""
    terms = [np.linalg.matrix_power(adjacency, power) @ layer for power in powers]
    return np.sum(terms, axis=0) / len(terms)


def eq_6(pairs: set[tuple[int, int]], user: int, other: int) -> float:
    """The influence of ``other`` on ``user``, from sets of neighbours."""
    items_of = {u: {i for v, i in pairs if v == u} for u, _ in pairs}
    users_of = {i: {u for u, j in pairs if j == i} for _, i in pairs}
    shared = items_of[user] & items_of[other]
    lengths = len(items_of[user]) * len(items_of[other])
    return sum(1 / len(users_of[k]) for k in shared) / np.sqrt(lengths)


def path_weights(adjacency: np.ndarray, start: int, end: int) -> dict[int, float]:
    """Weights of the three-step paths ``start - k - other - end`` summed by k.

    ``k`` is never ``end``, and the third node is never ``start``.
    """
    weights: dict[int, float] = {}
    for k in np.flatnonzero(adjacency[start]):
        for other in np.flatnonzero(adjacency[k]):
            weight = adjacency[start, k] * adjacency[k, other] * adjacency[other, end]
            if k != end and other != start and weight:
                weights[int(k)] = weights.get(int(k), 0.0) + weight
    return weights
