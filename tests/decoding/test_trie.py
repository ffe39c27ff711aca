from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise.decoding import PrefixTrie, TokenTable
from edgewise.errors import DataError

EOS = 1


def by_hand() -> PrefixTrie:
    # item 0: 7 3, item 1: 5, item 2: 7 2, item 3: 5 9
    return TokenTable.from_lists([[7, 3, 1], [5, 1], [7, 2, 1], [5, 9, 1]]).trie


def test_nodes_are_numbered_breadth_first() -> None:
    trie = by_hand()
    # Depth 1: 5, 7; depth 2: 5-1, 5-9, 7-2, 7-3; depth 3: 5-9-1, 7-2-1, 7-3-1.
    assert trie.node_token.tolist() == [-1, 5, 7, 1, 9, 2, 3, 1, 1, 1]
    assert trie.node_parent.tolist() == [0, 0, 0, 1, 1, 2, 2, 4, 5, 6]
    assert trie.node_depth.tolist() == [0, 1, 1, 2, 2, 2, 2, 3, 3, 3]
    assert trie.node_item.tolist() == [-1, -1, -1, 1, -1, -1, -1, 3, 2, 0]
    assert trie.num_leaves.tolist() == [4, 2, 2, 1, 1, 1, 1, 1, 1, 1]
    assert trie.child_offsets.tolist() == [1, 3, 5, 7, 7, 8, 9, 10, 10, 10, 10]


def test_item_paths_lead_from_the_root_to_the_leaf() -> None:
    assert by_hand().item_paths.tolist() == [[0, 2, 6, 9], [0, 1, 3, 0], [0, 2, 5, 8], [0, 1, 4, 7]]


spellings = st.sets(
    st.lists(st.integers(2, 6), min_size=0, max_size=5).map(tuple), min_size=1, max_size=40
)


@settings(max_examples=60, deadline=None)
@given(rows=spellings, seed=st.integers(0, 5))
def test_equals_a_tree_of_dictionaries(rows: set[tuple[int, ...]], seed: int) -> None:
    items = [[*row, EOS] for row in rows]
    np.random.default_rng(seed).shuffle(items)
    trie = TokenTable.from_lists(items).trie
    prefixes = {tuple(row[:end]) for row in items for end in range(len(row) + 1)}
    spelled: dict[tuple[int, ...], int] = {(): 0}
    for node in range(1, trie.num_nodes):
        parent = next(p for p, number in spelled.items() if number == trie.node_parent[node])
        spelled[(*parent, int(trie.node_token[node]))] = node
    assert set(spelled) == prefixes
    for prefix, node in spelled.items():
        below = [item for item, row in enumerate(items) if tuple(row[: len(prefix)]) == prefix]
        assert trie.num_leaves[node] == len(below)
        assert trie.node_item[node] == (below[0] if prefix[-1:] == (EOS,) else -1)
        children = range(trie.child_offsets[node], trie.child_offsets[node + 1])
        assert [trie.node_parent[child] for child in children] == [node] * len(children)
        tokens = [int(trie.node_token[child]) for child in children]
        assert tokens == sorted({p[-1] for p in prefixes if p and p[:-1] == prefix})


def test_what_stands_behind_a_row_does_not_matter() -> None:
    lengths = np.array([2, 3])
    first = TokenTable(np.array([[5, 1, 0], [5, 9, 1]]), lengths).trie
    other = TokenTable(np.array([[5, 1, 77], [5, 9, 1]]), lengths).trie
    np.testing.assert_array_equal(first.node_token, other.node_token)
    np.testing.assert_array_equal(first.item_paths, other.item_paths)


def test_two_items_spelled_alike_are_refused() -> None:
    with pytest.raises(DataError, match=r"item 0 .* item 2"):
        TokenTable.from_lists([[5, 6, 1], [5, 7, 1], [5, 6, 1]])


def test_a_spelling_that_begins_another_is_refused() -> None:
    with pytest.raises(DataError, match=r"item 1 .* item 0.*end-of-sequence"):
        TokenTable.from_lists([[5, 6], [5]])


@pytest.mark.parametrize("lengths", [[2, 0], [2, 4]])
def test_impossible_lengths_are_refused(lengths: list[int]) -> None:
    with pytest.raises(DataError, match="item 1 has length"):
        TokenTable(np.array([[5, 1, 0], [5, 9, 1]]), np.array(lengths))


def test_arrays_that_do_not_fit_are_refused() -> None:
    with pytest.raises(DataError, match="do not fit"):
        TokenTable(np.zeros((2, 3), dtype=np.int64), np.array([1, 2, 3]))
