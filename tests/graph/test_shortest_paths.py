"""Path lengths by the train graph, and by what a user took, in the train graph or not."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse.csgraph import dijkstra, shortest_path
from tests.graphs import graph_of

from edgewise.data.ragged import Ragged
from edgewise.errors import ConfigError, DataError
from edgewise.graph import hub_labels
from edgewise.graph.bipartite import BipartiteGraph
from edgewise.graph.shortest_paths import CoInteractions, ShortestPaths, history_lengths

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


def every_length(paths: ShortestPaths) -> np.ndarray:
    """All lengths from `lengths`, ``uint8[N, N]``."""
    first, second = np.indices((paths.graph.num_nodes, paths.graph.num_nodes)).reshape(2, -1)
    return paths.lengths(first, second).reshape(paths.graph.num_nodes, paths.graph.num_nodes)


@pytest.mark.parametrize("cutoff", range(1, 9))
def test_along_a_chain(chain, cutoff):
    found = every_length(ShortestPaths(chain, cutoff))
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
        paths, expected = ShortestPaths(graph, cutoff), oracle(graph, cutoff)
        np.testing.assert_array_equal(every_length(paths), expected)
        np.testing.assert_array_equal(paths.among(np.arange(graph.num_nodes)[None])[0], expected)


@pytest.mark.parametrize("cutoff", [2, 5])
def test_more_hubs_than_one_search_takes(random_graph, cutoff):
    """Several words of 64 roots, the last one cut short."""
    graph = random_graph(0, 150, 170, 420)
    assert np.count_nonzero(graph.user_degrees) > 128
    expected = oracle(graph, cutoff)
    assert {2, cutoff, cutoff + 1} <= set(expected.ravel())
    np.testing.assert_array_equal(every_length(ShortestPaths(graph, cutoff)), expected)


@pytest.mark.parametrize("entries_at_once", [1, 40, 1 << 19])
def test_rows_with_gaps_and_repetitions(random_graph, monkeypatch, entries_at_once):
    """Whatever the pieces, a row's places answer for the nodes that stand there."""
    monkeypatch.setattr(hub_labels, "ENTRIES_AT_ONCE", entries_at_once)
    monkeypatch.setattr(hub_labels, "MEETINGS_AT_ONCE", entries_at_once)
    graph = random_graph(3, 40, 30, 75)
    paths, expected = ShortestPaths(graph), oracle(graph, 5)
    nodes = np.random.default_rng(0).integers(-1, graph.num_nodes, size=(9, 33))
    nodes[0], nodes[1, :30] = -1, 7
    missing = (nodes[:, :, None] < 0) | (nodes[:, None, :] < 0)
    wanted = np.where(missing, 6, expected[nodes[:, :, None], nodes[:, None, :]])
    found = paths.among(nodes)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, wanted)
    assert found[0].tolist() == [[6] * 33] * 33


