"""What methods share whose embeddings flow along the edges of the graph, as LightGCN's do.

Every user and item has an embedding of layer 0, the only weights there are. A layer is what the
neighbours hold, normalised by degrees (LightGCN, eq. 3; N_u are the items of user u):

    ``e_u^(l+1) = sum over i in N_u of e_i^(l) / (sqrt|N_u| sqrt|N_i|)``, and items alike

The final embedding is the mean of layers, from :attr:`GraphNetwork.first_layer` to L, and a score
the product of two of them. The loss is BPR, or cross-entropy among sampled items that the batch
shares, with a penalty on layer 0 (LightGCN, eq. 15).

A user's own row of the layers, added up, is the user's layer 0, where that is one of them, plus
what the user's items carry one layer before, times the weights of eq. 3. This is how users are
represented when asked: exactly as trained for those whose history has not grown, with the newer
items for those whose has, and without a layer 0 of their own for people who are not in the data.

Shapes: B pairs, M sampled items, U users, I items, ``N = U + I``, D embedding size, L layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from edgewise.config import MethodConfig, section, setting
from edgewise.data.dataset import Interactions
from edgewise.data.ragged import Ragged
from edgewise.data.splits import Split
from edgewise.graph.bipartite import BipartiteGraph, inverse_sqrt
from edgewise.models.base import TensorBatch, TorchRecommender, UnseenItems
from edgewise.models.item_head import bpr, item_cross_entropy, sampled_cross_entropy
from edgewise.models.layers import SparseAdjacency, light_gcn
from edgewise.training.config import TrainingConfig


class GraphTrainingConfig(MethodConfig):
    """Settings that all of them have."""

    embedding_size: int = setting(64, "Numbers of an embedding.", ge=1, le=4096)
    num_layers: int = setting(3, "Propagation steps.", symbol="K", ge=1, le=100)
    init_std: float = setting(0.1, "Standard deviation of layer 0 at the start.", gt=0, le=100)
    l2: float = setting(1e-4, "The penalty on the batch's layer 0.", symbol="lambda, eq. 15", ge=0)
    loss: Literal["bpr", "sampled_softmax"] = setting(
        "bpr", "bpr, as published, or sampled_softmax: cross-entropy among shared sampled items."
    )
    num_negatives: int = setting(
        1, "Sampled items: of every pair (bpr), or of a batch (sampled_softmax).", ge=1
    )
    temperature: float = setting(
        1.0,
        "Scores are divided by it in sampled_softmax: below 1, hard negatives count more.",
        ge=1e-4,
        le=1e4,
    )
    hide_targets: bool = setting(
        False,
        "Whether the edges of a batch's own pairs are left out while it is learned from, so that "
        "no pair is found by its own edge. Beyond the papers.",
    )
    training: TrainingConfig = section(
        TrainingConfig,
        epochs=1000,
        batch_size=2048,
        patience=50,
        validation_metric="NDCG@10",
        weight_decay=0.0,
        max_grad_norm=0.0,
    )


@dataclass(frozen=True)
class Pairs(TensorBatch):
    """Users and their items, ``int64[B]``; ``negatives`` are ``[B, M]`` for bpr, else ``[M]``."""

    users: torch.Tensor
    items: torch.Tensor
    negatives: Any


class GraphNetwork(nn.Module):
    """Layer 0, the loss, and in evaluation mode what users and items are represented by.

    Args:
        config: settings.
        num_users, num_items: U and I.
    """

    first_layer: ClassVar[Literal[0, 1]] = 0
    """The first of the layers whose mean is the final embedding."""

    item_scale: torch.Tensor
    fixed: torch.Tensor
    carried: torch.Tensor
    final_items: torch.Tensor
    edge_keys: torch.Tensor
    mirrored: torch.Tensor

    def __init__(self, config: Any, num_users: int, num_items: int) -> None:
        super().__init__()
        self.config, self.num_users = config, num_users
        size = config.embedding_size
        self.layer_0 = nn.Parameter(
            torch.empty(num_users + num_items, size).normal_(std=config.init_std)
        )
        self.adjacency: SparseAdjacency | None = None
        self.register_buffer("item_scale", torch.zeros(num_items))
        self.register_buffer("fixed", torch.tensor(False))
        for name in ("carried", "final_items"):
            self.register_buffer(name, torch.zeros(num_items, size))
        for name in ("edge_keys", "mirrored"):
            self.register_buffer(name, torch.zeros(0, dtype=torch.int64), persistent=False)

    def read(self, graph: BipartiteGraph) -> None:
        """Propagate over this graph from now on."""
        self.adjacency = SparseAdjacency(graph.normalized_adjacency()).to(self.layer_0.device)
        self.item_scale.copy_(torch.from_numpy(inverse_sqrt(graph.item_degrees)))
        # Rows of users hold the edges in the order of their keys, rows of items in another one.
        mirrored = np.empty(graph.num_edges, dtype=np.int64)
        mirrored[np.lexsort((graph.users, graph.items))] = np.arange(graph.num_edges)
        device = self.layer_0.device
        self.edge_keys = torch.from_numpy(graph.edge_keys).to(device)
        self.mirrored = torch.from_numpy(mirrored + graph.num_edges).to(device)

    @property
    def own_share(self) -> float:
        """What a user's layer 0 counts in the user's final embedding."""
        return 0.0 if self.first_layer else 1 / (self.config.num_layers + 1)

    def graph_for(self, batch: Pairs | None) -> SparseAdjacency:
        """What is propagated over, for a batch or for questions."""
        assert self.adjacency is not None, "a loaded model knows no graph"
        if batch is None or not self.config.hide_targets:
            return self.adjacency
        pairs = batch.of_all
        keys = pairs.users * len(self.item_scale) + pairs.items
        keys = keys.to(self.edge_keys.device)
        place = torch.searchsorted(self.edge_keys, keys).clamp(max=len(self.edge_keys) - 1)
        place = place[self.edge_keys[place] == keys]
        return self.adjacency.without(torch.cat([place, self.mirrored[place]]))

    def layers(self, batch: Pairs | None = None) -> list[torch.Tensor]:
        """Layers 0..L, users first, each ``[N, D]``."""
        adjacency = self.graph_for(batch)
        layers: list[torch.Tensor] = [self.layer_0]
        for _ in range(self.config.num_layers):
            layers.append(self.step(adjacency, layers[-1]))
        return layers

    def step(self, adjacency: SparseAdjacency, layer: torch.Tensor) -> torch.Tensor:
        """The next layer, ``[N, D]``."""
        return adjacency(layer)

    def mean_of(self, layers: list[torch.Tensor]) -> torch.Tensor:
        """The final embeddings, of layers 0..L, ``[N, D]``."""
        return mean(layers[self.first_layer :])

    def forward(self, batch: Pairs) -> torch.Tensor:
        """The mean loss of a batch."""
        adjacency, num_layers = self.graph_for(batch), self.config.num_layers
        return self.ranking_loss(light_gcn(adjacency, self.layer_0, num_layers), batch)

    def ranking_loss(self, final: torch.Tensor, batch: Pairs) -> torch.Tensor:
        """How far each pair is from the top, and the penalty.

        Args:
            final: embeddings, users first, ``[N, D]``.
            batch: pairs and sampled items.
        """
        config = self.config
        negatives = torch.as_tensor(batch.negatives, device=final.device) + self.num_users
        items, users = self.num_users + batch.items, final[batch.users]
        own = [batch.users, items, *([negatives.flatten()] if negatives.dim() > 1 else [])]
        penalty = self.layer_0[torch.cat(own)].square().sum() / len(batch)
        if negatives.dim() == 1:  # those of the whole batch
            penalty = penalty + self.layer_0[negatives].square().sum() / len(batch.of_all)
        penalty = config.l2 / 2 * penalty
        if config.loss == "bpr":
            score = (users * final[items]).sum(-1, keepdim=True)
            others = torch.einsum("bd,bmd->bm", users, final[negatives])
            return bpr(score, others) + penalty
        users = users / config.temperature
        equal = torch.zeros(len(final), device=final.device)
        return sampled_cross_entropy(users, final, items, negatives, equal) + penalty

    @torch.no_grad()
    def train(self, mode: bool = True) -> Self:
        """Evaluation propagates once, for all questions."""
        super().train(mode)
        if not mode and self.adjacency is not None:
            layers, num_layers = self.layers(), self.config.num_layers
            share = num_layers / (num_layers + 1 - self.first_layer)
            self.carried.copy_(mean(layers[:-1])[self.num_users :] * share)
            self.final_items.copy_(self.mean_of(layers)[self.num_users :])
        return self


class GraphRecommender(TorchRecommender):
    """Ranks items by the product of propagated embeddings; a method says what its loss is.

    Attributes:
        Network: the class of its network.
    """

    Network: ClassVar[type[GraphNetwork]] = GraphNetwork
    network: GraphNetwork

    def build(self, split: Split | None) -> GraphNetwork:
        self._told = self.data.histories
        network = self.Network(self.config, len(self.data.users), len(self.data.items))
        if split is not None:
            network.read(self._graph(split.graph_edges()))
            network.fixed.fill_(split.edges is not None)
        return network

    def _graph(self, edges: Interactions) -> BipartiteGraph:
        return BipartiteGraph.from_interactions(edges, len(self.data.users), len(self.data.items))

    def prepare(self, histories: Ragged) -> None:
        """Propagate over what all users have by now; no weight is learned anew.

        A graph that a leaking protocol has filled with other edges stays as it is.
        """
        if histories is not self._told and not self.network.fixed:
            rows = histories.row_of_value.astype(np.int32)
            self.network.read(self._graph(Interactions(rows, histories.values)))
            self.network.eval()
            self._told = histories

    def examples(self, split: Split) -> int:
        self._unseen = UnseenItems(self.data.histories, len(self.data.items))
        return len(self.data.histories.values)

    def training_batch(self, rows: np.ndarray, rng: np.random.Generator) -> Pairs:
        users, count = self.data.histories.row_of_value[rows], self.config.num_negatives
        items = torch.from_numpy(self.data.histories.values[rows].astype(np.int64))
        negatives: Any = rng.integers(len(self.data.items), size=count)
        if self.config.loss == "bpr":
            negatives = torch.from_numpy(self._unseen.draw(users, rng, count))
        return Pairs(torch.from_numpy(users), items, negatives)

    def encode(self, users: np.ndarray, histories: Ragged) -> torch.Tensor:
        network = self.network
        taken, scale = self.matrix(histories), network.item_scale.cpu().numpy()
        num_items = taken @ (scale > 0).astype(np.float32)  # |N_u|
        taken.data *= scale[taken.indices]
        found = inverse_sqrt(num_items)[:, None] * (taken @ network.carried.cpu().numpy())
        found = torch.from_numpy(found).to(self.device)
        if network.own_share:
            known = torch.from_numpy(users >= 0).to(self.device)
            own = network.layer_0[torch.from_numpy(users).to(self.device)[known]]
            found[known] += own * network.own_share
        return found

    def item_vectors(self) -> torch.Tensor:
        return self.network.final_items


def mean(layers: list[torch.Tensor]) -> torch.Tensor:
    """The mean of some layers, added up in order."""
    total = layers[0]
    for layer in layers[1:]:
        total = total + layer
    return total / len(layers)


def info_nce(
    views: torch.Tensor,
    others: torch.Tensor,
    targets: torch.Tensor,
    temperature: float,
    sampled: torch.Tensor | None = None,
) -> torch.Tensor:
    """InfoNCE by cosine: each view finds its target among others (van den Oord et al. 2018).

    The mean of ``-log exp(cos(v, o_target) / temperature) / sum over o of exp(cos(v, o) / ...)``.

    Args:
        views: ``float[B, D]``.
        others: what targets are numbers of, ``float[N, D]``.
        targets: ``int64[B]``.
        temperature: what cosines are divided by.
        sampled: the others that a target competes with, ``int64[M]``; None = all.
    """
    views = F.normalize(views, dim=-1) / temperature
    if sampled is None:
        return item_cross_entropy(views, F.normalize(others, dim=-1), targets)
    needed, place = torch.cat([targets, sampled]).unique(return_inverse=True)
    place, rivals = place[: len(targets)], place[len(targets) :]
    equal = torch.zeros(len(needed), device=views.device)
    others = F.normalize(others[needed], dim=-1)
    return sampled_cross_entropy(views, others, place, rivals, equal)
