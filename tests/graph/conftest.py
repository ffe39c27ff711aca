"""Small graphs, and one real one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from tests import graphs

from edgewise.data.dataset import Interactions
from edgewise.graph.bipartite import BipartiteGraph


@pytest.fixture
def chain() -> BipartiteGraph:
    return graphs.chain_graph()


@pytest.fixture
def build_graph() -> Callable[..., BipartiteGraph]:
    """``build_graph(pairs, num_users, num_items)``."""
    return graphs.graph_of


@pytest.fixture
def random_graph() -> Callable[..., BipartiteGraph]:
    """``random_graph(seed, num_users, num_items, num_rows)``; some nodes may stand alone."""
    return graphs.random_graph


@pytest.fixture
def taste_groups() -> BipartiteGraph:
    """60 users, 40 items, 4 groups: nine of ten edges stay inside the user's group."""
    rng = np.random.default_rng(0)
    pairs = set()
    for user in range(60):
        for _ in range(8):
            group = user % 4 if rng.random() < 0.9 else rng.integers(4)
            pairs.add((user, int(group + 4 * rng.integers(10))))
    return graphs.graph_of(pairs, 60, 40)


@dataclass(frozen=True)
class HeldOut:
    """The train graph of a real data set, each user's last item and 99 others.

    Attributes:
        candidates: ``int[U, 100]``, the target first.
    """

    graph: BipartiteGraph
    candidates: np.ndarray

    def hit_rate(self, features: np.ndarray, k: int = 10) -> float:
        """HitRate@k of dot products over every fifth user; ties count against the target."""
        users, items = np.split(features, [self.graph.num_users])
        scores = np.stack([items[self.candidates[u]] @ users[u] for u in range(0, len(users), 5)])
        better = (scores[:, 1:] >= scores[:, :1]).sum(axis=1)
        return float((better < k).mean())


@pytest.fixture(scope="session")
def beauty(real_data: Path) -> HeldOut:
    lines = (real_data / "beauty" / "sequential.txt").read_text().splitlines()
    sequences = [np.array(line.split()[1:], dtype=np.int32) - 1 for line in lines]
    num_users, num_items = len(sequences), 1 + max(int(row.max()) for row in sequences)
    users = np.repeat(np.arange(num_users, dtype=np.int32), [len(row) - 2 for row in sequences])
    items = np.concatenate([row[:-2] for row in sequences])
    graph = BipartiteGraph.from_interactions(Interactions(users, items), num_users, num_items)
    negatives = np.random.default_rng(1).integers(num_items, size=(num_users, 99))
    targets = np.array([row[-1] for row in sequences])
    return HeldOut(graph, np.column_stack([targets, negatives]))
