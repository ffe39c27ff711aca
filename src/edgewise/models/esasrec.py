"""eSASRec: SASRec with gated blocks and a sampled softmax (Tikhonovich et al., RecSys 2025).

arXiv 2508.06450. Everything is as in SASRec (:mod:`edgewise.models.sasrec`) but for two things that
the authors found to go well together: the loss, a softmax over sampled items, and the block, LiGR
(Borisyuk et al., arXiv 2502.03417). A block decides for every number how much of what it adds is
let through, s being the sigmoid:

- ``x + s(x G_1) * dropout(attention(norm(x)))``,
- ``x + s(x G_2) * dropout(F(norm(x)))`` with ``F(y) = (silu(y W_1) * y W_2) W_3`` (SwiGLU).

The authors sample items evenly for every position, without correction; here a batch shares a larger
sample, drawn by how often items are taken and corrected for that (logQ), which costs less.

Shapes: B rows, S positions, D hidden, I items.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from edgewise.config import check, setting
from edgewise.models.item_head import LossName
from edgewise.models.next_item import NextItemConfig, NextItemNetwork, NextItemRecommender
from edgewise.models.transformer import Answering, AttentionBlock, at, check_heads, through


class ESASRecConfig(NextItemConfig):
    """Settings of eSASRec."""

    num_layers: int = setting(2, "Blocks.", ge=1)
    num_heads: int = setting(1, "Of attention; they share hidden_size.", ge=1)
    inner_size: int = setting(256, "Width between the matrices of SwiGLU.", ge=1)
    dropout: float = setting(0.2, "Of embeddings and of what blocks add.", ge=0, lt=1)
    loss: LossName = setting("sampled_softmax", "As for sasrec; sampled_softmax is published.")
    num_negatives: int = setting(256, "As for sasrec.", ge=1)

    def model_post_init(self, context: Any) -> None:
        """Refuse widths that heads cannot share."""
        wrong = check_heads(self.hidden_size, self.num_heads)
        check(not wrong, wrong)


class LiGRBlock(AttentionBlock):
    """Causal attention and SwiGLU, each through a gate, ``[B, S, D]``."""

    def __init__(self, config: ESASRecConfig) -> None:
        width = config.hidden_size
        super().__init__(width, config.num_heads)
        self.gates = nn.ModuleList(nn.Linear(width, width) for _ in range(2))
        self.inner = nn.Linear(width, 2 * config.inner_size, bias=False)  # W_1 and W_2
        self.outer = nn.Linear(config.inner_size, width, bias=False)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        x: torch.Tensor,
        known: torch.Tensor | None = None,
        asked: torch.Tensor | None = None,
    ) -> torch.Tensor:
        found, x = self.dropout(self.attend(self.norms[0](x), known, asked)), at(x, asked)
        x = x + self.gates[0](x).sigmoid() * found
        return x + self.gates[1](x).sigmoid() * self.dropout(self.swiglu(self.norms[1](x)))

    def swiglu(self, x: torch.Tensor) -> torch.Tensor:
        """``(silu(x W_1) * x W_2) W_3``."""
        opened, passed = self.inner(x).chunk(2, dim=-1)
        return self.outer(self.dropout(F.silu(opened) * passed))


class ESASRecNetwork(Answering, NextItemNetwork):
    """The transformer.

    Args:
        config: settings.
        counts: how often each item is taken, for sampling, ``[I]``.
    """

    def __init__(self, config: ESASRecConfig, counts: np.ndarray) -> None:
        super().__init__(config, counts)
        self.positions = nn.Embedding(config.max_items, config.hidden_size)
        self.blocks = nn.ModuleList(LiGRBlock(config) for _ in range(config.num_layers))
        self.norm = nn.LayerNorm(config.hidden_size)
        self.dropout = nn.Dropout(config.dropout)
        self.randomize(config.init_std)

    def states(self, items: torch.Tensor, asked: torch.Tensor | None = None) -> torch.Tensor:
        """What each position knows of itself and earlier ones, ``[B, S] -> [B, S, D]``."""
        x = self.dropout(self.read(items) + self.positions.weight[: items.shape[1]])
        return self.norm(through(self.blocks, x, asked=asked))


class ESASRec(NextItemRecommender):
    """Ranks items by what usually comes after a history like this one; see the module."""

    name, label = "esasrec", "eSASRec"
    paper = "Tikhonovich et al., RecSys 2025, arXiv 2508.06450"
    Config = ESASRecConfig
    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        # Seconds, for the demo and for tests.
        "tiny": {
            "hidden_size": 32,
            "inner_size": 64,
            "num_negatives": 12,
            "init_std": 0.1,
            "training": {"epochs": 12, "batch_size": 16, "learning_rate": 5e-3},
        },
        # For data of Beauty's size on two cores.
        "cpu": {
            "hidden_size": 128,
            "num_layers": 1,
            "inner_size": 256,
            "init_std": 0.05,
            "item_init": "transitions",
            "scale_items": True,
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
        # From random embeddings, as long as validation improves, on a GPU: minutes.
        "long": {
            "hidden_size": 256,
            "num_layers": 1,
            "inner_size": 1024,
            "dropout": 0.5,
            "scale_items": True,
            "num_negatives": 4096,
            "training": {"epochs": 100, "patience": 15, "schedule": "cosine", "warmup_steps": 200},
        },
        # As the authors' benchmark has it for Beauty.
        "paper": {
            "hidden_size": 256,
            "num_layers": 1,
            "inner_size": 1024,
            "training": {"weight_decay": 0.0},
        },
    }
    config: ESASRecConfig

    def new_network(self) -> ESASRecNetwork:
        return ESASRecNetwork(self.config, self.data.item_counts)
