"""Vectors coloured by the node they share: pure where the graph is, mixed where it is not."""

from __future__ import annotations

import numpy as np
import pytest

from edgewise.errors import EdgewiseError
from edgewise.experiments.describing import dots_of
from edgewise.graph.bipartite import BipartiteGraph


def islands(num_islands: int, size: int) -> BipartiteGraph:
    """Shops apart from each other, in each of which everybody took everything."""
    pairs = [
        (size * island + user, size * island + item)
        for island in range(num_islands)
        for user in range(size)
        for item in range(size)
    ]
    users, items = np.array(pairs, dtype=np.int32).T
    return BipartiteGraph(num_islands * size, num_islands * size, users, items)


def test_islands_become_pure_and_the_random_start_is_not():
    users, items = dots_of(islands(6, 12), rounds=(0, 3))
    assert (users.kind, items.kind) == ("users", "items")
    for dots in (users, items):
        assert len(dots.nodes) == 72 and len(set(dots.groups)) == 6
        found = dots.purities()
        assert found["chance"] == pytest.approx(11 / 71)
        assert found["round 0"] == pytest.approx(11 / 71, abs=0.08)
        assert found["round 3"] > 0.95


def test_groups_share_no_member_and_a_colour_shares_a_node():
    graph = islands(3, 8)
    users, items = dots_of(graph, rounds=(1,))
    assert len(set(users.nodes)) == len(users.nodes) and users.nodes.max() < graph.num_users
    assert items.nodes.min() >= graph.num_users
    taken = set(zip(graph.users.tolist(), graph.items.tolist(), strict=True))
    for group in set(users.groups):
        members = users.nodes[users.groups == group]
        shared = [i for i in range(graph.num_items) if all((u, i) in taken for u in members)]
        assert shared


def test_the_same_seed_gives_the_same_dots():
    first, again = (dots_of(islands(3, 8), rounds=(2,), seed=5)[0] for _ in range(2))
    np.testing.assert_array_equal(first.features["round 2"], again.features["round 2"])
    other = dots_of(islands(3, 8), rounds=(2,), seed=6)[0]
    assert not np.array_equal(first.features["round 2"], other.features["round 2"])


def test_a_graph_without_busy_nodes_is_refused():
    with pytest.raises(EdgewiseError, match="too few busy nodes"):
        dots_of(islands(3, 2), rounds=(1,))
