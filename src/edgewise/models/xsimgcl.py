"""XSimGCL: LightGCN whose layers carry noise and are contrasted (Yu et al., TKDE 2023).

arXiv 2209.02544. In training every step of the propagation ends with noise of one length that
keeps each embedding in its orthant:

    ``e^(l) = (S e^(l-1)) + eps * sign(S e^(l-1)) * n / |n|``, n uniform in ``[0, 1]^D``

The final embedding is the mean of layers 1..L: a node's own layer 0 is left out. The same pass
gives the second view, layer l*, whose noise is part of the first one's, so that one propagation
does the work of three. For the users and items of a batch, each once,

    ``L_cl = mean of -log exp(cos(e, e^(l*)) / tau) / sum over j of exp(cos(e, e_j^(l*)) / tau)``

with those j that are in the batch, and the loss is that of LightGCN plus ``lambda L_cl``. The
penalty is on layer 0, as in LightGCN, where the authors' code has it on final embeddings.

Shapes: B pairs, N nodes, D embedding size, L layers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch.nn import functional as F

from edgewise.config import check, setting
from edgewise.models.graph_training import (
    GraphNetwork,
    GraphRecommender,
    GraphTrainingConfig,
    Pairs,
    info_nce,
)
from edgewise.models.layers import SparseAdjacency


class XSimGCLConfig(GraphTrainingConfig):
    """Settings of XSimGCL."""

    num_layers: int = setting(2, "Propagation steps.", symbol="L", ge=1)
    noise: float = setting(0.2, "Length of the noise of a layer.", symbol="epsilon", ge=0)
    contrast_layer: int = setting(1, "The layer that is the second view.", symbol="l*", ge=1)
    contrast_weight: float = setting(
        0.2, "What the contrast counts in the loss.", symbol="lambda", ge=0
    )
    contrast_temperature: float = setting(
        0.15, "Cosines are divided by it in the contrast.", symbol="tau", gt=0
    )

    def model_post_init(self, context: Any) -> None:
        """Refuse a layer that there is not."""
        check(
            self.contrast_layer <= self.num_layers,
            f"contrast_layer = {self.contrast_layer} is beyond num_layers = {self.num_layers}",
        )


@dataclass(frozen=True)
class NoisyPairs(Pairs):
    """Pairs, and the seed of the noise, which is the same in all processes."""

    seed: int = 0


class XSimGCLNetwork(GraphNetwork):
    """LightGCN's network with noise in training and a contrast of layers."""

    draws: torch.Generator | None = None
    first_layer = 1

    def step(self, adjacency: SparseAdjacency, layer: torch.Tensor) -> torch.Tensor:
        after = super().step(adjacency, layer)
        if not self.training or not self.config.noise:
            return after
        drawn = torch.rand(after.shape, generator=self.draws, device=after.device)
        direction = F.normalize(drawn.to(after.dtype), dim=-1)
        return after + after.sign() * direction * self.config.noise

    def forward(self, batch: Pairs) -> torch.Tensor:
        """The mean loss of a batch."""
        assert isinstance(batch, NoisyPairs)
        self.draws = torch.Generator(self.layer_0.device).manual_seed(batch.seed)
        layers = self.layers(batch)
        final = self.mean_of(layers)
        loss = self.ranking_loss(final, batch)
        if not self.config.contrast_weight:
            return loss
        view = layers[self.config.contrast_layer]
        return loss + self.config.contrast_weight * self.contrast(final, view, batch)

    def contrast(self, final: torch.Tensor, view: torch.Tensor, batch: Pairs) -> torch.Tensor:
        """``L_cl`` of users plus that of items; both views are ``[N, D]``."""
        total, pairs = final.new_zeros(()), batch.of_all.to(final.device)
        for nodes in (pairs.users.unique(), self.num_users + pairs.items.unique()):
            own = torch.arange(len(nodes), device=nodes.device)
            tau = self.config.contrast_temperature
            total = total + info_nce(final[nodes], view[nodes], own, tau)
        return total


class XSimGCL(GraphRecommender):
    """Ranks items as LightGCN does, from layers that noise and a contrast have spread."""

    name, label = "xsimgcl", "XSimGCL"
    paper = "Yu et al., TKDE 2023, arXiv 2209.02544"
    Config = XSimGCLConfig
    Network = XSimGCLNetwork
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
            "hide_targets": True,
            "l2": 5e-2,
            "contrast_weight": 2e-2,
            "training": {
                "epochs": 6,
                "batch_size": 4096,
                "patience": 5,
                "learning_rate": 1e-2,
                "schedule": "cosine",
                "precision": "fp32",
            },
        },
        "paper": {},
    }
    network: XSimGCLNetwork

    def training_batch(self, rows: np.ndarray, rng: np.random.Generator) -> NoisyPairs:
        pairs = super().training_batch(rows, rng)
        return NoisyPairs(pairs.users, pairs.items, pairs.negatives, int(rng.integers(2**31)))
