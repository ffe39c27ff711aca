from __future__ import annotations

import numpy as np
import pytest
from tests.graphs import pairs_of
from tests.oracles.propagation import dense_adjacency

from edgewise.data.dataset import Catalog, Dataset, Interactions, Vocabulary
from edgewise.data.splits import leave_one_out
from edgewise.errors import DataError
from edgewise.graph.bipartite import BipartiteGraph

HALF, ROOT_HALF = 0.5, 0.5**0.5


def test_edges_are_distinct_and_sorted():
    rows = Interactions(
        np.array([2, 0, 2, 0], dtype=np.int32), np.array([1, 3, 1, 0], dtype=np.int32)
    )
    graph = BipartiteGraph.from_interactions(rows, 3, 4)
    assert graph.users.tolist() == [0, 0, 2]
    assert graph.items.tolist() == [0, 3, 1]
    assert graph.users.dtype == graph.items.dtype == np.int32
    assert graph.edge_keys.tolist() == [0, 3, 9]
    assert repr(graph) == "BipartiteGraph(users=3, items=4, edges=3)"


def test_biadjacency_by_hand(chain):
    expected = [
        [ROOT_HALF, HALF, 0, 0],
        [0, HALF, HALF, 0],
        [0, 0, ROOT_HALF, 0],
        [0, 0, 0, 0],
    ]
    matrix = chain.normalized_biadjacency()
    assert matrix.dtype == np.float32
    np.testing.assert_allclose(matrix.toarray(), expected, atol=1e-7)
    assert chain.degrees.tolist() == [2, 2, 1, 0, 1, 2, 2, 0]


@pytest.mark.parametrize("seed", range(5))
def test_adjacency_equals_the_dense_formula(random_graph, seed):
    graph = random_graph(seed)
    adjacency = graph.normalized_adjacency()
    assert adjacency.dtype == np.float32
    expected = dense_adjacency(pairs_of(graph), graph.num_users, graph.num_items)
    np.testing.assert_allclose(adjacency.toarray(), expected, atol=1e-6)


def test_a_graph_without_edges_is_a_matrix_of_zeros(build_graph):
    graph = build_graph([], 2, 3)
    assert graph.normalized_adjacency().shape == (5, 5)
    assert graph.normalized_adjacency().nnz == 0
    assert graph.degrees.tolist() == [0] * 5


def test_without_keeps_the_nodes(chain):
    smaller = chain.without(chain.users == 0)
    assert pairs_of(smaller) == {(1, 1), (1, 2), (2, 2)}
    assert (smaller.num_users, smaller.num_items) == (4, 4)
    assert smaller.degrees.tolist() == [0, 2, 1, 0, 0, 1, 2, 0]


@pytest.mark.parametrize(("kind", "sizes"), [("user", (2, 9)), ("item", (9, 2))])
def test_an_index_outside_the_graph_is_refused(kind, sizes):
    rows = Interactions(np.array([2], dtype=np.int32), np.array([2], dtype=np.int32))
    with pytest.raises(DataError, match=rf"{kind} indices run from 2 to 2.*num_{kind}s"):
        BipartiteGraph.from_interactions(rows, *sizes)


def test_held_out_rows_leave_no_trace():
    """Whatever the last two rows of each user say, the graph of the train part is the same."""

    def train_graph(held_out: list[int]) -> BipartiteGraph:
        users = np.repeat(np.arange(3, dtype=np.int32), 4)
        items = np.array([[0, 1, *held_out], [1, 2, *held_out], [3, 0, *held_out]], dtype=np.int32)
        split = leave_one_out(_dataset(users, items.ravel()))
        return BipartiteGraph.from_interactions(split.train, 3, 6)

    first, second = train_graph([4, 5]), train_graph([5, 2])
    assert pairs_of(first) == {(0, 0), (0, 1), (1, 1), (1, 2), (2, 3), (2, 0)}
    assert pairs_of(first) == pairs_of(second)


def _dataset(users: np.ndarray, items: np.ndarray) -> Dataset:
    return Dataset(
        "small",
        Vocabulary(("a", "b", "c"), "user"),
        Vocabulary(tuple("uvwxyz"), "item"),
        Interactions(users, items),
        Catalog.empty(6),
    )