def test_a_path_as_long_as_the_largest_cutoff(build_graph):
    """256 nodes in a row, item 0 first: 254 edges are told, 255 are more."""
    steps = [(n // 2, (n + 1) // 2) for n in range(255)]
    paths = ShortestPaths(build_graph(steps, 128, 128), cutoff=254)
    places = np.array([*range(1, 256, 2), *range(0, 256, 2)])  # of users, then of items
    expected = np.abs(places[:, None] - places)
    assert expected.max() == 255
    np.testing.assert_array_equal(every_length(paths), expected)


@pytest.mark.parametrize(("num_users", "num_items"), [(3, 2), (2, 3), (0, 4), (0, 0)])
def test_a_graph_without_edges(build_graph, num_users, num_items):
    paths = ShortestPaths(build_graph([], num_users, num_items))
    expected = np.where(np.eye(num_users + num_items, dtype=bool), 0, 6)
    assert every_length(paths).tolist() == expected.tolist()
    assert paths.among(np.full((2, 3), -1)).tolist() == [[[6] * 3] * 3] * 2


def test_nothing_asked_is_nothing_answered(chain):
    paths = ShortestPaths(chain)
    nothing = np.zeros(0, dtype=np.int64)
    assert paths.lengths(nothing, nothing).shape == (0,)
    assert paths.among(np.zeros((0, 4), dtype=np.int64)).shape == (0, 4, 4)
    assert paths.among(np.zeros((3, 0), dtype=np.int64)).shape == (3, 0, 0)


def test_a_real_graph(beauty):
    """Edges are one step; from a few nodes scipy finds the same lengths to all others."""
    graph = beauty.graph
    paths = ShortestPaths(graph)
    edges = np.random.default_rng(0).integers(graph.num_edges, size=300)
    users, items = graph.users[edges], graph.items[edges] + graph.num_users
    assert set(paths.lengths(users, items)) == {1}
    sources, everywhere = [0, 1, graph.num_users, graph.num_users + 1], np.arange(graph.num_nodes)
    found = dijkstra(adjacency(graph), directed=False, unweighted=True, indices=sources)
    for source, lengths in zip(sources, np.minimum(found, 6), strict=True):
        np.testing.assert_array_equal(
            paths.lengths(np.full_like(everywhere, source), everywhere), lengths
        )


def test_it_knows_its_size(chain):
    paths = ShortestPaths(chain, cutoff=3)
    assert paths.nbytes == 9 * 8 + 4 * len(paths.labels.entries)
    assert repr(paths) == (
        "ShortestPaths(graph=BipartiteGraph(users=4, items=4, edges=5), cutoff=3)"
    )


@pytest.mark.parametrize("cutoff", [-1, 0, 255])
def test_a_cutoff_that_8_bits_cannot_tell_is_refused(chain, cutoff):
    with pytest.raises(ConfigError, match=rf"cutoff is {cutoff}: .*from 1 to 254"):
        ShortestPaths(chain, cutoff)


@pytest.mark.parametrize("node", [-1, 8])
def test_a_node_outside_the_graph_is_refused(chain, node):
    paths, nodes = ShortestPaths(chain), np.array([0, node])
    for ask in (lambda: paths.lengths(nodes, nodes[::-1]), lambda: paths.among(nodes[None] * 2)):
        with pytest.raises(DataError, match=r"node -?\d+ is outside the graph, whose 8 nodes"):
            ask()
    with pytest.raises(DataError, match=f"node {node} is outside"):
        paths.lengths(nodes, np.zeros_like(nodes))


def test_arrays_of_other_shapes_or_kinds_are_refused(chain):
    paths = ShortestPaths(chain)
    with pytest.raises(DataError, match=r"shapes \(2,\) and \(3,\): pass two lists"):
        paths.lengths(np.zeros(2, dtype=int), np.zeros(3, dtype=int))
    with pytest.raises(DataError, match=r"shape \(2,\): pass one row per prompt"):
        paths.among(np.zeros(2, dtype=int))
    with pytest.raises(DataError, match="node numbers are float64: pass whole numbers"):
        paths.among(np.zeros((1, 2)))


# Users 0, 1, 2 of items 0..4, which are nodes 3..7; item 4 has no train row.
TRAIN = ((0, 1, 2), (1, 2, 2), (3,))


def histories(rows) -> Ragged:
    offsets = np.cumsum([0, *(len(row) for row in rows)])
    return Ragged(offsets, np.array([i for row in rows for i in row], dtype=np.int32))


def paths_of(cutoff: int = 5, include_own_edges: bool = True) -> ShortestPaths:
    rows = histories(TRAIN)
    pairs = zip(np.repeat(np.arange(3), rows.lengths).tolist(), rows.values.tolist(), strict=True)
    others = None if include_own_edges else CoInteractions.of(rows, 5)
    return ShortestPaths(graph_of(pairs, 3, 5), cutoff, others)


def items_between(lengths: np.ndarray) -> list[list[int]]:
    return lengths[0, 1:, 1:].tolist()


class TestOwnEdges:
    def test_by_hand(self):
        """Words, the user, two items, and the first of them once more."""
        lengths = history_lengths(np.array([[-1, 2, 3, 5, 3]]), 3, 5)
        assert lengths.dtype == np.uint8
        assert lengths[0].tolist() == [
            [6, 6, 6, 6, 6],
            [6, 0, 1, 1, 1],
            [6, 1, 0, 2, 0],
            [6, 1, 2, 0, 2],
            [6, 1, 0, 2, 0],
        ]

    def test_a_short_cutoff(self):
        lengths = history_lengths(np.array([[0, 3, 4]]), 3, 1)
        assert lengths[0].tolist() == [[0, 1, 1], [1, 0, 2], [1, 2, 0]]

    @pytest.mark.parametrize("cutoff", [1, 2, 5])
    def test_train_histories_have_the_train_graphs_lengths(self, cutoff):
        paths = paths_of(cutoff)
        for user, items in enumerate(TRAIN):
            nodes = np.array([[user, -1, *(3 + item for item in items)]])
            found = paths.in_histories(nodes, np.array([user]))
            assert np.array_equal(found, paths.among(nodes))

    @pytest.mark.parametrize("user", [1, -1])
    def test_an_item_without_an_edge_is_read_as_one_with_an_edge(self, user):
        """User 1 took items 1 and 2 in training; item 4 is new."""
        paths = paths_of()
        known, new = (np.array([[user, -1, 4, node]]) for node in (5, 7))
        found = [paths.in_histories(nodes, np.array([user])) for nodes in (known, new)]
        assert np.array_equal(*found)
        assert not np.array_equal(paths.among(known), paths.among(new)), "the train graph differs"


class TestOthersEdges:
    def test_the_users_own_rows_do_not_count(self):
        """Items 1 and 2 were taken by users 0 and 1; items 0 and 1 by user 0 alone."""
        nodes = np.array([[0, 3, 4, 5]])
        lengths = paths_of(include_own_edges=False).in_histories(nodes, np.array([0]))
        assert lengths[0, 0].tolist() == [0, 1, 1, 1]
        assert items_between(lengths) == [[0, 4, 4], [4, 0, 2], [4, 2, 0]]

    def test_another_user_gains_from_them(self):
        """To user 2, and to somebody new, user 0's rows are another's."""
        nodes = np.array([[-1, 3, 4, 7]])
        for user in (2, -1):
            lengths = paths_of(include_own_edges=False).in_histories(nodes, np.array([user]))
            assert items_between(lengths) == [[0, 2, 4], [2, 0, 4], [4, 4, 0]]

    def test_held_out_items_of_the_user(self):
        """User 1 has train rows of items 1 and 2, not of 0: user 0 has both 0 and 1."""
        nodes = np.array([[1, 3, 4, 5]])
        lengths = paths_of(include_own_edges=False).in_histories(nodes, np.array([1]))
        assert items_between(lengths) == [[0, 2, 2], [2, 0, 2], [2, 2, 0]]

    def test_a_short_cutoff(self):
        nodes = np.array([[0, 3, 4, 5]])
        lengths = paths_of(2, include_own_edges=False).in_histories(nodes, np.array([0]))
        assert items_between(lengths) == [[0, 3, 3], [3, 0, 2], [3, 2, 0]]

    @given(st.data())
    def test_pairs_are_counted_without_the_user(self, data):
        rows = data.draw(st.lists(st.lists(st.integers(0, 5), max_size=5), min_size=1, max_size=5))
        first, second = np.meshgrid(np.arange(6), np.arange(6), indexing="ij")
        user = data.draw(st.integers(-1, len(rows) - 1))
        others = CoInteractions.of(histories(rows), 6)
        found = others.join(first.ravel(), second.ravel(), np.full(36, user)).reshape(6, 6)
        wanted = [
            [
                any({i, j} <= set(row) for other, row in enumerate(rows) if other != user)
                for j in range(6)
            ]
            for i in range(6)
        ]
        assert found.tolist() == wanted

    def test_no_prompt_no_pair(self):
        assert paths_of(include_own_edges=False).in_histories(
            np.empty((0, 1), np.int64), np.empty(0, np.int64)
        ).shape == (0, 1, 1)
