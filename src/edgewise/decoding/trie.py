"""The catalogue as a prefix tree of token spellings, laid out in flat arrays.

Legend: I items, T tokens of the longest spelling, N nodes of the tree.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from edgewise.errors import DataError


@dataclass(frozen=True)
class TokenTable:
    """How every item is spelled for the decoder, the end-of-sequence token included.

    The end token makes the spellings prefix-free ("item_1" is no prefix of "item_12"), so each item
    is one leaf of the prefix tree.

    Attributes:
        tokens: ``int64[I, T]``, right-padded; what stands behind a row's length is never read.
        lengths: ``int64[I]``, the number of tokens of each item, at least one.

    Raises:
        DataError: two items are spelled alike, or one spelling is the beginning of another.
    """

    tokens: np.ndarray
    lengths: np.ndarray

    def __post_init__(self) -> None:
        if self.tokens.ndim != 2 or self.lengths.shape != self.tokens.shape[:1]:
            raise DataError(
                f"token table: tokens {self.tokens.shape} and lengths {self.lengths.shape} do not "
                "fit; pass int64[items, longest] and int64[items]"
            )
        if np.any(self.lengths < 1) or np.any(self.lengths > self.tokens.shape[1]):
            row = int(np.argmax((self.lengths < 1) | (self.lengths > self.tokens.shape[1])))
            raise DataError(
                f"token table: item {row} has length {self.lengths[row]}; lengths must lie between "
                f"1 and {self.tokens.shape[1]}, the end-of-sequence token included"
            )
        self._check_prefix_free()

    @classmethod
    def from_lists(cls, spellings: list[list[int]], pad_id: int = 0) -> TokenTable:
        """A table from one list of tokens an item, each closed by the end-of-sequence token."""
        lengths = np.array([len(row) for row in spellings], dtype=np.int64)
        tokens = np.full((len(spellings), int(lengths.max(initial=1))), pad_id, dtype=np.int64)
        tokens[np.arange(tokens.shape[1]) < lengths[:, None]] = [
            t for row in spellings for t in row
        ]
        return cls(tokens, lengths)

    def __len__(self) -> int:
        return len(self.lengths)

    @cached_property
    def trie(self) -> PrefixTrie:
        """The prefix tree of all items, built at first use."""
        return PrefixTrie.from_table(self)

    def masked_tokens(self) -> np.ndarray:
        """``int64[I, T]`` with -1 behind each row's end."""
        inside = np.arange(self.tokens.shape[1]) < self.lengths[:, None]
        return np.where(inside, self.tokens, -1)

    def _check_prefix_free(self) -> None:
        tokens = self.masked_tokens()
        order = np.lexsort(tokens.T[::-1])
        # In sorted order a spelling stands directly before its first extension.
        before, after = tokens[order[:-1]], tokens[order[1:]]
        clash = np.all((before == after) | (before < 0), axis=1)
        if clash.any():
            first = int(np.argmax(clash))
            raise DataError(
                f"token table: the spelling of item {order[first]} is the same as, or the "
                f"beginning of, that of item {order[first + 1]}; end every spelling with the "
                "end-of-sequence token and give every item its own"
            )


@dataclass(frozen=True)
class PrefixTrie:
    """A prefix tree whose nodes are numbered breadth first; the root is node 0.

    Nodes of one depth are ordered by their spelling, so a node's children have consecutive numbers
    in the order of their tokens, and parents never decrease along the numbering.

    Attributes:
        node_token: ``int64[N]``, the token that leads to a node; -1 at the root.
        node_parent: ``int64[N]``; the root is its own parent.
        node_depth: ``int64[N]``; 0 at the root.
        child_offsets: ``int64[N + 1]``; the children of ``n`` are the nodes
            ``child_offsets[n]`` up to, not including, ``child_offsets[n + 1]``.
        node_item: ``int64[N]``, the item spelled by a leaf, -1 elsewhere.
        num_leaves: ``int64[N]``, the number of items at and below a node.
        item_paths: ``int64[I, T + 1]``, the nodes from the root to each item's leaf; the root
            (column 0) also fills the places behind the leaf.
    """

    node_token: np.ndarray
    node_parent: np.ndarray
    node_depth: np.ndarray
    child_offsets: np.ndarray
    node_item: np.ndarray
    num_leaves: np.ndarray
    item_paths: np.ndarray

    @classmethod
    def from_table(cls, table: TokenTable) -> PrefixTrie:
        """Build the tree by sorting the spellings and numbering the runs of equal prefixes."""
        paths, tokens, parents, depths = _number_nodes(table)
        num_nodes = len(tokens)
        node_item = np.full(num_nodes, -1, dtype=np.int64)
        items = np.arange(len(table))
        node_item[paths[items, table.lengths]] = items
        inside = np.arange(paths.shape[1]) <= table.lengths[:, None]
        num_leaves = np.bincount(paths[inside], minlength=num_nodes)
        child_offsets = np.searchsorted(parents[1:], np.arange(num_nodes + 1)) + 1
        return cls(tokens, parents, depths, child_offsets, node_item, num_leaves, paths)

    @property
    def num_nodes(self) -> int:
        return len(self.node_token)

    @property
    def num_items(self) -> int:
        return len(self.item_paths)


def _number_nodes(table: TokenTable) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Item paths ``[I, T + 1]`` and every node's token, parent and depth, breadth first."""
    spelled = table.masked_tokens()
    order = np.lexsort(spelled.T[::-1])
    spelled = spelled[order]
    begins = np.ones_like(spelled, dtype=bool)
    begins[1:] = np.logical_or.accumulate(spelled[1:] != spelled[:-1], axis=1)
    begins &= spelled >= 0

    paths = np.zeros((len(table), spelled.shape[1] + 1), dtype=np.int64)
    tokens, parents, depths = [np.array([-1])], [np.array([0])], [np.array([0])]
    num_nodes = 1
    for column, begin in enumerate(begins.T):
        number = num_nodes + np.cumsum(begin) - 1
        paths[order, column + 1] = np.where(spelled[:, column] >= 0, number, 0)
        tokens.append(spelled[begin, column])
        parents.append(paths[order[begin], column])
        depths.append(np.full(begin.sum(), column + 1))
        num_nodes += int(begin.sum())
    return paths, np.concatenate(tokens), np.concatenate(parents), np.concatenate(depths)
