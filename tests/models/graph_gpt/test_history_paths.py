"""What a reader took is that reader's edge, in the train graph or not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise.data.ragged import Ragged
from edgewise.models.graph_gpt.batch import assemble
from edgewise.models.graph_gpt.config import AttentionConfig
from edgewise.models.graph_gpt.distances import CoInteractions, build_distances, history_lengths

# Users 0, 1, 2 of items 0..4, which are nodes 3..7; item 4 has no train row.
TRAIN = ((0, 1, 2), (1, 2, 2), (3,))


def histories(rows) -> Ragged:
    offsets = np.cumsum([0, *(len(row) for row in rows)])
    return Ragged(offsets, np.array([i for row in rows for i in row], dtype=np.int32))


def graph_of(**settings):
    found = build_distances(AttentionConfig(**settings), histories(TRAIN), 5)
    assert found is not None
    return found


def items_between(lengths: np.ndarray) -> list[list[int]]:
    return lengths[0, 1:, 1:].tolist()


class TestOwnEdges:
    def test_by_hand(self):
        """Words, the reader, two items, and the first of them once more."""
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
        graph = graph_of(max_path=cutoff)
        for user, items in enumerate(TRAIN):
            nodes = np.array([[user, -1, *(3 + item for item in items)]])
            found = graph.in_histories(nodes, np.array([user]))
            assert np.array_equal(found, graph.among(nodes))

    @pytest.mark.parametrize("reader", [1, -1])
    def test_an_item_without_an_edge_is_read_as_one_with_an_edge(self, reader):
        """User 1 took items 1 and 2 in training; item 4 is new."""
        graph = graph_of()
        known, new = (np.array([[reader, -1, 4, node]]) for node in (5, 7))
        found = [graph.in_histories(nodes, np.array([reader])) for nodes in (known, new)]
        assert np.array_equal(*found)
        assert not np.array_equal(graph.among(known), graph.among(new)), "the train graph differs"


class TestOthersEdges:
    def test_the_readers_own_rows_do_not_count(self):
        """Items 1 and 2 were taken by users 0 and 1; items 0 and 1 by user 0 alone."""
        nodes = np.array([[0, 3, 4, 5]])
        lengths = graph_of(include_own_edges=False).in_histories(nodes, np.array([0]))
        assert lengths[0, 0].tolist() == [0, 1, 1, 1]
        assert items_between(lengths) == [[0, 4, 4], [4, 0, 2], [4, 2, 0]]

    def test_another_reader_gains_from_them(self):
        """To user 2, and to somebody new, user 0's rows are another's."""
        nodes = np.array([[-1, 3, 4, 7]])
        for reader in (2, -1):
            lengths = graph_of(include_own_edges=False).in_histories(nodes, np.array([reader]))
            assert items_between(lengths) == [[0, 2, 4], [2, 0, 4], [4, 4, 0]]

    def test_held_out_items_of_the_reader(self):
        """User 1 has train rows of items 1 and 2, not of 0: user 0 has both 0 and 1."""
        nodes = np.array([[1, 3, 4, 5]])
        lengths = graph_of(include_own_edges=False).in_histories(nodes, np.array([1]))
        assert items_between(lengths) == [[0, 2, 2], [2, 0, 2], [2, 2, 0]]

    def test_a_short_cutoff(self):
        nodes = np.array([[0, 3, 4, 5]])
        lengths = graph_of(include_own_edges=False, max_path=2).in_histories(nodes, np.array([0]))
        assert items_between(lengths) == [[0, 3, 3], [3, 0, 2], [3, 2, 0]]

    @given(st.data())
    def test_pairs_are_counted_without_the_reader(self, data):
        rows = data.draw(st.lists(st.lists(st.integers(0, 5), max_size=5), min_size=1, max_size=5))
        first, second = np.meshgrid(np.arange(6), np.arange(6), indexing="ij")
        reader = data.draw(st.integers(-1, len(rows) - 1))
        others = CoInteractions.of(histories(rows), 6)
        found = others.join(first.ravel(), second.ravel(), np.full(36, reader)).reshape(6, 6)
        wanted = [
            [any({i, j} <= set(row) for u, row in enumerate(rows) if u != reader) for j in range(6)]
            for i in range(6)
        ]
        assert found.tolist() == wanted

    def test_no_prompt_no_pair(self):
        assert graph_of(include_own_edges=False).in_histories(
            np.empty((0, 1), np.int64), np.empty(0, np.int64)
        ).shape == (0, 1, 1)


def test_prompts_of_histories_are_told_apart_from_others(fitted):
    """The same tokens, as anything and as a history of somebody new."""
    prompt = fitted.tokens.item_token(np.arange(20))
    graph = fitted._inference.distances
    whole = assemble(fitted.tokens, [prompt], distances=graph)
    own = assemble(fitted.tokens, [prompt], distances=graph, readers=np.array([-1]))
    assert int(whole.distance.max()) > 2 and sorted(own.distance.unique().tolist()) == [0, 2]
