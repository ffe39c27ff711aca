from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.csgraph import dijkstra, shortest_path

from edgewise.errors import ConfigError, DataError
from edgewise.graph import hub_labels as distance_join
from edgewise.graph.bipartite import BipartiteGraph
from edgewise.graph.shortest_paths import DistanceIndex

# Nodes of the chain: users 0 to 3, items 4 to 7; 4 - 0 - 5 - 1 - 6 - 2, while 3 and 7 stand alone.
CHAIN_ORDER = [4, 0, 5, 1, 6, 2]


def adjacency(graph: BipartiteGraph) -> sp.csr_array:
    ends = (graph.users, graph.items + graph.num_users)
    shape = (graph.num_nodes, graph.num_nodes)
    return sp.csr_array((np.ones(graph.num_edges), ends), shape=shape)


def oracle(graph: BipartiteGraph, cutoff: int) -> np.ndarray:
    """All lengths by scipy, capped, ``int[N, N]``."""
    found = shortest_path(adjacency(graph), directed=False, unweighted=True)
    return np.minimum(found, cutoff + 1).astype(int)


def every_length(index: DistanceIndex) -> np.ndarray:
    """All lengths from `lengths`, ``uint8[N, N]``."""
    first, second = np.indices((index.num_nodes, index.num_nodes)).reshape(2, -1)
    return index.lengths(first, second).reshape(index.num_nodes, index.num_nodes)


@pytest.mark.parametrize("cutoff", range(1, 9))
def test_along_a_chain(chain, cutoff):
    found = every_length(DistanceIndex.build(chain, cutoff))
    places = np.arange(len(CHAIN_ORDER))
    expected = np.full((8, 8), cutoff + 1)
    expected[np.ix_(CHAIN_ORDER, CHAIN_ORDER)] = np.minimum(
        np.abs(places[:, None] - places), cutoff + 1
    )
    np.fill_diagonal(expected, 0)
    assert found.dtype == np.uint8
    assert found.tolist() == expected.tolist()


@pytest.mark.parametrize("cutoff", range(1, 9))
@pytest.mark.parametrize(
    ("num_users", "num_items", "num_rows"),
    [(9, 7, 14), (12, 30, 40), (30, 12, 40), (40, 40, 60), (25, 20, 200), (3, 70, 90), (1, 1, 1)],
)
def test_lengths_agree_with_scipy(random_graph, num_users, num_items, num_rows, cutoff):
    for seed in range(4):
        graph = random_graph(seed, num_users, num_items, num_rows)
        index, expected = DistanceIndex.build(graph, cutoff), oracle(graph, cutoff)
        np.testing.assert_array_equal(every_length(index), expected)
        np.testing.assert_array_equal(index.among(np.arange(graph.num_nodes)[None])[0], expected)


@pytest.mark.parametrize("cutoff", [2, 5])
def test_more_hubs_than_one_search_takes(random_graph, cutoff):
    """Several words of 64 roots, the last one cut short."""
    graph = random_graph(0, 150, 170, 420)
    assert np.count_nonzero(graph.user_degrees) > 128
    expected = oracle(graph, cutoff)
    assert {2, cutoff, cutoff + 1} <= set(expected.ravel())
    np.testing.assert_array_equal(every_length(DistanceIndex.build(graph, cutoff)), expected)


@pytest.mark.parametrize("entries_at_once", [1, 40, 1 << 19])
def test_rows_with_gaps_and_repetitions(random_graph, monkeypatch, entries_at_once):
    """Whatever the pieces, a row's places answer for the nodes that stand there."""
    monkeypatch.setattr(distance_join, "ENTRIES_AT_ONCE", entries_at_once)
    monkeypatch.setattr(distance_join, "MEETINGS_AT_ONCE", entries_at_once)
    graph = random_graph(3, 40, 30, 75)
    index, expected = DistanceIndex.build(graph), oracle(graph, 5)
    nodes = np.random.default_rng(0).integers(-1, graph.num_nodes, size=(9, 33))
    nodes[0], nodes[1, :30] = -1, 7
    missing = (nodes[:, :, None] < 0) | (nodes[:, None, :] < 0)
    wanted = np.where(missing, 6, expected[nodes[:, :, None], nodes[:, None, :]])
    found = index.among(nodes)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, wanted)
    assert found[0].tolist() == [[6] * 33] * 33


