"""Random feature propagation: LightGCN layers over features that nobody trained."""

from __future__ import annotations

from typing import Literal

import numpy as np

from edgewise.errors import ConfigError
from edgewise.graph.bipartite import BipartiteGraph, propagate_new_user

Variant = Literal["mean", "shifted"]


def initial_features(num_nodes: int, dim: int, init_std: float, seed: int) -> np.ndarray:
    """The random layer 0 of eq. 4: independent ``N(0, init_std ** 2)``, ``float32[N, D]``."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((num_nodes, dim), dtype=np.float32) * np.float32(init_std)


def random_features(
    graph: BipartiteGraph,
    dim: int,
    num_layers: int,
    init_std: float,
    seed: int,
    variant: Variant = "mean",
) -> np.ndarray:
    """Propagate random features over the graph (ELMRec, section 4.1 and A.3).

    ``mean`` is eq. 7, ``(E_0 + ... + E_L) / (L + 1)``; ``shifted`` is eq. 15 as printed,
    ``(E_1 + ... + E_{L+1}) / (L + 1)``, which leaves a node's own noise out. The two formulas of
    the paper disagree; they differ by one propagation step.

    Takes ``O(L * E * D)`` time and ``O(N * D)`` memory. A node without edges keeps its share of
    layer 0 under ``mean`` and is zero under ``shifted``.

    Args:
        num_layers: L.
        init_std: sigma of eq. 4.

    Returns:
        ``float32[N, D]``, users first.
    """
    check_propagation(dim, num_layers, variant)
    layer = initial_features(graph.num_nodes, dim, init_std, seed)
    adjacency = graph.normalized_adjacency()
    if variant == "shifted":
        layer = adjacency @ layer
    total = layer.copy()
    for _ in range(num_layers):
        layer = adjacency @ layer
        total += layer
    total /= np.float32(num_layers + 1)
    return total


def new_user_features(
    item_features: np.ndarray,
    item_degrees: np.ndarray,
    num_layers: int = 0,
    init_std: float = 0.0,
    seed: int = 0,
) -> np.ndarray:
    """The random features of a user outside the graph, from the finished features of his items.

    One step from items with ``mean`` features gives ``(u_1 + ... + u_{L+1}) / (L + 1)``: what the
    full propagation would give him, had he a zero layer 0, but for the small last term and for his
    own effect on his items. With ``init_std`` above 0 his seeded layer 0 is added with its weight
    ``1 / (L + 1)``, so that his vector is as long as those of trained users.

    Args:
        item_features: ``[n, D]``, of his distinct items.
        item_degrees: ``[n]``, of these items in the train graph.

    Returns:
        ``float32[D]``.
    """
    features = propagate_new_user(item_features, item_degrees)
    if init_std > 0:
        features = features + initial_features(1, len(features), init_std, seed)[0] / (
            num_layers + 1
        )
    return features.astype(np.float32, copy=False)


def check_propagation(dim: int, num_layers: int, variant: str) -> None:
    """Refuse impossible options.

    Raises:
        ConfigError: names the option.
    """
    if dim < 1:
        raise ConfigError(f"dim is {dim}: a feature needs at least one number.")
    if num_layers < 0:
        raise ConfigError(f"num_propagation_layers is {num_layers}: use 0 or more.")
    if variant not in ("mean", "shifted"):
        raise ConfigError(f"variant is {variant!r}: use 'mean' (eq. 7) or 'shifted' (eq. 15).")
