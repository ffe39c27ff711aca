"""LightGCN propagation (He et al., arXiv 2002.02126) over features that nobody trained.

ELMRec (arXiv 2409.19979, section 4.1) starts every user and item from random noise (eq. 4), lets
features flow along the edges of the graph (eq. 5) and averages what each node has been through
(eq. 7). Nodes that are close in the graph end up with similar vectors. :func:`propagate` is the one
step that everything in the package takes: random features, people who are not in the data, and,
with autograd around it, layer 0 as a parameter (:mod:`edgewise.models.layers`).

Legend: N nodes, users first; D feature columns; L layers; n items of one history.
"""

from __future__ import annotations

from typing import Any, Literal, TypeVar

import numpy as np

from edgewise.errors import ConfigError
from edgewise.graph.bipartite import BipartiteGraph, inverse_sqrt
from edgewise.graph.products import FactoredAdjacency

Variant = Literal["mean", "shifted"]
Features = TypeVar("Features", bound=Any)
"""A numpy array or a torch tensor."""


def propagate(adjacency: Any, features: Features) -> Features:
    """One LightGCN step (ELMRec, eq. 5): every node takes up its neighbours' features.

    ``phi(u)^(l+1) = sum over v in N_u of psi(v)^(l) / (sqrt|N_u| sqrt|N_v|)`` for users, and the
    same with users and items exchanged for ``psi(v)^(l+1)``. In matrices, eq. 13:
    ``E^(l+1) = D^-1/2 A D^-1/2 E^(l)``.

    Args:
        adjacency: ``D^-1/2 A D^-1/2`` of
            :meth:`~edgewise.graph.bipartite.BipartiteGraph.normalized_adjacency`, ``[N, N]``, or
            any rows of it.
        features: ``[N, D]``; array or tensor, as the adjacency is.

    Returns:
        ``[N, D]``.
    """
    return adjacency @ features


def mean_of_layers(
    adjacency: Any, features: Features, num_layers: int, variant: Variant = "mean"
) -> Features:
    """What each node has been through, on average.

    ``mean`` is eq. 7, ``(E_0 + ... + E_L) / (L + 1)``; ``shifted`` is eq. 15 as printed,
    ``(E_1 + ... + E_{L+1}) / (L + 1)``, which leaves a node's own layer 0 out. The two formulas of
    the paper disagree; they differ by one step.

    Args:
        adjacency: of :func:`propagate`.
        features: layer 0, ``[N, D]``.
        num_layers: L.
        variant: ``mean`` or ``shifted``.

    Returns:
        ``[N, D]``, in ``O(L * E * D)`` time.
    """
    layer = propagate(adjacency, features) if variant == "shifted" else features
    total = layer
    for step in range(num_layers):
        layer = propagate(adjacency, layer)
        if step:
            total += layer
        else:
            total = total + layer  # a new one: layer 0 stays as it is
    return total / (num_layers + 1)


def initial_features(num_nodes: int, dim: int, sigma: float, seed: int) -> np.ndarray:
    """The random layer 0 of eq. 4: independent ``N(0, sigma^2)``, ``float32[N, D]``."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((num_nodes, dim), dtype=np.float32) * np.float32(sigma)


def random_features(
    graph: BipartiteGraph,
    dim: int,
    num_layers: int,
    sigma: float,
    seed: int,
    variant: Variant = "mean",
) -> np.ndarray:
    """Random features propagated over the graph: eqs. 4, 5 and 7.

    A node without edges keeps its share of layer 0 under ``mean`` and is zero under ``shifted``.

    Args:
        graph: of train rows.
        dim: D.
        num_layers: L.
        sigma: standard deviation of layer 0.
        seed: of layer 0.
        variant: see :func:`mean_of_layers`.

    Returns:
        ``float32[N, D]``, users first.

    Raises:
        ConfigError: an option is impossible.
    """
    check_propagation(dim, num_layers, variant)
    layer_0 = initial_features(graph.num_nodes, dim, sigma, seed)
    return mean_of_layers(FactoredAdjacency.of(graph), layer_0, num_layers, variant)


def propagate_new_user(item_features: np.ndarray, item_degrees: np.ndarray) -> np.ndarray:
    """One step of eq. 5 for a user outside the graph, from the items of his history.

    Args:
        item_features: features of his distinct items, ``[n, D]``.
        item_degrees: the degrees of these items in the train graph, ``[n]``. An item nobody took
            has no feature to pass on and does not count.

    Returns:
        ``float32[D]``; zeros for an empty history.
    """
    # The row that he would have in the adjacency, but for the one factor 1 / sqrt|N_u|.
    row = inverse_sqrt(np.asarray(item_degrees))
    num_known = max(int(np.count_nonzero(row)), 1)
    step = propagate(row, np.asarray(item_features, dtype=np.float32))
    return step / np.float32(np.sqrt(num_known))


def new_user_features(
    item_features: np.ndarray,
    item_degrees: np.ndarray,
    num_layers: int = 0,
    sigma: float = 0.0,
    seed: int = 0,
) -> np.ndarray:
    """The random features of a user outside the graph, from the finished features of his items.

    One step from items with ``mean`` features gives ``(u_1 + ... + u_{L+1}) / (L + 1)``: what the
    full propagation would give him, had he a zero layer 0, but for the small last term and for his
    own effect on his items. With ``sigma`` above 0 his seeded layer 0 is added with its weight
    ``1 / (L + 1)``, so that his vector is as long as those of trained users.

    Args:
        item_features: ``[n, D]``, of his distinct items.
        item_degrees: ``[n]``, of these items in the train graph.
        num_layers: L of the items' features.
        sigma: standard deviation of his layer 0; 0 leaves it out.
        seed: of his layer 0.

    Returns:
        ``float32[D]``.
    """
    features = propagate_new_user(item_features, item_degrees)
    if sigma > 0:
        own = initial_features(1, len(features), sigma, seed)[0]
        features = features + own / (num_layers + 1)
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
