"""GRU4Rec: a recurrent network over a user's history (Hidasi et al., ICLR 2016, arXiv 1511.06939).

The embedding x_t of an item changes the state h of gated recurrent units (eqs. 2 to 5),

    ``h_t = (1 - z_t) h_(t-1) + z_t tanh(W x_t + U (r_t h_(t-1)))``,
    ``z_t = s(W_z x_t + U_z h_(t-1))``, ``r_t = s(W_r x_t + U_r h_(t-1))``,

a feed-forward layer makes it as wide as an embedding, and its product with an item's is how likely
that item comes next. The paper reads items from one table and scores them by another
(``tied = false``), and learns by TOP1 or BPR against the other items of a batch, that is by how
often they are taken; the default here is cross-entropy and one table, as in the authors' later
version (Hidasi and Karatzoglou, CIKM 2018). Histories are trained whole instead of being cut into
parallel sessions, by AdamW instead of Adagrad.

Shapes: B rows, S positions, D hidden, I items.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from edgewise.config import setting
from edgewise.models.next_item import NextItemConfig, NextItemNetwork, NextItemRecommender


class GRU4RecConfig(NextItemConfig):
    """Settings of GRU4Rec."""

    num_layers: int = setting(1, "Of recurrent units.", ge=1)
    inner_size: int = setting(100, "Recurrent units of a layer.", symbol="hidden units", ge=1)
    tied: bool = setting(True, "Items are scored by the table that they are read from.")
    dropout: float = setting(0.2, "Of embeddings and between layers.", ge=0, lt=1)


class GRU4RecNetwork(NextItemNetwork):
    """The recurrent network.

    Args:
        config: settings.
        counts: how often each item is taken, for sampling, ``[I]``.
    """

    def __init__(self, config: GRU4RecConfig, counts: np.ndarray) -> None:
        super().__init__(config, counts)
        width, units, layers = config.hidden_size, config.inner_size, config.num_layers
        between = config.dropout if layers > 1 else 0.0
        self.gru = nn.GRU(width, units, layers, batch_first=True, dropout=between)
        self.out = nn.Linear(units, width)
        self.scored = self.items if config.tied else nn.Embedding(len(counts), width)
        self.dropout = nn.Dropout(config.dropout)
        for table in {self.items, self.scored}:
            nn.init.normal_(table.weight, std=config.init_std)

    def states(self, items: torch.Tensor) -> torch.Tensor:
        """What each position knows of itself and earlier ones, ``[B, S] -> [B, S, D]``."""
        return self.out(self.dropout(self._units(items)))

    def states_at(self, items: torch.Tensor, asked: torch.Tensor) -> torch.Tensor:
        found = self._units(items)[torch.arange(len(items), device=items.device), asked]
        return self.out(self.dropout(found))

    def _units(self, items: torch.Tensor) -> torch.Tensor:
        """The recurrent units of the last layer, ``int64[B, S] -> float[B, S, H]``."""
        return self.gru(self.dropout(self.read(items)))[0]

    def item_table(self) -> torch.Tensor:
        return self.scored.weight

    @torch.no_grad()
    def start_items(self, start: torch.Tensor) -> None:
        for table in (self.items, self.scored):
            table.weight.copy_(start)


class GRU4Rec(NextItemRecommender):
    """Ranks items by what usually comes after a history like this one; see the module."""

    name, label = "gru4rec", "GRU4Rec"
    paper = "Hidasi et al., ICLR 2016, arXiv 1511.06939"
    Config = GRU4RecConfig
    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        # Seconds, for the demo and for tests.
        "tiny": {
            "hidden_size": 32,
            "inner_size": 32,
            "init_std": 0.1,
            "training": {"epochs": 15, "batch_size": 16, "learning_rate": 1e-2},
        },
        # For data of Beauty's size on two cores.
        "cpu": {
            "hidden_size": 128,
            "inner_size": 128,
            "init_std": 0.05,
            "item_init": "transitions",
            "scale_items": True,
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
        # TOP1 with 100 units and the batch of the paper's Table 2, negatives as many as it gives.
        "paper": {
            "hidden_size": 100,
            "tied": False,
            "loss": "top1",
            "num_negatives": 49,
            "dropout": 0.5,
            "training": {"batch_size": 50, "weight_decay": 0.0},
        },
    }
    config: GRU4RecConfig

    def new_network(self) -> GRU4RecNetwork:
        return GRU4RecNetwork(self.config, self.data.item_counts)
