"""Where the whole-word embeddings of Eq. 8 come from: features of the train graph's nodes.

Random features (ELMRec, Eqs. 4-7) or, beyond the paper, spectral ones; frozen or trained; of the
whole train graph or, cross-fitted, without each example's own edge. How they enter the language
model stands in :mod:`edgewise.models.elmrec.model`.

Shapes: U users, I items, N = U + I nodes (users first), K folds, B examples, S tokens, D hidden
size.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
import torch
from safetensors.numpy import load_file, save_file
from torch import nn
from torch.nn import functional as F

from edgewise.config import check
from edgewise.graph.bipartite import BipartiteGraph
from edgewise.graph.cross_fitting import CrossFitted, cross_fit, rotation_onto
from edgewise.graph.products import FactoredAdjacency
from edgewise.graph.propagation import (
    check_propagation,
    initial_features,
    mean_of_layers,
    new_user_features,
)
from edgewise.graph.spectral import SpectralFeatures, spectral_features
from edgewise.models.elmrec.config import GraphConfig
from edgewise.models.elmrec.item_graphs import (
    BuiltItemGraphs,
    ItemGraphs,
    ProjectedTable,
    build_item_graphs,
    of_new_user,
)
from edgewise.models.layers import SparseAdjacency, TrainedPropagation, sums_of_rows

_COLUMNS_AT_ONCE = 128


class GraphTable(nn.Module):
    """Frozen features, looked up by node and fold.

    Args:
        table: ``float32[K + 1, N, D]``, the folds' features and last the whole train graph's.
    """

    table: torch.Tensor

    def __init__(self, table: torch.Tensor) -> None:
        super().__init__()
        num_tables, _, width = table.shape
        nobody = torch.zeros(num_tables, 1, width)
        self.register_buffer("table", torch.cat([table, nobody], dim=1), persistent=False)

    def forward(self, node: torch.Tensor, fold: torch.Tensor) -> torch.Tensor:
        """Features of nodes ``[B, S]`` (node N is somebody unknown, all zero) in fold ``[B]``."""
        num_tables, num_rows, width = self.table.shape
        rows = (fold % num_tables)[:, None] * num_rows + node
        return F.embedding(rows, self.table.view(-1, width))


class TrainedGraphTable(nn.Module):
    """Features whose layer 0 is learned, propagated anew in every step (the release's variant).

    On a processor that is done for the nodes of a batch alone, see :class:`_MeanAtNodes`.
    """

    def __init__(self, propagation: TrainedPropagation) -> None:
        super().__init__()
        self.propagation = propagation

    def forward(self, node: torch.Tensor, fold: torch.Tensor) -> torch.Tensor:
        """As :meth:`GraphTable.forward`; there are no folds."""
        known = node < self.propagation.adjacency.num_nodes
        if node.device.type != "cpu":
            features = self.propagation()
            return F.embedding(node.clamp(max=len(features) - 1), features) * known[..., None]
        nodes, place = node.masked_fill(~known, 0).unique(return_inverse=True)
        with torch.autocast("cpu", enabled=False):
            found = _MeanAtNodes.apply(self.propagation.layer_0, self.propagation, nodes)
        assert isinstance(found, torch.Tensor)
        return F.embedding(place, found) * known[..., None]


class _MeanAtNodes(torch.autograd.Function):
    """The mean of layers (eqs. 7 and 15) at some nodes, from the neighbourhoods that they see.

    By Horner's rule ``E_0 + S (E_0 + S (E_0 + ...))``, where the outermost step is taken at the
    nodes asked for, the next one at their neighbours, and so on: users see items alone after one
    step, users alone after two, so that a step passes over half of the edges or fewer. The gradient
    goes the same way back.
    """

    @staticmethod
    def forward(
        ctx: Any, layer_0: torch.Tensor, propagation: TrainedPropagation, nodes: torch.Tensor
    ) -> torch.Tensor:
        shifted = propagation.variant == "shifted"
        steps: list[_Step] = []
        for _ in range(propagation.num_layers + shifted):
            steps.append(_Step.at(steps[-1].seen if steps else nodes, propagation.adjacency))
        found = layer_0.new_empty(len(nodes), layer_0.shape[1])
        for own, start in zip(_parts(found), _parts(layer_0), strict=True):
            part = start.index_select(0, steps[-1].seen if steps else nodes)
            for number, step in reversed(list(enumerate(steps))):
                part = sums_of_rows(step.matrix, part)
                if not (shifted and number == 0):
                    part += start.index_select(0, step.nodes)
            own.copy_(part)
        ctx.steps, ctx.shape, ctx.shifted = steps, layer_0.shape, shifted
        ctx.nodes, ctx.share = nodes, 1 / (propagation.num_layers + 1)
        return found.mul_(ctx.share)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        total = grads[0].new_zeros(ctx.shape)
        back = [(step.seen, sp.csr_array(step.matrix.T)) for step in ctx.steps]
        for own, grad in zip(_parts(total), _parts(grads[0]), strict=True):
            part = (grad * ctx.share).contiguous()
            if not ctx.shifted:
                own.index_add_(0, ctx.nodes, part)
            for seen, matrix in back:
                part = sums_of_rows(matrix, part)
                own.index_add_(0, seen, part)
        return total, None, None


def _parts(features: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Columns ``[N, D]`` in parts: what a step makes of one stays in a processor's cache."""
    return features.split(_COLUMNS_AT_ONCE, dim=1)


@dataclass(frozen=True)
class _Step:
    """One step of propagation at some nodes.

    Attributes:
        nodes: where it arrives, ``int64[n]``.
        seen: their neighbours, ``int64[m]``.
        matrix: what arrives from each of them, ``float32[n, m]``.
    """

    nodes: torch.Tensor
    seen: torch.Tensor
    matrix: sp.csr_array

    @classmethod
    def at(cls, nodes: torch.Tensor, adjacency: SparseAdjacency) -> _Step:
        whole = sp.csr_array(
            tuple(a.numpy() for a in (adjacency.values, adjacency.columns, adjacency.crow)),
            shape=(adjacency.num_nodes, adjacency.num_nodes),
        )
        rows = whole[nodes.numpy()]
        seen, columns = np.unique(rows.indices, return_inverse=True)
        matrix = sp.csr_array((rows.data, columns, rows.indptr), shape=(len(nodes), len(seen)))
        return cls(nodes, torch.from_numpy(seen.astype(np.int64)), matrix)


def _nothing() -> np.ndarray:
    return np.empty((0, 0), np.float32)


@dataclass(frozen=True, eq=False)
class GraphFeatures:
    """Features of the whole train graph, and what places a new user among them.

    Attributes:
        features: ``float32[N, D]``.
        item_degrees: distinct users of each item, ``int64[I]``.
        singular_values: ``float32[D]`` of spectral features, else empty.
        scale: of spectral features, else 1.
        config: how they were made.
        layer_0: what was propagated, ``float32[N, D]``; empty where that is the features, and of
            spectral ones.
        rotation: by which spectral features of grown data were turned towards those before,
            ``float32[D, D]``; empty = not at all.
        more: of item graphs, ``float32[N, M]``; empty without them.
        projection: of ``features`` and ``more`` together, ``float32[D + M, D]``; empty without.
        num_graphs: item graphs.
    """

    features: np.ndarray
    item_degrees: np.ndarray
    singular_values: np.ndarray
    scale: float
    config: GraphConfig
    layer_0: np.ndarray = field(default_factory=_nothing)
    rotation: np.ndarray = field(default_factory=_nothing)
    more: np.ndarray = field(default_factory=_nothing)
    projection: np.ndarray = field(default_factory=_nothing)
    num_graphs: int = 0

    @cached_property
    def vectors(self) -> np.ndarray:
        """Whole-word embeddings of all nodes, those of item graphs projected in, ``[N, D]``."""
        if not self.more.size:
            return self.features
        return np.concatenate([self.features, self.more], 1) @ self.projection

    @property
    def num_users(self) -> int:
        """U."""
        return len(self.features) - len(self.item_degrees)

    def new_user(self, items: np.ndarray) -> np.ndarray:
        """The embedding of somebody not in training, from the items he has, ``float32[D]``."""
        distinct = np.unique(items)
        found = self._of_user_items(distinct)
        if not self.more.size:
            return found
        place, degrees = self.num_users + distinct, self.item_degrees[distinct]
        more = of_new_user(self.more[place], degrees, self.num_graphs)
        return np.concatenate([found, more]) @ self.projection

    def _of_user_items(self, distinct: np.ndarray) -> np.ndarray:
        """By the user-item graph alone."""
        if self.config.features == "spectral":
            found = self._unturned.new_user(distinct, self.item_degrees)
            return found @ self.rotation if self.rotation.size else found
        item_features = self.features[self.num_users + distinct]
        return new_user_features(item_features, self.item_degrees[distinct])

    @cached_property
    def _unturned(self) -> SpectralFeatures:
        """Spectral features along their own axes."""
        features = self.features @ self.rotation.T if self.rotation.size else self.features
        return SpectralFeatures(
            features, self.singular_values, self.num_users, self.config.power, self.scale
        )

    def of_old_nodes(self, values: np.ndarray, older: GraphFeatures) -> np.ndarray:
        """The rows of a table of all nodes that users and items of older features have."""
        users, items = older.num_users, len(older.item_degrees)
        return values[np.r_[:users, self.num_users : self.num_users + items]]

    def turned_towards(self, older: GraphFeatures) -> GraphFeatures:
        """Spectral features, turned so that old nodes lie as near to their old ones as they can."""
        rank = self.config.rank or self.features.shape[1]
        old = self.of_old_nodes(self.features, older)
        rotation = np.eye(self.features.shape[1], dtype=np.float32)
        rotation[:rank, :rank] = rotation_onto(old[:, :rank], older.features[:, :rank])
        return replace(self, features=self.features @ rotation, rotation=rotation)

    def lookup(self) -> GraphTable:
        """Their table, without folds."""
        return GraphTable(torch.from_numpy(self.vectors)[None])

    def save(self, path: Path) -> None:
        """Write all but the settings as safetensors."""
        arrays = {
            "features": self.features,
            "item_degrees": self.item_degrees.astype(np.int64),
            "singular_values": self.singular_values,
            "scale": np.array([self.scale]),
            "layer_0": self.layer_0,
            "rotation": self.rotation,
            "more": self.more,
            "projection": self.projection,
            "num_graphs": np.array([self.num_graphs]),
        }
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, path)

    @classmethod
    def load(cls, path: Path, config: GraphConfig) -> Self:
        """Read what :meth:`save` wrote."""
        arrays = load_file(path)
        scale = float(arrays.pop("scale")[0])
        graphs = int(arrays.pop("num_graphs", np.zeros(1))[0])
        return cls(**arrays, scale=scale, config=config, num_graphs=graphs)


