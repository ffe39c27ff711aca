"""Small graphs whose numbers can be worked by hand."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from edgewise.data.dataset import Interactions
from edgewise.graph.bipartite import BipartiteGraph

Pairs = set[tuple[int, int]]


def graph_of(pairs: Iterable[tuple[int, int]], num_users: int, num_items: int) -> BipartiteGraph:
    table = np.array(list(pairs), dtype=np.int32).reshape(-1, 2)
    return BipartiteGraph.from_interactions(
        Interactions(table[:, 0], table[:, 1]), num_users, num_items
    )


def pairs_of(graph: BipartiteGraph) -> Pairs:
    return set(zip(graph.users.tolist(), graph.items.tolist(), strict=True))


def chain_graph() -> BipartiteGraph:
    """Users 0, 1, 2 form a chain over items 1 and 2; user 3 and item 3 stand alone."""
    return graph_of({(0, 0), (0, 1), (1, 1), (1, 2), (2, 2)}, 4, 4)


def random_graph(
    seed: int, num_users: int = 9, num_items: int = 7, num_rows: int = 20
) -> BipartiteGraph:
    """Some nodes may stand alone."""
    rng = np.random.default_rng(seed)
    rows = rng.integers([num_users, num_items], size=(num_rows, 2))
    return graph_of(rows.tolist(), num_users, num_items)