def test_a_path_as_long_as_the_largest_cutoff(build_graph):
    """256 nodes in a row, item 0 first: 254 edges are told, 255 are more."""
    steps = [(n // 2, (n + 1) // 2) for n in range(255)]
    index = DistanceIndex.build(build_graph(steps, 128, 128), cutoff=254)
    places = np.array([*range(1, 256, 2), *range(0, 256, 2)])  # of users, then of items
    expected = np.abs(places[:, None] - places)
    assert expected.max() == 255
    np.testing.assert_array_equal(every_length(index), expected)


@pytest.mark.parametrize(("num_users", "num_items"), [(3, 2), (2, 3), (0, 4), (0, 0)])
def test_a_graph_without_edges(build_graph, num_users, num_items):
    index = DistanceIndex.build(build_graph([], num_users, num_items))
    expected = np.where(np.eye(num_users + num_items, dtype=bool), 0, 6)
    assert every_length(index).tolist() == expected.tolist()
    assert index.among(np.full((2, 3), -1)).tolist() == [[[6] * 3] * 3] * 2


def test_nothing_asked_is_nothing_answered(chain):
    index = DistanceIndex.build(chain)
    nothing = np.zeros(0, dtype=np.int64)
    assert index.lengths(nothing, nothing).shape == (0,)
    assert index.among(np.zeros((0, 4), dtype=np.int64)).shape == (0, 4, 4)
    assert index.among(np.zeros((3, 0), dtype=np.int64)).shape == (3, 0, 0)


def test_a_real_graph(beauty):
    """Edges are one step; from a few nodes scipy finds the same lengths to all others."""
    graph = beauty.graph
    index = DistanceIndex.build(graph)
    edges = np.random.default_rng(0).integers(graph.num_edges, size=300)
    users, items = graph.users[edges], graph.items[edges] + graph.num_users
    assert set(index.lengths(users, items)) == {1}
    sources, everywhere = [0, 1, graph.num_users, graph.num_users + 1], np.arange(graph.num_nodes)
    found = dijkstra(adjacency(graph), directed=False, unweighted=True, indices=sources)
    for source, lengths in zip(sources, np.minimum(found, 6), strict=True):
        np.testing.assert_array_equal(
            index.lengths(np.full_like(everywhere, source), everywhere), lengths
        )


def test_it_knows_its_size(chain):
    index = DistanceIndex.build(chain, cutoff=3)
    assert (index.cutoff, index.num_nodes) == (3, 8)
    assert index.nbytes == 9 * 8 + 4 * len(index.labels.entries)
    assert repr(index) == f"DistanceIndex(nodes=8, cutoff=3, labels={len(index.labels.entries)})"


@pytest.mark.parametrize("cutoff", [-1, 0, 255])
def test_a_cutoff_that_8_bits_cannot_tell_is_refused(chain, cutoff):
    with pytest.raises(ConfigError, match=rf"cutoff is {cutoff}: .*from 1 to 254"):
        DistanceIndex.build(chain, cutoff)


@pytest.mark.parametrize("node", [-1, 8])
def test_a_node_outside_the_graph_is_refused(chain, node):
    index, nodes = DistanceIndex.build(chain), np.array([0, node])
    for ask in (lambda: index.lengths(nodes, nodes[::-1]), lambda: index.among(nodes[None] * 2)):
        with pytest.raises(DataError, match=r"node -?\d+ is outside the graph, whose 8 nodes"):
            ask()
    with pytest.raises(DataError, match=f"node {node} is outside"):
        index.lengths(nodes, np.zeros_like(nodes))


def test_arrays_of_other_shapes_or_kinds_are_refused(chain):
    index = DistanceIndex.build(chain)
    with pytest.raises(DataError, match=r"shapes \(2,\) and \(3,\): pass two lists"):
        index.lengths(np.zeros(2, dtype=int), np.zeros(3, dtype=int))
    with pytest.raises(DataError, match=r"shape \(2,\): pass one row per prompt"):
        index.among(np.zeros(2, dtype=int))
    with pytest.raises(DataError, match="node numbers are float64: pass whole numbers"):
        index.among(np.zeros((1, 2)))
