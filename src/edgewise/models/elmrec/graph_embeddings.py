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
from typing import Self

import numpy as np
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
from edgewise.models.layers import TrainedPropagation


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
    """Features whose layer 0 is learned, propagated anew in every step (the release's variant)."""

    def __init__(self, propagation: TrainedPropagation) -> None:
        super().__init__()
        self.propagation = propagation

    def forward(self, node: torch.Tensor, fold: torch.Tensor) -> torch.Tensor:
        """As :meth:`GraphTable.forward`; there are no folds."""
        features = self.propagation()
        known = node < len(features)
        vectors = F.embedding(node.clamp(max=len(features) - 1), features)
        return vectors * known[..., None]


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
    """

    features: np.ndarray
    item_degrees: np.ndarray
    singular_values: np.ndarray
    scale: float
    config: GraphConfig
    layer_0: np.ndarray = field(default_factory=_nothing)
    rotation: np.ndarray = field(default_factory=_nothing)

    @property
    def num_users(self) -> int:
        """U."""
        return len(self.features) - len(self.item_degrees)

    def new_user(self, items: np.ndarray) -> np.ndarray:
        """The embedding of somebody not in training, from the items he has, ``float32[D]``."""
        distinct = np.unique(items)
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
        return GraphTable(torch.from_numpy(self.features)[None])

    def save(self, path: Path) -> None:
        """Write all but the settings as safetensors."""
        arrays = {
            "features": self.features,
            "item_degrees": self.item_degrees.astype(np.int64),
            "singular_values": self.singular_values,
            "scale": np.array([self.scale]),
            "layer_0": self.layer_0,
            "rotation": self.rotation,
        }
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, path)

    @classmethod
    def load(cls, path: Path, config: GraphConfig) -> Self:
        """Read what :meth:`save` wrote."""
        arrays = load_file(path)
        scale = float(arrays.pop("scale")[0])
        return cls(**arrays, scale=scale, config=config)


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
        """Features after training: what was frozen stays, a trained layer 0 has moved."""
        if not isinstance(self.lookup, TrainedGraphTable):
            return self.start
        with torch.no_grad():
            features = self.lookup.propagation().cpu().numpy()
            layer_0 = self.lookup.propagation.layer_0.cpu().numpy()
        return replace(self.start, features=features, layer_0=layer_0)


def build_graph(
    graph: BipartiteGraph,
    config: GraphConfig,
    width: int,
    seed: int,
    older: GraphFeatures | None = None,
) -> BuiltGraph:
    """Compute the configured features of the train graph, cross-fitted where that is asked for.

    Args:
        graph: of the train rows.
        config: which features.
        width: D.
        seed: of layer 0 and of the folds.
        older: features before the graph grew, which a network has learned to read. Old nodes keep
            their layer 0; spectral features are turned towards the old ones.

    Raises:
        ConfigError: the older features were saved without their layer 0.
    """
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
