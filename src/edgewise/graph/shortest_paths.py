"""Shortest-path lengths for just the pairs that are asked for, without an N x N matrix."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgewise.errors import ConfigError, DataError
from edgewise.graph.bipartite import BipartiteGraph
from edgewise.graph.hub_labels import HubLabels, build_labels, nearest_meetings

MAX_CUTOFF = 254  # cutoff + 1 fits into 8 bits


@dataclass(frozen=True, eq=False)
class DistanceIndex:
    """Exact lengths up to a cutoff, from hub labels: P of eq. 4 of the graph-attentive GPT-2.

    Nodes are numbered users first, then items, as in `BipartiteGraph`; a length is the number of
    edges on a shortest path, even between two users or two items, odd between a user and an item.

    Attributes:
        cutoff: the largest length told; ``cutoff + 1`` stands for more, and for no path at all.
        num_nodes: N.
        labels: what the lengths are computed from.
    """

    cutoff: int
    num_nodes: int
    labels: HubLabels

    @classmethod
    def build(cls, graph: BipartiteGraph, cutoff: int = 5) -> DistanceIndex:
        """Index a graph; hand it one of train rows only.

        Raises:
            ConfigError: the cutoff is outside 1 to 254.
            DataError: more than 16.7 million users and as many items have edges.
        """
        if not 1 <= cutoff <= MAX_CUTOFF:
            raise ConfigError(
                f"cutoff is {cutoff}: use a path length from 1 to {MAX_CUTOFF}; the paper's "
                "distances need no more than 5."
            )
        return cls(cutoff, graph.num_nodes, build_labels(graph, cutoff))

    def __repr__(self) -> str:
        return (
            f"DistanceIndex(nodes={self.num_nodes}, cutoff={self.cutoff}, "
            f"labels={len(self.labels.entries)})"
        )

    @property
    def nbytes(self) -> int:
        """Bytes that the index occupies."""
        return self.labels.starts.nbytes + self.labels.entries.nbytes

    def lengths(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """From each node of ``first`` to the one at the same place in ``second``.

        Where pairs share nodes, `among` is much faster.

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
            ``uint8[B, S, S]``; ``cutoff + 1`` wherever either is no node, on the diagonal too.

        Raises:
            DataError: the graph has no such node, or the array has other than two axes.
        """
        nodes = np.asarray(nodes)
        if nodes.ndim != 2:
            raise DataError(f"nodes have the shape {nodes.shape}: pass one row per prompt, [B, S].")
        self._check(nodes, smallest=-1)
        return self._within_rows(nodes.astype(np.int64, copy=False))

    def _within_rows(self, nodes: np.ndarray) -> np.ndarray:
        lengths = nearest_meetings(self.labels, nodes, self.cutoff)
        same = (nodes[:, :, None] == nodes[:, None, :]) & (nodes >= 0)[:, :, None]
        lengths[same] = 0
        return lengths

    def _check(self, nodes: np.ndarray, smallest: int) -> None:
        if nodes.size == 0:
            return
        if nodes.dtype.kind not in "iu":
            raise DataError(f"node numbers are {nodes.dtype}: pass whole numbers.")
        outside = nodes[(nodes < smallest) | (nodes >= self.num_nodes)]
        if outside.size:
            raise DataError(
                f"node {outside[0]} is outside the graph, whose {self.num_nodes} nodes are "
                f"numbered from 0, users first: item i is node num_users + i, of the graph that "
                "the index was built from."
            )
