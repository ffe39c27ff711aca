"""Graphs between items beside the user-item graph: what follows what, and what items share.

The paper's future work: each graph is propagated by itself, and what a node carries from all of
them is concatenated and projected. Items carry :data:`WIDTH` numbers of each graph, users the sum
of their items' as one more step of Eq. 5 makes it; every node's part is made equally long.

Shapes: U users, I items, N = U + I nodes, W :data:`WIDTH` or the model's width where that is less,
M columns of all graphs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import nn

from edgewise.data.ragged import Ragged
from edgewise.data.splits import Split
from edgewise.graph.bipartite import BipartiteGraph
from edgewise.graph.cross_fitting import cross_fit, rotation_onto
from edgewise.graph.propagation import initial_features, mean_of_layers, propagate_new_user
from edgewise.graph.randomized_svd import leading_singular_vectors
from edgewise.graph.transitions import item_transitions, transition_features
from edgewise.models.counting import powers
from edgewise.models.elmrec.config import GraphConfig, ItemGraphName
from edgewise.models.item_priors import attribute_rows

WIDTH = 64


@dataclass(frozen=True, eq=False)
class ItemGraphs:
    """What the graphs are made from.

    Attributes:
        names: of the graphs of which the data tell something.
        histories: of train rows.
        attributes: of items, rows of length 1, ``float32[I, A]``; None where nobody asked.
    """

    names: tuple[ItemGraphName, ...]
    histories: Ragged
    attributes: sp.csr_array | None

    @classmethod
    def of(cls, split: Split, histories: Ragged, config: GraphConfig) -> ItemGraphs | None:
        """Those that are asked for; None where there is none. The catalogue alone is read."""
        asked = "attributes" in config.item_graphs
        attributes = attribute_rows(split.dataset.catalog) if asked else None
        if attributes is not None and not attributes.nnz:
            attributes = None
        names = list[ItemGraphName](config.item_graphs)
        if asked and attributes is None:
            names.remove("attributes")
        return cls(tuple(names), histories, attributes) if names else None

    def features(
        self, graph: BipartiteGraph, config: GraphConfig, width: int, seed: int
    ) -> np.ndarray:
        """What nodes carry of all graphs, by the edges of a part of the train graph.

        Returns:
            ``float32[N, M]``.
        """
        part = self.histories
        keys = part.row_of_value * np.int64(graph.num_items) + part.values
        part = part.keep(np.isin(keys, graph.edge_keys))
        blocks = [
            _of_all_nodes(graph, self._items(name, part, graph, config, width, seed + number))
            for number, name in enumerate(self.names, start=1)
        ]
        return np.concatenate(blocks, 1)

    def _items(
        self,
        name: ItemGraphName,
        histories: Ragged,
        graph: BipartiteGraph,
        config: GraphConfig,
        width: int,
        seed: int,
    ) -> np.ndarray:
        """Items' vectors of one graph, ``float32[I, W]``: singular ones, or random and frozen."""
        num_items, size = graph.num_items, min(WIDTH, width)
        if config.features == "spectral":
            if name == "transitions":
                return transition_features(histories, num_items, size, seed)
            sides = self._attribute_sides()
            rank = min(size, *sides.shape)  # type: ignore[misc]
            left, values, _ = leading_singular_vectors(sides, rank, config.num_iterations, seed)
            return np.pad(left * values, [(0, 0), (0, size - rank)])
        # Later items are drawn after the earlier ones, who keep their start when data grow.
        start = initial_features(num_items, size, config.sigma, seed)
        return mean_of_layers(
            self._adjacency(name, histories, num_items),
            start,
            config.num_propagation_layers,
            config.variant,
        )

    def _adjacency(self, name: ItemGraphName, histories: Ragged, num_items: int) -> Any:
        """``D^-1/2 A D^-1/2``."""
        if name == "attributes":
            return _Product(self._attribute_sides())
        counted = item_transitions(histories, num_items)
        scale = sp.diags_array(powers(counted.sum(axis=1), -0.5))
        return sp.csr_array(scale @ counted @ scale)

    def _attribute_sides(self) -> sp.csr_array:
        """S with ``S S^T`` the normalised graph of shared attributes."""
        assert self.attributes is not None
        rows = self.attributes
        degrees = rows @ np.asarray(rows.sum(axis=0)).ravel()
        return sp.csr_array(sp.diags_array(powers(degrees, -0.5)) @ rows, dtype=np.float32)


