"""HGN: gates that choose features and items of a window (Ma et al., KDD 2019, arXiv 1906.09217).

S are the embeddings of the L newest items, u the user's, s the sigmoid.

- Feature gating: what of each item matters to the user, ``S_F = S * s(W_1 S + W_2 u + b)`` (eq. 2).
- Instance gating: which of the items matter, ``g = s(w_3 S_F + W_4 u)``, one number an item, and
  ``S_I = g * S_F`` (eq. 3).
- The mean of S_I (eq. 4), as in the release over the sum of g, the user and the sum of S, which
  relates items to items, are added up, and the product with an item's row q of a second table, plus
  the item's bias, is its score (eq. 6).

The T items after a window are all its targets, each before a sampled one (BPR, eq. 7).

Windows of short histories hold fewer items. People who are not in the data are given the mean
user's embedding.

Shapes: N windows, L items of a window (``window``), D hidden, U users, I items.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from edgewise.config import setting
from edgewise.models.item_head import LossName
from edgewise.models.next_item import (
    NextItemRecommender,
    WindowConfig,
    WindowNetwork,
    with_bias,
    with_ones,
)


class HGNConfig(WindowConfig):
    """Settings of HGN."""

    dropout: float = setting(0.0, "Of embeddings. Beyond the paper.", ge=0, lt=1)
    loss: LossName = setting("bpr", "As for sasrec; bpr is published.", symbol="Eq. 7")


class HGNNetwork(WindowNetwork):
    """The gates.

    Args:
        config: settings.
        counts: how often each item is taken, for sampling, ``[I]``.
        num_users: U.
    """

    def __init__(self, config: HGNConfig, counts: np.ndarray, num_users: int) -> None:
        width = config.hidden_size
        super().__init__(config, counts, num_users, width)
        self.feature_gate = nn.Linear(width, width)
        self.feature_gate_of_user = nn.Linear(width, width, bias=False)
        self.instance_gate = nn.Linear(width, 1, bias=False)
        self.instance_gate_of_user = nn.Linear(width, config.window, bias=False)
        self.scored = nn.Embedding(len(counts), width)
        self.bias = nn.Parameter(torch.zeros(len(counts)))
        self.dropout = nn.Dropout(config.dropout)
        for table in (self.items, self.users, self.scored):
            nn.init.normal_(table.weight, std=config.init_std)

    def window_states(
        self, vectors: torch.Tensor, known: torch.Tensor, users: torch.Tensor
    ) -> torch.Tensor:
        vectors, users = self.dropout(vectors), self.dropout(users)
        gate = self.feature_gate(vectors) + self.feature_gate_of_user(users)[:, None]
        features = vectors * gate.sigmoid()  # S_F, [N, L, D]
        gate = self.instance_gate(features)[..., 0] + self.instance_gate_of_user(users)
        gate = gate.sigmoid() * known  # g, [N, L]
        union = torch.einsum("nl,nld->nd", gate, features) / gate.sum(1, keepdim=True)
        return with_ones(users + union + vectors.sum(1))

    def item_table(self) -> torch.Tensor:
        return with_bias(self.scored.weight, self.bias)

    @torch.no_grad()
    def start_items(self, start: torch.Tensor) -> None:
        for table in (self.items, self.scored):
            table.weight.copy_(start)


class HGN(NextItemRecommender):
    """Ranks items by the user and what gates leave of the last few items; see the module."""

    name, label = "hgn", "HGN"
    paper = "Ma et al., KDD 2019, arXiv 1906.09217"
    Config = HGNConfig
    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        # Seconds, for the demo and for tests.
        "tiny": {
            "hidden_size": 16,
            "init_std": 0.1,
            "training": {"epochs": 15, "batch_size": 16, "learning_rate": 1e-2},
        },
        # For data of Beauty's size on two cores.
        "cpu": {
            "hidden_size": 128,
            "num_targets": 1,
            "init_std": 0.05,
            "item_init": "transitions",
            "dropout": 0.2,
            "loss": "sampled_softmax",
            "num_negatives": 2048,
            "training": {
                "epochs": 5,
                "batch_size": 64,
                "learning_rate": 3e-3,
                "schedule": "cosine",
                "warmup_steps": 50,
                "precision": "fp32",
            },
        },
        # Its batches of 4,096 windows are about 512 histories; weight decay stands for its penalty.
        "paper": {
            "hidden_size": 50,
            "training": {"batch_size": 512, "weight_decay": 1e-3},
        },
    }
    config: HGNConfig

    def new_network(self) -> HGNNetwork:
        return HGNNetwork(self.config, self.data.item_counts, len(self.data.users))
