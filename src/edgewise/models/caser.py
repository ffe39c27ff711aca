"""Caser: convolutions over the last few items (Tang and Wang, WSDM 2018, arXiv 1809.07426).

The embeddings of the L newest items are the rows of a picture E, ``[L, d]``.

- A horizontal filter covers h whole rows, for h from 1 to L: where it finds its pattern most,
  ``max over t of relu(E_(t:t+h) . F)`` (eqs. 4 to 6), n_h of each height.
- A vertical filter is a weighted sum of the rows (eqs. 7 to 9), n_v of them.

A feed-forward layer with ReLU makes d numbers z of both (eq. 10). The score of an item is the
product of ``[z, P_u]``, with the user's embedding, and the item's row of a second table, plus the
item's bias (eq. 11). The T items after a window are all its targets, each against sampled ones, by
binary cross-entropy (eq. 13).

Windows of short histories are filled up with zeros at their beginning. People who are not in the
data are given the mean user's embedding.

Shapes: N windows, L items of a window (``window``), D hidden, U users, I items.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, cast

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from edgewise.config import setting
from edgewise.models.item_head import LossName
from edgewise.models.next_item import (
    NextItemRecommender,
    WindowConfig,
    WindowNetwork,
    with_bias,
    with_ones,
)


class CaserConfig(WindowConfig):
    """Settings of Caser."""

    num_horizontal: int = setting(16, "Filters of each height.", symbol="n", ge=1)
    num_vertical: int = setting(4, "Weighted sums of the window.", symbol="n tilde", ge=1)
    dropout: float = setting(0.5, "Of what the filters find.", ge=0, lt=1)
    loss: LossName = setting("bce", "As for sasrec; bce is published.", symbol="Eq. 13")


class CaserNetwork(WindowNetwork):
    """The filters.

    Args:
        config: settings.
        counts: how often each item is taken, for sampling, ``[I]``.
        num_users: U.
    """

    def __init__(self, config: CaserConfig, counts: np.ndarray, num_users: int) -> None:
        width, size = config.hidden_size, config.window
        super().__init__(config, counts, num_users, width)
        heights = range(1, size + 1)
        self.horizontal = nn.ModuleList(
            nn.Conv1d(width, config.num_horizontal, height) for height in heights
        )
        self.vertical = nn.Linear(size, config.num_vertical)
        found = config.num_horizontal * size + config.num_vertical * width
        self.combine = nn.Linear(found, width)
        self.scored = nn.Embedding(len(counts), 2 * width)
        self.bias = nn.Parameter(torch.zeros(len(counts)))
        self.dropout = nn.Dropout(config.dropout)
        for table in (self.items, self.users, self.scored):
            nn.init.normal_(table.weight, std=config.init_std)

    def window_states(
        self, vectors: torch.Tensor, known: torch.Tensor, users: torch.Tensor
    ) -> torch.Tensor:
        picture = vectors.transpose(1, 2)  # [N, D, L]
        found = [self.across(vectors), self.vertical(picture).flatten(1)]
        z = self.combine(self.dropout(torch.cat(found, dim=1))).relu()
        return with_ones(torch.cat([z, users], dim=1))

    def across(self, vectors: torch.Tensor) -> torch.Tensor:
        """What horizontal filters find most in windows ``[N, L, D]``, ``float[N, L n_h]``.

        The convolutions as one product of all items with all rows of all filters, whose parts are
        added up: for so few rows much faster.
        """
        filters = cast("list[nn.Conv1d]", [*self.horizontal])
        weights = torch.cat([each.weight.permute(2, 0, 1).flatten(0, 1) for each in filters])
        sizes = [len(each.weight) * height for height, each in enumerate(filters, start=1)]
        rows = F.linear(vectors, weights).split(sizes, dim=2)
        found: list[torch.Tensor] = []
        for height, (each, own) in enumerate(zip(filters, rows, strict=True), start=1):
            parts, places = own.unflatten(2, (height, -1)), vectors.shape[1] - height + 1
            total = torch.stack([parts[:, row : row + places, row] for row in range(height)]).sum(0)
            found.append((total + cast(torch.Tensor, each.bias)).amax(1).relu())
        return torch.cat(found, dim=1)

    def item_table(self) -> torch.Tensor:
        return with_bias(self.scored.weight, self.bias)


class Caser(NextItemRecommender):
    """Ranks items by what patterns of the last few items lead to; see the module."""

    name, label = "caser", "Caser"
    paper = "Tang and Wang, WSDM 2018, arXiv 1809.07426"
    Config = CaserConfig
    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        # Seconds, for the demo and for tests.
        "tiny": {
            "hidden_size": 16,
            "init_std": 0.1,
            "dropout": 0.2,
            "training": {"epochs": 15, "batch_size": 16, "learning_rate": 1e-2},
        },
        # For data of Beauty's size on two cores.
        "cpu": {
            "num_targets": 1,
            "init_std": 0.05,
            "item_init": "transitions",
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
        # The release's settings; weight decay stands for its penalty.
        "paper": {
            "hidden_size": 50,
            "training": {"batch_size": 512, "weight_decay": 1e-6},
        },
    }
    config: CaserConfig

    def new_network(self) -> CaserNetwork:
        return CaserNetwork(self.config, self.data.item_counts, len(self.data.users))
