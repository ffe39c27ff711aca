"""What ELMRec keeps of the train graph: features of its nodes, and how to place a new user."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from edgewise.graph.bipartite import BipartiteGraph
from edgewise.graph.cross_fitting import CrossFitted, cross_fit
from edgewise.graph.propagation import new_user_features, random_features
from edgewise.graph.spectral import SpectralFeatures, spectral_features
from edgewise.models.elmrec.config import GraphConfig
from edgewise.models.elmrec.model import GraphTable
from edgewise.models.layers import TrainedPropagation


class TrainedGraphTable(nn.Module):
    """Looks up features that are propagated anew in every step (the release's variant)."""

    def __init__(self, propagation: TrainedPropagation) -> None:
        super().__init__()
        self.propagation = propagation

    def forward(self, node: torch.Tensor, fold: torch.Tensor) -> torch.Tensor:
        features = self.propagation()
        known = node < len(features)
        vectors = F.embedding(node.clamp(max=len(features) - 1), features)
        return vectors * known[..., None]


@dataclass(frozen=True, eq=False)
class GraphFeatures:
    """Features of the whole train graph.

    Attributes:
        features: ``float32[N, D]``, users first.
        item_degrees: distinct users of each item, ``int64[I]``.
        singular_values: ``float32[D]`` of spectral features, else empty.
        scale: of spectral features.
    """

    features: np.ndarray
    item_degrees: np.ndarray
    singular_values: np.ndarray
    scale: float
    config: GraphConfig

    @property
    def num_users(self) -> int:
        return len(self.features) - len(self.item_degrees)

    def new_user(self, items: np.ndarray) -> np.ndarray:
        """The vector of somebody not in training, from the items he has, ``float32[D]``."""
        distinct = np.unique(items)
        if self.config.features == "spectral":
            spectral = SpectralFeatures(
                self.features, self.singular_values, self.num_users, self.config.power, self.scale
            )
            return spectral.new_user(distinct, self.item_degrees)
        item_features = self.features[self.num_users + distinct]
        return new_user_features(item_features, self.item_degrees[distinct])


@dataclass(frozen=True, eq=False)
class BuiltGraph:
    """Features for training and for inference.

    Attributes:
        knowledge: features at the start of training.
        lookup: module from (node, fold) to vectors, which the network trains with.
        folds: of the edges, where the features are cross-fitted.
    """

    knowledge: GraphFeatures
    lookup: nn.Module
    folds: CrossFitted | None

    def learned(self) -> GraphFeatures:
        """The knowledge after training: what was frozen stays, a trained layer 0 has moved."""
        if not isinstance(self.lookup, TrainedGraphTable):
            return self.knowledge
        with torch.no_grad():
            features = self.lookup.propagation().cpu().numpy()
        return replace(self.knowledge, features=features)


def build_graph(graph: BipartiteGraph, config: GraphConfig, width: int, seed: int) -> BuiltGraph:
    """Compute the configured features of the train graph, cross-fitted where that is asked for."""
    if config.features == "spectral":
        whole = _spectral(graph, config, width, seed)
        features, values, scale = whole.features, whole.singular_values, whole.scale
    else:
        features, values, scale = _random(graph, config, width, seed), np.empty(0, np.float32), 1.0
    knowledge = GraphFeatures(features, graph.item_degrees, values, scale, config)
    if config.features == "trained":
        return BuiltGraph(knowledge, _trained(graph, config, width, seed), None)
    if not config.folds:
        return BuiltGraph(knowledge, GraphTable(torch.from_numpy(features)[None]), None)
    build = _spectral_features if config.features == "spectral" else _random
    folds = cross_fit(
        graph,
        config.folds,
        seed,
        lambda part: build(part, config, width, seed),
        align=config.features == "spectral",
    )
    return BuiltGraph(knowledge, GraphTable(torch.from_numpy(folds.table)), folds)


def _spectral(
    graph: BipartiteGraph, config: GraphConfig, width: int, seed: int
) -> SpectralFeatures:
    rank = config.rank or width
    found = spectral_features(graph, rank, config.num_iterations, seed, config.power)
    if rank >= width:
        return found
    # Vectors stay as long as those of a full-width model, whose entries have a mean square of 1.
    features = np.pad(
        found.features * np.float32((width / rank) ** 0.5), [(0, 0), (0, width - rank)]
    )
    values = np.pad(found.singular_values, (0, width - rank))
    return replace(found, features=features, singular_values=values)


def _spectral_features(
    graph: BipartiteGraph, config: GraphConfig, width: int, seed: int
) -> np.ndarray:
    return _spectral(graph, config, width, seed).features


def _random(graph: BipartiteGraph, config: GraphConfig, width: int, seed: int) -> np.ndarray:
    return random_features(
        graph, width, config.num_propagation_layers, config.sigma, seed, config.variant
    )


def _trained(
    graph: BipartiteGraph, config: GraphConfig, width: int, seed: int
) -> TrainedGraphTable:
    propagation = TrainedPropagation(
        graph, width, config.num_propagation_layers, config.sigma, seed, config.variant
    )
    return TrainedGraphTable(propagation)