@dataclass(frozen=True, eq=False)
class BuiltGraph:
    """Features for training and for inference.

    Attributes:
        start: features of the whole train graph at the start of training.
        lookup: module from (node, fold) to features, which the network trains with.
        folds: of the edges, where the features are cross-fitted.
    """

    start: GraphFeatures
    lookup: nn.Module
    folds: CrossFitted | None

    def learned(self) -> GraphFeatures:
        """Features after training: what was frozen stays, what was trained has moved."""
        start, lookup = self.start, self.lookup
        if isinstance(lookup, ProjectedTable):
            start = replace(start, projection=lookup.projection.detach().cpu().numpy())
            lookup = lookup.lookup
        if not isinstance(lookup, TrainedGraphTable):
            return start
        with torch.no_grad():
            features = lookup.propagation().cpu().numpy()
            layer_0 = lookup.propagation.layer_0.cpu().numpy()
        return replace(start, features=features, layer_0=layer_0)

    def with_item_graphs(self, built: BuiltItemGraphs, projection: np.ndarray) -> BuiltGraph:
        """The same with item graphs beside.

        Args:
            built: what nodes carry of them.
            projection: before training, ``float32[D + M, D]``; empty for the usual start.
        """
        width, num_more = self.start.features.shape[1], built.features.shape[1]
        fits = projection.shape == (width + num_more, width)
        table = GraphTable(torch.from_numpy(built.table))
        lookup = ProjectedTable(self.lookup, table, width, num_more, projection if fits else None)
        kept = lookup.projection.detach().numpy().copy()
        more = {"more": built.features, "projection": kept, "num_graphs": built.num_graphs}
        return replace(self, start=replace(self.start, **more), lookup=lookup)


