"""SASRec: self-attention over a user's history (Kang and McAuley, ICDM 2018, arXiv 1808.09781).

The item at position t is embedded as ``M_i + P_t`` (eq. 1), in the release as
``sqrt(d) M_i + P_t`` (``scale_items``): without it what blocks add drowns random embeddings for
many epochs. L blocks of causal self-attention and of a feed-forward layer follow, each as
``x + dropout(g(norm(x)))`` (section III-C):

- ``S = softmax(Q K^T / sqrt(d)) V``, a position looking at itself and earlier ones (eqs. 2 and 3);
- ``F = relu(S W_1 + b_1) W_2 + b_2`` (eq. 4).

What leaves the last block at position t, times the embedding of an item, is how likely that item
comes next (eq. 6): the same table is read at both ends.

Published is binary cross-entropy against one random item a position (eq. 7). The default here is
cross-entropy over the whole catalogue, which ranks much better (Klenitskiy and Vasilev 2023, Petrov
and Macdonald 2023); the latter's gSASRec is the loss ``gbce``.

Shapes: B rows, S positions, D hidden, I items.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from edgewise.config import check, setting
from edgewise.models.next_item import NextItemConfig, NextItemNetwork, NextItemRecommender
from edgewise.models.transformer import Answering, PreNormBlock, check_heads, through


class SASRecConfig(NextItemConfig):
    """Settings of SASRec."""

    num_layers: int = setting(2, "Blocks.", symbol="b", ge=1, le=100)
    num_heads: int = setting(1, "Of attention; they share hidden_size.", ge=1, le=1024)
    inner_size: int = setting(64, "Width between the two matrices of eq. 4.", ge=1, le=16_384)

    def model_post_init(self, context: Any) -> None:
        """Refuse widths that heads cannot share."""
        wrong = check_heads(self.hidden_size, self.num_heads)
        check(not wrong, wrong)


class SASRecNetwork(Answering, NextItemNetwork):
    """The transformer.

    Args:
        config: settings.
        counts: how often each item is taken, for sampling, ``[I]``.
    """

    def __init__(self, config: SASRecConfig, counts: np.ndarray) -> None:
        super().__init__(config, counts)
        self.positions = nn.Embedding(config.max_items, config.hidden_size)
        sizes = config.hidden_size, config.num_heads, config.inner_size, config.dropout
        self.blocks = nn.ModuleList(PreNormBlock(*sizes) for _ in range(config.num_layers))
        self.norm = nn.LayerNorm(config.hidden_size)
        self.dropout = nn.Dropout(config.dropout)
        self.randomize(config.init_std)

    def states(self, items: torch.Tensor, asked: torch.Tensor | None = None) -> torch.Tensor:
        """What each position knows of itself and earlier ones, ``[B, S] -> [B, S, D]``."""
        x = self.dropout(self.read(items) + self.positions.weight[: items.shape[1]])
        return self.norm(through(self.blocks, x, asked=asked))


class SASRec(NextItemRecommender):
    """Ranks items by what usually comes after a history like this one; see the module."""

    name, label = "sasrec", "SASRec"
    paper = "Kang and McAuley, ICDM 2018, arXiv 1808.09781"
    Config = SASRecConfig
    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        # Seconds, for the demo and for tests.
        "tiny": {
            "dropout": 0.2,
            "training": {"epochs": 40, "batch_size": 32, "learning_rate": 5e-3},
        },
        # For data of Beauty's size on two cores.
        "cpu": {
            "hidden_size": 128,
            "num_layers": 1,
            "num_heads": 2,
            "inner_size": 512,
            "dropout": 0.2,
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
        # From random embeddings, as long as validation improves, on a GPU: minutes.
        "long": {
            "hidden_size": 256,
            "num_layers": 1,
            "inner_size": 256,
            "dropout": 0.5,
            "scale_items": True,
            "training": {"epochs": 100, "patience": 15, "schedule": "cosine", "warmup_steps": 200},
        },
        # The published loss and sizes, scaled as released; its 200 epochs end early where
        # validation does not improve.
        "paper": {
            "hidden_size": 50,
            "inner_size": 50,
            "scale_items": True,
            "loss": "bce",
            "training": {"weight_decay": 0.0},
        },
    }
    config: SASRecConfig

    def new_network(self) -> SASRecNetwork:
        return SASRecNetwork(self.config, self.data.item_counts)