def told_graphs(found: ItemGraphs | None, config: GraphConfig) -> str:
    """For the plan: which graphs stand beside the user-item graph, and which the data lack."""
    names = () if found is None else found.names
    lacking = [name for name in config.item_graphs if name not in names]
    told = f", with graphs of {' and '.join(names)}" if names else ""
    return told + (f"; not told by the data: {', '.join(lacking)}" if lacking else "")


@dataclass(frozen=True)
class _Product:
    """``S S^T``, never written out."""

    sides: sp.csr_array

    def __matmul__(self, features: np.ndarray) -> np.ndarray:
        return self.sides @ (self.sides.T @ features)


def _of_all_nodes(graph: BipartiteGraph, items: np.ndarray) -> np.ndarray:
    """Users' vectors before items', all of mean square 1, ``float32[N, W]``."""
    items = equally_long(items)
    users = graph.normalized_biadjacency() @ items
    return np.concatenate([equally_long(users), items]).astype(np.float32)


def equally_long(vectors: np.ndarray) -> np.ndarray:
    """Rows of mean square 1; zeros stay zeros."""
    length = np.sqrt(np.square(vectors).mean(axis=1, keepdims=True))
    return vectors / np.where(length > 0, length, 1)


def of_new_user(items: np.ndarray, degrees: np.ndarray, num_graphs: int) -> np.ndarray:
    """What somebody not in training carries, from the distinct items he has, ``float32[M]``.

    Args:
        items: what they carry, ``float32[n, M]``.
        degrees: distinct train users of each, ``int64[n]``.
        num_graphs: M / W.
    """
    found = propagate_new_user(items, degrees).reshape(num_graphs, -1)
    return equally_long(found).ravel().astype(np.float32)


@dataclass(frozen=True, eq=False)
class BuiltItemGraphs:
    """What nodes carry of item graphs, for training and for inference.

    Attributes:
        features: of the whole train graph, ``float32[N, M]``.
        table: that of every fold and last the whole graph's, ``float32[K + 1, N, M]``.
        num_graphs: M / W.
    """

    features: np.ndarray
    table: np.ndarray
    num_graphs: int


def build_item_graphs(
    graph: BipartiteGraph,
    graphs: ItemGraphs,
    config: GraphConfig,
    width: int,
    seed: int,
    old_rows: np.ndarray | None = None,
    older: np.ndarray | None = None,
) -> BuiltItemGraphs:
    """Vectors of every item graph, cross-fitted as those of the user-item graph are.

    Args:
        graph: of the train rows.
        graphs: what they are made from.
        config: of the features.
        width: D.
        seed: of the random start and of the folds.
        old_rows: nodes of ``graph`` that an older one had, in its order.
        older: what these carried, which a network has learned to read; singular vectors are turned
            towards it.
    """
    spectral, count = config.features == "spectral", len(graphs.names)

    def build(part: BipartiteGraph) -> np.ndarray:
        return graphs.features(part, config, width, seed)

    if config.folds:
        table = cross_fit(graph, config.folds, seed, build, align=False).table
    else:
        table = build(graph)[None]
    size = table.shape[2] // count
    for number in range(count) if spectral else ():
        block = slice(number * size, (number + 1) * size)
        if older is not None and older.shape[1] == table.shape[2]:
            turn = rotation_onto(table[-1][old_rows, block], older[:, block])
            table[-1, :, block] = table[-1, :, block] @ turn
        for fold in table[:-1]:
            fold[:, block] = fold[:, block] @ rotation_onto(fold[:, block], table[-1, :, block])
    return BuiltItemGraphs(table[-1], table, count)


class ProjectedTable(nn.Module):
    """Features of all graphs, concatenated and projected to the model's width by a learned matrix.

    At the start those of the user-item graph pass as they are, and the others count nothing.

    Args:
        lookup: module from (node, fold) to features of the user-item graph, width D.
        more: the same of the item graphs, width M.
        width: D.
        num_more: M.
        start: of the projection, ``float32[D + M, D]``; None for the start above.
    """

    def __init__(
        self,
        lookup: nn.Module,
        more: nn.Module,
        width: int,
        num_more: int,
        start: np.ndarray | None = None,
    ) -> None:
        super().__init__()
        self.lookup, self.more = lookup, more
        if start is None:
            start = np.eye(width + num_more, width, dtype=np.float32)
        self.projection = nn.Parameter(torch.from_numpy(np.array(start)))

    def forward(self, node: torch.Tensor, fold: torch.Tensor) -> torch.Tensor:
        """Features of nodes ``[B, S]`` in fold ``[B]``, ``[B, S, D]``."""
        both = torch.cat([self.lookup(node, fold), self.more(node, fold)], -1)
        return both @ self.projection
