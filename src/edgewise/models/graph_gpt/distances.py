"""Paths inside the history that a prompt tells.

Whoever is asked about took the items of the prompt, so they are that reader's edges, whether or not
the train graph has them: rows held out from training, and the items of people who are not in the
data, are read as train items are. Any two items are then two edges apart.

Without the reader's own edges (``attention.include_own_edges = false``) there is more to tell: two items
that somebody else took both are two edges apart, and others farther.

Distances of the train graph, from the histories that a recommender keeps anyway.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from edgewise.data.dataset import Interactions
from edgewise.data.ragged import Ragged
from edgewise.graph.bipartite import BipartiteGraph
from edgewise.graph.shortest_paths import DistanceIndex
from edgewise.models.graph_gpt.config import AttentionConfig

FARTHER = 4


def history_lengths(nodes: np.ndarray, num_users: int, cutoff: int) -> np.ndarray:
    """Lengths by the reader's own edges.

    Args:
        nodes: the reader and items of the history, -1 elsewhere, ``int64[B, S]``.
        num_users: U, from which on nodes are items.
        cutoff: the longest path that is followed.

    Returns:
        1 from a reader to an item, 2 between items, 0 from a node to itself, and ``cutoff + 1``
        where either is no node, ``uint8[B, S, S]``.
    """
    item, user = nodes >= num_users, (nodes >= 0) & (nodes < num_users)
    beyond = cutoff + 1
    lengths = np.full((*nodes.shape, nodes.shape[1]), beyond, dtype=np.uint8)
    lengths[_pairs(item, item)] = min(2, beyond)
    lengths[_pairs(user, item) | _pairs(item, user)] = 1
    lengths[_pairs(nodes >= 0, nodes >= 0) & (nodes[:, :, None] == nodes[:, None, :])] = 0
    return lengths


@dataclass(frozen=True, eq=False)
class CoInteractions:
    """Tells which pairs of items somebody but the reader took both, by train rows.

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
        """Count the train rows."""
        users = np.repeat(np.arange(len(train)), train.lengths)
        ones = np.ones(len(users), dtype=np.int32)
        took = sp.csr_array((ones, (users, train.values)), shape=(len(train), num_items))
        took.data[:] = 1  # a repeated row is one edge
        both = sp.csr_array(took.T @ took)
        both.data = np.minimum(both.data, 2).astype(np.uint8)
        both.sort_indices()
        return cls(took, both)

    def join(self, first: np.ndarray, second: np.ndarray, readers: np.ndarray) -> np.ndarray:
        """Whether another user took both items of each pair, ``bool[n]``.

        Args:
            first, second: items, ``int64[n]``.
            readers: whose pair it is, -1 for nobody in the data, ``int64[n]``.
        """
        known, row = readers >= 0, np.maximum(readers, 0)
        own = known & (_cells(self.took, row, first) > 0) & (_cells(self.took, row, second) > 0)
        return _cells(self.takers_of_both, first, second) > own

    def part(
        self,
        lengths: np.ndarray,
        nodes: np.ndarray,
        readers: np.ndarray,
        num_users: int,
        cutoff: int,
    ) -> None:
        """Set pairs that no other user joins 4 edges apart, in place.

        That is a simple stand-in for the length without the reader's edges: it may be more, or
        there may be no other path at all.

        Args:
            lengths: of :func:`history_lengths`.
            nodes: as there.
            readers: of each row, ``int64[B]``.
            num_users, cutoff: as there.
        """
        item = nodes >= num_users
        row, first, second = np.nonzero(np.triu(_pairs(item, item) & (lengths > 0), 1))
        one, other = (nodes[row, place] - num_users for place in (first, second))
        alone = ~self.join(one, other, readers[row])
        row, first, second = row[alone], first[alone], second[alone]
        lengths[row, first, second] = lengths[row, second, first] = min(FARTHER, cutoff + 1)


def _cells(table: sp.csr_array, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    found = table[rows, columns]
    # For no cells at all scipy returns a sparse row.
    return (found.toarray() if sp.issparse(found) else np.asarray(found)).ravel()


def _pairs(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """``bool[B, S, S]`` of two ``bool[B, S]``."""
    return first[:, :, None] & second[:, None, :]


@dataclass(frozen=True, eq=False)
class TrainGraph:
    """P between the nodes of prompts, see :class:`~edgewise.models.graph_gpt.batch.Distances`.

    Attributes:
        graph: of train rows.
        cutoff: the longest path that is followed.
        num_users: U.
        others: where a reader's own edges do not join the items of a history; else None.
    """

    graph: BipartiteGraph
    cutoff: int
    num_users: int
    others: CoInteractions | None = None

    @cached_property
    def index(self) -> DistanceIndex:
        """Exact lengths, made when a prompt first asks for more than its reader's history."""
        return DistanceIndex.build(self.graph, cutoff=self.cutoff)

    def among(self, nodes: np.ndarray) -> np.ndarray:
        """Of any prompt, by the train graph."""
        return self.index.among(nodes)

    def in_histories(self, nodes: np.ndarray, readers: np.ndarray) -> np.ndarray:
        """Of prompts that tell a reader's history."""
        lengths = history_lengths(nodes, self.num_users, self.cutoff)
        if self.others is not None:
            self.others.part(lengths, nodes, readers, self.num_users, self.cutoff)
        return lengths


def build_distances(config: AttentionConfig, train: Ragged, num_items: int) -> TrainGraph | None:
    """Index the shortest paths between users and items; None where attention does without.

    Args:
        config: kind, the longest path that is followed, and whether readers' own edges count.
        train: each user's train items; no held-out row.
        num_items: I.
    """
    if config.kind != "graph":
        return None
    users = np.repeat(np.arange(len(train), dtype=np.int32), train.lengths)
    graph = BipartiteGraph.from_interactions(
        Interactions(users, train.values), len(train), num_items
    )
    others = None if config.include_own_edges else CoInteractions.of(train, num_items)
    return TrainGraph(graph, config.max_path, len(train), others)
