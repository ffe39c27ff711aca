"""Spectral features: random propagation whose columns are kept apart by orthonormalising.

Beyond the papers. Legend: N nodes, users first; U users, I items, E edges; D feature columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgewise.errors import ConfigError
from edgewise.graph.bipartite import BipartiteGraph
from edgewise.graph.propagation import propagate_new_user
from edgewise.graph.randomized_svd import leading_singular_vectors


@dataclass(frozen=True, eq=False)
class SpectralFeatures:
    """The leading singular vectors of the normalised biadjacency ``B = D_u^-1/2 R D_i^-1/2``.

    With ``B ~ U diag(s) V^T``, users carry ``scale * U s^power`` and items ``scale * V s^power``.
    At power 0.5 the dot product of a user and an item is ``scale ** 2`` times the rank-D
    approximation of their entry in B.

    Attributes:
        features: ``float32[N, D]``, users first; isolated nodes are zero.
        singular_values: s, falling, ``float32[D]``; zero where the graph has fewer dimensions.
        num_users: U.
        power: exponent of the singular values.
        scale: the one factor that makes the mean squared entry of connected nodes 1.
    """

    features: np.ndarray
    singular_values: np.ndarray
    num_users: int
    power: float
    scale: float

    def new_user(self, items: np.ndarray, item_degrees: np.ndarray) -> np.ndarray:
        """The vector of a user outside the graph, ``float32[D]``; zeros for an empty history.

        ``B V = U s`` holds exactly for the vectors computed here, so with b the row of B that his
        items would make, his vector is ``scale * (b V / s) s^power``, which is one propagation
        step from his items' features divided by s. A user of the graph gets his own vector back.

        Args:
            items: item indices of his history; a repeated item counts once.
            item_degrees: degrees of all items in the train graph, ``[I]``.
        """
        distinct = np.unique(np.asarray(items, dtype=np.int64))
        item_features = self.features[self.num_users + distinct]
        step = propagate_new_user(item_features, np.asarray(item_degrees)[distinct])
        return step * _reciprocal(self.singular_values)


def spectral_features(
    graph: BipartiteGraph,
    dim: int,
    num_iterations: int = 6,
    seed: int = 0,
    power: float = 0.5,
) -> SpectralFeatures:
    """Turn random features into spectral ones by randomised subspace iteration.

    Random features drown a three-hop signal in noise of about ``1 / sqrt(D)``. Orthonormalising
    them between propagation steps makes the same steps converge to the leading singular vectors.

    Takes ``O(num_iterations * (E * D + N * D^2))`` time and ``O(N * D)`` memory. Each column's sign
    makes its largest item entry positive.

    Args:
        graph: of train rows.
        dim: D; where the graph has fewer dimensions the last columns are zero.
        num_iterations: orthonormalisations, each after four round trips items -> users -> items.
        seed: of the random start.
        power: exponent of the singular values, 0.5 for dot products that approximate B.

    Returns:
        The features and what a new user's vector needs.

    Raises:
        ConfigError: no dimension, or no iteration.
    """
    if dim < 1 or num_iterations < 1:
        raise ConfigError(
            f"spectral features need dim >= 1 and num_iterations >= 1, not {dim} and "
            f"{num_iterations}."
        )
    users, values, items = leading_singular_vectors(
        graph.normalized_biadjacency(), dim, num_iterations, seed
    )
    features = np.concatenate([users, items])
    del users, items
    features *= values ** np.float32(power)
    features[graph.degrees == 0] = 0
    scale = _unit_scale(features, graph.degrees > 0)
    features *= np.float32(scale)
    return SpectralFeatures(features, values, graph.num_users, power, scale)


def _unit_scale(features: np.ndarray, connected: np.ndarray) -> float:
    """The factor that makes the mean squared entry of connected nodes 1 (1 for no edges)."""
    if not connected.any():
        return 1.0
    total = np.einsum("nd,nd->", features, features, dtype=np.float64)  # the others are zero
    return float((total / (np.count_nonzero(connected) * features.shape[1])) ** -0.5)


def _reciprocal(values: np.ndarray) -> np.ndarray:
    """``1 / value``, 0 where the value is 0."""
    inverse = np.zeros_like(values)
    np.divide(1.0, values, out=inverse, where=values > 0)
    return inverse
