"""NCL: LightGCN whose nodes are drawn to what is like them (Lin et al., WWW 2022).

arXiv 2202.06200. To the loss of LightGCN come two contrasts, each by InfoNCE over cosines with a
temperature tau, of the users and of the items of a batch:

- structural (section 3.2): what a node's neighbours at distance 2, 4, ... hold, layer ``2k`` of
  the propagation, finds the node's own layer 0 among those of all users, and of all items:
  ``L_S = users + alpha * items``;
- semantic (section 3.3): a node's layer 0 finds the prototype of its cluster among all
  prototypes, the centres of a k-means of layer 0 of users, and of items, made anew every few
  epochs: ``L_P``. k-means is the E-step and training the M-step of expectation maximisation.

The loss is ``L_LightGCN + lambda_1 L_S + lambda_2 L_P``. The authors' code adds up the terms of a
batch of 4,096 where this file takes their mean: its ``ssl_reg = 1e-6`` for Amazon Books is a
``structure_weight`` of 4.1e-3 here.

Shapes: B pairs, U users, I items, ``N = U + I``, D embedding size, K prototypes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch

from edgewise.config import check, setting
from edgewise.data.splits import Split
from edgewise.models.graph_training import (
    GraphNetwork,
    GraphRecommender,
    GraphTrainingConfig,
    Pairs,
    info_nce,
)
from edgewise.training.trainer import Stage

_DISTANCES_AT_ONCE = 4_000_000


class NCLConfig(GraphTrainingConfig):
    """Settings of NCL."""

    structure_weight: float = setting(
        4e-3, "What the structural contrast counts in the loss.", symbol="lambda_1", ge=0
    )
    item_weight: float = setting(0.8, "What items count in it beside users.", symbol="alpha", ge=0)
    structure_layers: int = setting(
        1, "Half the layer that is contrasted with layer 0.", symbol="k", ge=1
    )
    num_contrasted: int = setting(
        0,
        "Users, and items, that a node is told from in the structural contrast, sampled anew for "
        "each batch; 0 = all, as published.",
        ge=0,
    )
    prototype_weight: float = setting(
        4e-4, "What the contrast of prototypes counts in the loss.", symbol="lambda_2", ge=0
    )
    num_prototypes: int = setting(2000, "Clusters of users, and of items.", symbol="K", ge=1)
    contrast_temperature: float = setting(
        0.05, "Cosines are divided by it in both contrasts.", symbol="tau", gt=0
    )
    warmup_epochs: int = setting(
        20, "Epochs before the first k-means; until then there are no prototypes.", ge=0
    )
    epochs_per_clustering: int = setting(1, "How often k-means is repeated.", ge=1)

    def model_post_init(self, context: Any) -> None:
        """Refuse a contrast with a layer that there is not."""
        check(
            2 * self.structure_layers <= self.num_layers,
            f"structure_layers = {self.structure_layers} contrasts layer "
            f"{2 * self.structure_layers}, and num_layers = {self.num_layers}: lower the first or "
            "raise the second",
        )


@dataclass(frozen=True)
class ContrastedPairs(Pairs):
    """Pairs, and the users and items that nodes are told from, ``int64[M]``; None = all."""

    other_users: Any = None
    other_items: Any = None


class NCLNetwork(GraphNetwork):
    """LightGCN's network with both contrasts.

    Prototypes and clusters are saved with it, so that training resumes exactly.
    """

    clustered: torch.Tensor
    user_prototypes: torch.Tensor
    item_prototypes: torch.Tensor
    cluster: torch.Tensor

    def __init__(self, config: NCLConfig, num_users: int, num_items: int) -> None:
        super().__init__(config, num_users, num_items)
        for name, count in (("user_prototypes", num_users), ("item_prototypes", num_items)):
            shape = min(config.num_prototypes, count), config.embedding_size
            self.register_buffer(name, torch.zeros(shape))
        self.register_buffer("cluster", torch.zeros(num_users + num_items, dtype=torch.int64))
        self.register_buffer("clustered", torch.tensor(-1))

    def forward(self, batch: Pairs) -> torch.Tensor:
        """The mean loss of a batch."""
        assert isinstance(batch, ContrastedPairs)
        layers = self.layers(batch)
        loss = self.ranking_loss(self.mean_of(layers), batch)
        if self.config.structure_weight:
            far = layers[2 * self.config.structure_layers]
            loss = loss + self.config.structure_weight * self.structural(far, batch)
        if self.config.prototype_weight and self.clustered >= 0:
            loss = loss + self.config.prototype_weight * self.semantic(batch)
        return loss

    def structural(self, far: torch.Tensor, batch: ContrastedPairs) -> torch.Tensor:
        """``L_S`` of an even layer ``[N, D]``."""
        kinds = (
            (0, self.num_users, batch.users, batch.other_users, 1.0),
            (self.num_users, len(far), batch.items, batch.other_items, self.config.item_weight),
        )
        total, tau = far.new_zeros(()), self.config.contrast_temperature
        for start, end, nodes, others, weight in kinds:
            sampled = None if others is None else torch.as_tensor(others, device=far.device)
            near = self.layer_0[start:end]
            total = total + weight * info_nce(far[start + nodes], near, nodes, tau, sampled)
        return total

    def semantic(self, batch: Pairs) -> torch.Tensor:
        """``L_P``."""
        tau, items = self.config.contrast_temperature, self.num_users + batch.items
        of_users = info_nce(
            self.layer_0[batch.users], self.user_prototypes, self.cluster[batch.users], tau
        )
        return of_users + info_nce(
            self.layer_0[items], self.item_prototypes, self.cluster[items], tau
        )

    @torch.no_grad()
    def find_prototypes(self, epoch: int) -> None:
        """The E-step: k-means of layer 0, of users and of items apart; once an epoch."""
        if self.clustered == epoch:
            return  # a run resumed within an epoch goes on with the prototypes it had
        generator = torch.Generator().manual_seed(self.config.seed + epoch)
        first, rest = self.layer_0[: self.num_users], self.layer_0[self.num_users :]
        for kind, layer, start in (
            (self.user_prototypes, first, 0),
            (self.item_prototypes, rest, self.num_users),
        ):
            centres, nearest = k_means(layer, len(kind), generator)
            kind.copy_(centres)
            self.cluster[start : start + len(layer)] = nearest
        self.clustered.fill_(epoch)


def k_means(
    points: torch.Tensor, num_centres: int, generator: torch.Generator, num_rounds: int = 10
) -> tuple[torch.Tensor, torch.Tensor]:
    """Lloyd's k-means from centres at random points; a centre that loses all points stays.

    Args:
        points: ``float[N, D]``.
        num_centres: K, at most N.
        generator: draws the start, on the CPU.
        num_rounds: at most; it ends when no point changes its centre.

    Returns:
        Centres ``float[K, D]`` and the nearest of each point, ``int64[N]``.
    """
    start = torch.randperm(len(points), generator=generator)[:num_centres]
    centres = points[start.to(points.device)].clone()
    nearest = _nearest(points, centres)
    for _ in range(num_rounds):
        sums = torch.zeros_like(centres).index_add_(0, nearest, points)
        counts = torch.bincount(nearest, minlength=num_centres)[:, None]
        centres = torch.where(counts > 0, sums / counts.clamp(min=1), centres)
        before, nearest = nearest, _nearest(points, centres)
        if torch.equal(before, nearest):
            break
    return centres, nearest


def _nearest(points: torch.Tensor, centres: torch.Tensor) -> torch.Tensor:
    """The nearest centre of every point; only a part of all distances is held at a time."""
    half, step = centres.square().sum(1) / 2, max(1, _DISTANCES_AT_ONCE // len(centres))
    # |p - c|^2 / 2 = |p|^2 / 2 - (p c - |c|^2 / 2), and the first does not depend on c
    return torch.cat([(part @ centres.T - half).argmax(1) for part in points.split(step)])


class NCL(GraphRecommender):
    """Ranks items as LightGCN does, from embeddings that two contrasts have shaped."""

    name, label = "ncl", "NCL"
    paper = "Lin et al., WWW 2022, arXiv 2202.06200"
    Config = NCLConfig
    Network = NCLNetwork
    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        # Seconds, for the demo and for tests.
        "tiny": {
            "embedding_size": 16,
            "structure_weight": 0.1,
            "prototype_weight": 0.1,
            "contrast_temperature": 0.2,
            "num_prototypes": 4,
            "warmup_epochs": 2,
            "training": {"epochs": 40, "batch_size": 64, "learning_rate": 1e-2},
        },
        # For data of Beauty's size on two cores.
        "cpu": {
            "embedding_size": 128,
            "loss": "sampled_softmax",
            "num_negatives": 1024,
            "hide_targets": True,
            "l2": 5e-2,
            "structure_weight": 1e-2,
            "num_contrasted": 512,
            "prototype_weight": 5e-3,
            "num_prototypes": 200,
            "contrast_temperature": 0.2,
            "warmup_epochs": 2,
            "training": {
                "epochs": 8,
                "batch_size": 4096,
                "patience": 5,
                "learning_rate": 1e-2,
                "schedule": "cosine",
                "precision": "fp32",
            },
        },
        # Of the authors' code for Amazon Books, nearest to the data of this package.
        "paper": {"l2": 1e-6, "training": {"batch_size": 4096}},
    }
    network: NCLNetwork

    def stages(self, split: Split) -> Sequence[Stage]:
        return [replace(stage, on_epoch_start=self._cluster) for stage in super().stages(split)]

    def _cluster(self, epoch: int) -> None:
        since = epoch - self.config.warmup_epochs
        due = since >= 0 and since % self.config.epochs_per_clustering == 0
        if due and self.config.prototype_weight:
            self.network.find_prototypes(epoch)

    def training_batch(self, rows: np.ndarray, rng: np.random.Generator) -> Pairs:
        pairs, count = super().training_batch(rows, rng), self.config.num_contrasted
        sizes = len(self.data.users), len(self.data.items)
        others = [rng.integers(size, size=count) if count else None for size in sizes]
        return ContrastedPairs(pairs.users, pairs.items, pairs.negatives, *others)
