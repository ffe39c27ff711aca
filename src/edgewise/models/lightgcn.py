"""LightGCN: embeddings that flow along the edges of the graph (He et al., SIGIR 2020).

arXiv 2002.02126. Every user and item has an embedding of layer 0, the only weights there are. A
layer is what the neighbours hold, normalised by degrees (eq. 3; N_u are the items of user u):

    ``e_u^(l+1) = sum over i in N_u of e_i^(l) / (sqrt|N_u| sqrt|N_i|)``, and items alike

The final embedding is the mean of layers 0..L (eq. 4 with ``alpha_l = 1 / (L + 1)``), a score the
product of two of them (eq. 5). The loss is BPR with a penalty on layer 0 (eq. 15), for a batch of
B pairs with a sampled item j each:

    ``mean of -ln s(y_ui - y_uj) + lambda / 2B * (|e_u^0|^2 + |e_i^0|^2 + |e_j^0|^2)``

With ``loss = "sampled_softmax"``, beyond the paper, i competes with many items j that the batch
shares, which takes a fraction of the epochs.

A user's own row of all layers, added up, is ``e_u^0 / (L + 1)`` plus what the user's items carry,
``sum of e_i^(0..L-1) / (L + 1)``, times the weights of eq. 3. This is how users are represented
when asked: exactly as trained for those whose history has not grown, with the newer items for those
whose has, and without a layer 0 of their own for people who are not in the data.

Shapes: B pairs, M sampled items, U users, I items, ``N = U + I``, D embedding size, L layers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import nn

from edgewise.config import MethodConfig, section, setting
from edgewise.data.dataset import Interactions
from edgewise.data.ragged import Ragged
from edgewise.data.splits import Split
from edgewise.graph.bipartite import BipartiteGraph, inverse_sqrt
from edgewise.models.base import TensorBatch, TorchRecommender, UnseenItems
from edgewise.models.item_head import bpr, sampled_cross_entropy
from edgewise.models.layers import SparseAdjacency, light_gcn
from edgewise.training.config import TrainingConfig


class LightGCNConfig(MethodConfig):
    """Settings of LightGCN."""

    embedding_size: int = setting(64, "Numbers of an embedding.", ge=1)
    num_layers: int = setting(3, "Propagation steps.", symbol="K", ge=1)
    init_std: float = setting(0.1, "Standard deviation of layer 0 at the start.", gt=0)
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
        gt=0,
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


class LightGCNNetwork(nn.Module):
    """Layer 0, the loss, and in evaluation mode what users and items are represented by.

    Args:
        config: settings.
        num_users, num_items: U and I.
    """

    item_scale: torch.Tensor
    fixed: torch.Tensor
    carried: torch.Tensor
    final_items: torch.Tensor

    def __init__(self, config: LightGCNConfig, num_users: int, num_items: int) -> None:
        super().__init__()
        self.config, self.num_users = config, num_users
        size = config.embedding_size
        self.layer_0 = nn.Parameter(torch.randn(num_users + num_items, size) * config.init_std)
        self.adjacency: SparseAdjacency | None = None
        self.register_buffer("item_scale", torch.zeros(num_items))
        self.register_buffer("fixed", torch.tensor(False))
        for name in ("carried", "final_items"):
            self.register_buffer(name, torch.zeros(num_items, size))

    def read(self, graph: BipartiteGraph) -> None:
        """Propagate over this graph from now on."""
        self.adjacency = SparseAdjacency(graph.normalized_adjacency()).to(self.layer_0.device)
        self.item_scale.copy_(torch.from_numpy(inverse_sqrt(graph.item_degrees)))

    def final(self) -> torch.Tensor:
        """The mean of all layers, users first, ``[N, D]``."""
        assert self.adjacency is not None, "a loaded model knows no graph"
        return light_gcn(self.adjacency, self.layer_0, self.config.num_layers)

    def forward(self, batch: Pairs) -> torch.Tensor:
        """The mean loss of a batch."""
        config, final = self.config, self.final()
        users, items = final[batch.users], final[self.num_users :]
        own = self.layer_0[: self.num_users][batch.users], self.layer_0[self.num_users :]
        negatives = torch.as_tensor(batch.negatives, device=users.device)
        penalty = own[0].square().sum() + own[1][batch.items].square().sum()
        penalty = (penalty + own[1][negatives].square().sum()) / len(batch)
        if config.loss == "bpr":
            score = (users * items[batch.items]).sum(-1, keepdim=True)
            others = torch.einsum("bd,bmd->bm", users, items[negatives])
            return bpr(score, others) + config.l2 / 2 * penalty
        equal = torch.zeros(len(items), device=users.device)
        loss = sampled_cross_entropy(
            users / config.temperature, items, batch.items, negatives, equal
        )
        return loss + config.l2 / 2 * penalty

    @torch.no_grad()
    def train(self, mode: bool = True) -> LightGCNNetwork:
        """Evaluation propagates once, for all questions."""
        if not mode and self.adjacency is not None:
            num_layers = self.config.num_layers
            earlier = light_gcn(self.adjacency, self.layer_0, num_layers - 1)
            self.carried.copy_(earlier[self.num_users :] * (num_layers / (num_layers + 1)))
            self.final_items.copy_(self.final()[self.num_users :])
        return super().train(mode)


class LightGCN(TorchRecommender):
    """Ranks items by the product of propagated embeddings; see the module."""

    name, label = "lightgcn", "LightGCN"
    paper = "He et al., SIGIR 2020, arXiv 2002.02126"
    Config = LightGCNConfig
    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        # Seconds, for the demo and for tests.
        "tiny": {
            "embedding_size": 16,
            "training": {"epochs": 40, "batch_size": 64, "learning_rate": 1e-2},
        },
        # For data of Beauty's size on two cores.
        "cpu": {
            "loss": "sampled_softmax",
            "num_negatives": 1024,
            "l2": 1e-1,
            "training": {
                "epochs": 10,
                "batch_size": 4096,
                "patience": 5,
                "learning_rate": 1e-2,
                "schedule": "cosine",
                "precision": "fp32",
            },
        },
        "paper": {},
    }
    network: LightGCNNetwork

    def build(self, split: Split | None) -> LightGCNNetwork:
        self._told = self.data.histories
        network = LightGCNNetwork(self.config, len(self.data.users), len(self.data.items))
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
        taken = self.matrix(histories)
        num_items = taken @ (network.item_scale > 0).float().cpu().numpy()  # |N_u|
        carried = (network.item_scale[:, None] * network.carried).cpu().numpy()
        found = inverse_sqrt(num_items)[:, None] * (taken @ carried)
        found = torch.from_numpy(found).to(self.device)
        known = torch.from_numpy(users >= 0).to(self.device)
        own = network.layer_0[torch.from_numpy(users).to(self.device)[known]]
        found[known] += own / (self.config.num_layers + 1)
        return found

    def item_embeddings(self) -> torch.Tensor:
        return self.network.final_items
