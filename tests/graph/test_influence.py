from __future__ import annotations

import numpy as np
import pytest
from tests.graphs import pairs_of
from tests.oracles.propagation import dense_adjacency, eq_6, path_weights

from edgewise.graph.influence import influence, shared_takers, speaking_items


def test_chain_by_hand(chain):
    """User 1 shares item 1 (two takers) with user 0 and item 2 (two takers) with user 2."""
    users, coefficients = influence(chain, 1)
    assert users.tolist() == [2, 0]
    np.testing.assert_allclose(coefficients, [0.5 / np.sqrt(2 * 1), 0.5 / np.sqrt(2 * 2)], 1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_equals_eq_6_on_random_graphs(random_graph, seed):
    graph = random_graph(seed)
    pairs = pairs_of(graph)
    for user in np.unique(graph.users):
        neighbours, coefficients = influence(graph, int(user))
        expected = {v: eq_6(pairs, int(user), v) for v, _ in pairs if v != user}
        assert set(neighbours.tolist()) == {v for v, weight in expected.items() if weight}
        np.testing.assert_allclose(coefficients, [expected[v] for v in neighbours], rtol=1e-5)
        assert (np.diff(coefficients) <= 0).all()


def test_a_user_alone_hears_nobody(chain):
    users, coefficients = influence(chain, 3)
    assert len(users) == len(coefficients) == 0


@pytest.mark.parametrize("seed", range(4))
def test_shares_are_those_of_three_step_paths(random_graph, seed):
    graph = random_graph(seed)
    adjacency = dense_adjacency(pairs_of(graph), graph.num_users, graph.num_items)
    for user in range(graph.num_users):
        for item in range(graph.num_items):
            items, shares = speaking_items(graph, user, item)
            weights = path_weights(adjacency, user, graph.num_users + item)
            total = sum(weights.values())
            expected = [weights[graph.num_users + i] / total for i in items]
            assert len(items) == len(weights)
            np.testing.assert_allclose(shares, expected, rtol=1e-4)


def test_the_speaking_item_of_the_chain(chain):
    items, shares = speaking_items(chain, 0, 2)
    assert (items.tolist(), shares.tolist()) == ([1], [1.0])
    items, shares = speaking_items(chain, 0, 3)
    assert len(items) == len(shares) == 0


@pytest.mark.parametrize("seed", range(4))
def test_shared_takers_are_counted_pair_by_pair(random_graph, seed):
    graph = random_graph(seed)
    takers = {i: {u for u, each in pairs_of(graph) if each == i} for i in range(graph.num_items)}
    for user in range(graph.num_users):
        for item in range(graph.num_items):
            expected = [len((takers[item] & takers[i]) - {user}) for i in range(graph.num_items)]
            assert shared_takers(graph, user, item).tolist() == expected
