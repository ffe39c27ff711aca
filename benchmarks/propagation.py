"""What propagation costs: against dense matrix powers, and as the graph grows tenfold.

Run ``python benchmarks/propagation.py [--json FILE]``. Ratios are taken in one process.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from measuring import best_time, best_times, report

from edgewise.data.dataset import Interactions
from edgewise.graph.bipartite import BipartiteGraph
from edgewise.graph.propagation import initial_features, random_features
from edgewise.graph.spectral import SpectralFeatures, spectral_features

DIM, NUM_LAYERS = 64, 4
DEMO_USERS, DEMO_ITEMS, DEMO_EDGES = 600, 400, 7_000
GROWTH_USERS, GROWTH_ITEMS, GROWTH_EDGES = 20_000, 10_000, 150_000


def shop(num_users: int, num_items: int, num_edges: int) -> BipartiteGraph:
    """Random edges whose items follow a power law, as sales do."""
    rng = np.random.default_rng(0)
    weights = np.arange(1, num_items + 1) ** -0.7
    users = rng.integers(num_users, size=num_edges).astype(np.int32)
    items = rng.choice(num_items, num_edges, p=weights / weights.sum()).astype(np.int32)
    return BipartiteGraph.from_interactions(Interactions(users, items), num_users, num_items)


def propagate_noise(graph: BipartiteGraph) -> np.ndarray:
    return random_features(graph, DIM, NUM_LAYERS, 1.0, seed=0)


def decompose(graph: BipartiteGraph) -> SpectralFeatures:
    return spectral_features(graph, DIM)


def propagate_densely(graph: BipartiteGraph) -> np.ndarray:
    """Eq. 7 written as eq. 15 is: explicit powers of a dense N x N matrix."""
    adjacency = graph.normalized_adjacency().toarray()
    power = np.eye(graph.num_nodes, dtype=np.float32)
    total = power.copy()
    for _ in range(NUM_LAYERS):
        power = power @ adjacency
        total += power
    return total @ initial_features(graph.num_nodes, DIM, 1.0, seed=0) / (NUM_LAYERS + 1)


def against_dense() -> dict[str, float]:
    graph = shop(DEMO_USERS, DEMO_ITEMS, DEMO_EDGES)
    np.testing.assert_allclose(propagate_noise(graph), propagate_densely(graph), atol=1e-5)
    sparse, dense = best_times(lambda: propagate_noise(graph), lambda: propagate_densely(graph))
    return {
        "edges": graph.num_edges,
        "sparse_seconds": sparse,
        "dense_seconds": dense,
        "dense_over_sparse": dense / sparse,
    }


def growth(
    build: Callable[[BipartiteGraph], object], nodes: tuple[int, int], edges: tuple[int, int]
) -> dict[str, float]:
    """Times on two graphs, whose sizes are multiples of the smallest."""
    graphs = [
        shop(more * GROWTH_USERS, more * GROWTH_ITEMS, many * GROWTH_EDGES)
        for more, many in zip(nodes, edges, strict=True)
    ]
    small, large = (best_time(lambda graph=graph: build(graph), repeats=2) for graph in graphs)
    return {
        "small_edges": graphs[0].num_edges,
        "large_edges": graphs[1].num_edges,
        "small_seconds": small,
        "large_seconds": large,
        "times_slower": large / small,
    }


def growths() -> dict[str, dict[str, float]]:
    """More edges; edges and nodes until features outgrow the processor's cache; and beyond it."""
    return {
        "random_over_ten_times_the_edges": growth(propagate_noise, (1, 1), (1, 10)),
        "random_over_ten_times_the_edges_and_nodes": growth(propagate_noise, (1, 10), (1, 10)),
        "random_over_three_times_that": growth(propagate_noise, (10, 30), (10, 30)),
        "spectral_over_ten_times_the_edges": growth(decompose, (1, 1), (1, 10)),
        "spectral_over_ten_times_the_edges_and_nodes": growth(decompose, (1, 10), (1, 10)),
    }


def measure() -> dict[str, dict[str, float]]:
    return {"propagation_against_dense_powers": against_dense(), **growths()}


if __name__ == "__main__":
    report(measure, __doc__)