def build_graph(
    graph: BipartiteGraph,
    config: GraphConfig,
    width: int,
    seed: int,
    older: GraphFeatures | None = None,
    item_graphs: ItemGraphs | None = None,
) -> BuiltGraph:
    """Compute the configured features of the train graph, cross-fitted where that is asked for.

    Args:
        graph: of the train rows.
        config: which features.
        width: D.
        seed: of layer 0 and of the folds.
        older: features before the graph grew, which a network has learned to read. Old nodes keep
            their layer 0; spectral features are turned towards the old ones.
        item_graphs: that stand beside it; None for the user-item graph alone.

    Raises:
        ConfigError: the older features were saved without their layer 0.
    """
    built = _user_item_graph(graph, config, width, seed, older)
    if item_graphs is None:
        return built
    known = older is not None and bool(older.more.size)
    rows = built.start.of_old_nodes(np.arange(graph.num_nodes), older) if known and older else None
    before = older.more if known and older else None
    more = build_item_graphs(graph, item_graphs, config, width, seed, rows, before)
    return built.with_item_graphs(more, _nothing() if older is None else older.projection)


def _user_item_graph(
    graph: BipartiteGraph,
    config: GraphConfig,
    width: int,
    seed: int,
    older: GraphFeatures | None,
) -> BuiltGraph:
    spectral = config.features == "spectral"
    layer_0 = None if spectral else _layer_0(graph, config, width, seed, older)

    def build(part: BipartiteGraph, config: GraphConfig, width: int, seed: int) -> GraphFeatures:
        if layer_0 is None:
            return _spectral(part, config, width, seed)
        return _random(part, config, layer_0)

    start = build(graph, config, width, seed)
    if spectral and older is not None:
        start = start.turned_towards(older)
    if config.features == "trained":
        propagation = TrainedPropagation(
            graph, width, config.num_propagation_layers, config.sigma, seed, config.variant
        )
        assert layer_0 is not None
        propagation.layer_0.data.copy_(torch.from_numpy(layer_0))
        return BuiltGraph(start, TrainedGraphTable(propagation), None)
    if not config.folds:
        return BuiltGraph(start, start.lookup(), None)
    folds = cross_fit(
        graph,
        config.folds,
        seed,
        lambda part: build(part, config, width, seed).features,
        align=spectral,
    )
    if start.rotation.size:
        folds = replace(folds, table=folds.table @ start.rotation)
    return BuiltGraph(start, GraphTable(torch.from_numpy(folds.table)), folds)


