"""P of the graph-attentive GPT-2's eq. 4: shortest paths, for the pairs that are asked for.

``P_ij`` is the number of edges on a shortest path between two nodes: even between two users or two
items, odd between a user and an item. Two questions are answered, neither with an N x N matrix:

* any pairs, by the train graph: :meth:`ShortestPaths.lengths`, :meth:`ShortestPaths.among`;
* pairs within the history that a prompt tells: :meth:`ShortestPaths.in_histories`. Whoever is asked
  about took the items of the prompt, so these are that user's edges, whether or not the train graph
  has them: rows held out from training, and the items of people who are not in the data, are read
  as train items are. Any two items are then two edges apart. Without the user's own edges
  (:class:`CoInteractions`, beyond the paper) there is more to tell: two items that somebody else
  took both are two edges apart, and others farther.

Legend: B prompts, S places of a prompt, U users, I items, N nodes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from edgewise.data.ragged import Ragged
from edgewise.errors import ConfigError, DataError
from edgewise.graph.bipartite import BipartiteGraph
from edgewise.graph.hub_labels import HubLabels, build_labels, nearest_meetings

MAX_CUTOFF = 254  # cutoff + 1 fits into 8 bits
FARTHER = 4


@dataclass(frozen=True, eq=False)
class ShortestPaths:
    """Exact path lengths up to a cutoff.

    Nodes are numbered users first, then items, as in the graph.

    Attributes:
        graph: of train rows only.
        cutoff: the longest path that is followed; ``cutoff + 1`` stands for a longer one, and for
            no path at all.
        others: where a user's own edges do not join the items of a history; else None.

    Raises:
        ConfigError: the cutoff is outside 1 to 254.
    """

    graph: BipartiteGraph
    cutoff: int = 5
    others: CoInteractions | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.cutoff <= MAX_CUTOFF:
            raise ConfigError(
                f"cutoff is {self.cutoff}: use a path length from 1 to {MAX_CUTOFF}; the paper's "
                "distances need no more than 5."
            )

    def __repr__(self) -> str:
        return f"ShortestPaths(graph={self.graph}, cutoff={self.cutoff})"

    @cached_property
    def labels(self) -> HubLabels:
        """The index of the train graph, made when something is first asked beyond a history.

        Raises:
            DataError: more than 16.7 million users and as many items have edges.
        """
        return build_labels(self.graph, self.cutoff)

    @property
    def nbytes(self) -> int:
        """Bytes that the index occupies."""
        return self.labels.starts.nbytes + self.labels.entries.nbytes

    def lengths(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """From each node of ``first`` to the one at the same place in ``second``.

        Where pairs share nodes, :meth:`among` is much faster.

        Args:
            first, second: ``int64[n]``.

        Returns:
            ``uint8[n]``; 0 for a node and itself.

        Raises:
            DataError: the graph has no such node, or there are not as many of both.
        """
        first, second = np.asarray(first), np.asarray(second)
        if first.ndim != 1 or first.shape != second.shape:
            raise DataError(
                f"first and second have the shapes {first.shape} and {second.shape}: pass two "
                "lists of the same length."
            )
        pairs = np.stack([first, second], axis=1)
        self._check(pairs, smallest=0)
        return self._within_rows(pairs.astype(np.int64, copy=False))[:, 0, 1]

    def among(self, nodes: np.ndarray) -> np.ndarray:
        """Between any two nodes of each row, such as the users and items of a prompt.

        Args:
            nodes: ``int64[B, S]``, -1 where there is no node.

        Returns:
            ``uint8[B, S, S]``; 0 for a node and itself, ``cutoff + 1`` wherever either is no node,
            on the diagonal too.

        Raises:
            DataError: the graph has no such node, or the array has other than two axes.
        """
        nodes = np.asarray(nodes)
        if nodes.ndim != 2:
            raise DataError(f"nodes have the shape {nodes.shape}: pass one row per prompt, [B, S].")
        self._check(nodes, smallest=-1)
        return self._within_rows(nodes.astype(np.int64, copy=False))

    def in_histories(self, nodes: np.ndarray, user_index: np.ndarray) -> np.ndarray:
        """Between any two nodes of prompts that tell one user's history each.

        Args:
            nodes: the user and the items of the history, -1 elsewhere, ``int64[B, S]``.
            user_index: whose history it is, -1 for people who are not in the data, ``int64[B]``.

        Returns:
            ``uint8[B, S, S]``, as :meth:`among`.
        """
        lengths = history_lengths(nodes, self.graph.num_users, self.cutoff)
        if self.others is not None:
            self._set_apart(self.others, lengths, nodes, user_index)
        return lengths

    def _within_rows(self, nodes: np.ndarray) -> np.ndarray:
        lengths = nearest_meetings(self.labels, nodes, self.cutoff)
        lengths[_pairs(nodes >= 0, nodes >= 0) & _same(nodes)] = 0
        return lengths

    def _set_apart(
        self,
        others: CoInteractions,
        lengths: np.ndarray,
        nodes: np.ndarray,
        user_index: np.ndarray,
    ) -> None:
        """Put items that no other user joins 4 edges apart, in place.

        That is a simple stand-in for the length without the user's own edges: it may be more, or
        there may be no other path at all.
        """
        item = nodes - self.graph.num_users
        is_item = item >= 0
        row, first, second = np.nonzero(np.triu(_pairs(is_item, is_item) & (lengths > 0), 1))
        alone = ~others.join(item[row, first], item[row, second], user_index[row])
        row, first, second = row[alone], first[alone], second[alone]
        farther = min(FARTHER, self.cutoff + 1)
        lengths[row, first, second] = lengths[row, second, first] = farther

    def _check(self, nodes: np.ndarray, smallest: int) -> None:
        if nodes.size == 0:
            return
        if nodes.dtype.kind not in "iu":
            raise DataError(f"node numbers are {nodes.dtype}: pass whole numbers.")
        outside = nodes[(nodes < smallest) | (nodes >= self.graph.num_nodes)]
        if outside.size:
            raise DataError(
                f"node {outside[0]} is outside the graph, whose {self.graph.num_nodes} nodes are "
                "numbered from 0, users first: item i is node num_users + i, of the graph that "
                "the index was built from."
            )


def history_lengths(nodes: np.ndarray, num_users: int, cutoff: int) -> np.ndarray:
    """Lengths by the user's own edges.

    Args:
        nodes: the user and the items of the history, -1 elsewhere, ``int64[B, S]``.
        num_users: U, from which on nodes are items.
        cutoff: the longest path that is followed.

    Returns:
        1 from a user to an item, 2 between items, 0 from a node to itself, and ``cutoff + 1`` where
        either is no node, ``uint8[B, S, S]``.
    """
    item, user = nodes >= num_users, (nodes >= 0) & (nodes < num_users)
    beyond = cutoff + 1
    lengths = np.full((*nodes.shape, nodes.shape[1]), beyond, dtype=np.uint8)
    lengths[_pairs(item, item)] = min(2, beyond)
    lengths[_pairs(user, item) | _pairs(item, user)] = 1
    lengths[_pairs(nodes >= 0, nodes >= 0) & _same(nodes)] = 0
    return lengths


@dataclass(frozen=True, eq=False)
class CoInteractions:
    """Tells which pairs of items somebody but the user took both, by train rows.

    Memory is that of the pairs of items that any user took both: at most I squared, and at most the
    sum of all squared lengths of histories.

    Attributes:
        took: 1 on train rows, ``int32[U, I]``.
        takers_of_both: users with a train row of either item, counted to 2, ``uint8[I, I]``.
    """

    took: sp.csr_array
    takers_of_both: sp.csr_array

    @classmethod
    def of(cls, train: Ragged, num_items: int) -> CoInteractions:
        """Count the train rows, given as each user's items."""
        users = np.repeat(np.arange(len(train)), train.lengths)
        ones = np.ones(len(users), dtype=np.int32)
        took = sp.csr_array((ones, (users, train.values)), shape=(len(train), num_items))
        took.data[:] = 1  # a repeated row is one edge
        both = sp.csr_array(took.T @ took)
        both.data = np.minimum(both.data, 2).astype(np.uint8)
        both.sort_indices()
        return cls(took, both)

    def join(self, first: np.ndarray, second: np.ndarray, user_index: np.ndarray) -> np.ndarray:
        """Whether another user took both items of each pair, ``bool[n]``.

        Args:
            first, second: items, ``int64[n]``.
            user_index: whose pair it is, -1 for nobody in the data, ``int64[n]``.
        """
        known, row = user_index >= 0, np.maximum(user_index, 0)
        own = known & (_cells(self.took, row, first) > 0) & (_cells(self.took, row, second) > 0)
        return _cells(self.takers_of_both, first, second) > own


def _cells(table: sp.csr_array, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    found = table[rows, columns]
    # For no cells at all scipy returns a sparse row.
    return (found.toarray() if sp.issparse(found) else np.asarray(found)).ravel()


def _pairs(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """``bool[B, S, S]`` of two ``bool[B, S]``."""
    return first[:, :, None] & second[:, None, :]


def _same(nodes: np.ndarray) -> np.ndarray:
    """Where a row repeats a node, ``bool[B, S, S]``."""
    return nodes[:, :, None] == nodes[:, None, :]