def _layer_0(
    graph: BipartiteGraph,
    config: GraphConfig,
    width: int,
    seed: int,
    older: GraphFeatures | None,
) -> np.ndarray:
    """The random start of all nodes, ``float32[N, D]``; old nodes have the one they had."""
    check_propagation(width, config.num_propagation_layers, config.variant)
    if older is None:
        return initial_features(graph.num_nodes, width, config.sigma, seed)
    known = older.layer_0
    if not known.size:
        kept = config.features == "random" and not config.num_propagation_layers
        check(
            kept and config.variant == "mean",
            "the model that is started from was saved by an earlier version, without layer 0 of "
            "its graph features: fit anew, without --from (start_from)",
        )
        known = older.features
    # By the old draw's seed new users would start as old items did.
    rng = np.random.default_rng((seed, len(known)))
    found = rng.standard_normal((graph.num_nodes, width), np.float32) * np.float32(config.sigma)
    users, items = older.num_users, len(older.item_degrees)
    found[np.r_[:users, graph.num_users : graph.num_users + items]] = known
    return found


def _random(graph: BipartiteGraph, config: GraphConfig, layer_0: np.ndarray) -> GraphFeatures:
    layers, variant = config.num_propagation_layers, config.variant
    features = mean_of_layers(FactoredAdjacency.of(graph), layer_0, layers, variant)
    as_features = config.features == "random" and not layers and variant == "mean"
    kept = _nothing() if as_features else layer_0
    no_values = np.empty(0, np.float32)
    return GraphFeatures(features, graph.item_degrees, no_values, 1.0, config, kept)


def _spectral(graph: BipartiteGraph, config: GraphConfig, width: int, seed: int) -> GraphFeatures:
    rank = config.rank or width
    found = spectral_features(graph, rank, config.num_iterations, seed, config.power)
    features, values = found.features, found.singular_values
    if rank < width:
        # Vectors stay as long as a full-width model's, whose entries have a mean square of 1.
        longer = np.float32((width / rank) ** 0.5)
        features = np.pad(features * longer, [(0, 0), (0, width - rank)])
        values = np.pad(values, (0, width - rank))
    return GraphFeatures(features, graph.item_degrees, values, found.scale, config)
