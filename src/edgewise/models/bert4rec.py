"""BERT4Rec: a transformer that fills gaps in a history (Sun et al., CIKM 2019, arXiv 1904.06690).

Items are embedded with their positions, and L blocks of attention in both directions and of a
feed-forward layer follow, each as ``norm(x + dropout(g(x)))`` (eqs. 2 to 5). What leaves the last
block at a position tells its item (eq. 7), with the table that items are read from:

    ``softmax(gelu(h W_P + b_P) E^T + b_O)``

In training (the Cloze task, section 3.6) each item of a row is masked with probability rho and has
to be told from all others. A history is asked about by a mask at its end; to prepare for that, in a
part of the rows the last item alone is masked, as in the paper's extra samples. Positions count
from the newest item, so that the mask at the end stands where it stood in training.

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
from edgewise.data.sequences import NO_TARGET
from edgewise.models.next_item import (
    NextItemConfig,
    NextItemNetwork,
    NextItemRecommender,
    cloze,
    with_bias,
    with_ones,
)
from edgewise.models.transformer import Answering, PostNormBlock, check_heads, through
from edgewise.models.warm_start import ITEMS, REST


class BERT4RecConfig(NextItemConfig):
    """Settings of BERT4Rec."""

    max_items: int = setting(50, "Positions of a row, the mask included.", symbol="N", ge=2)
    num_layers: int = setting(2, "Blocks.", symbol="L", ge=1)
    num_heads: int = setting(2, "Of attention; they share hidden_size.", symbol="h", ge=1)
    inner_size: int = setting(256, "Width inside the feed-forward layer.", symbol="4d", ge=1)
    mask_rate: float = setting(0.6, "Share of items that are masked.", symbol="rho", gt=0, lt=1)
    last_rate: float = setting(
        0.1, "Share of rows in which the last item alone is masked.", ge=0, le=1
    )

    def model_post_init(self, context: Any) -> None:
        """Refuse widths that heads cannot share."""
        wrong = check_heads(self.hidden_size, self.num_heads)
        check(not wrong, wrong)


class BERT4RecNetwork(Answering, NextItemNetwork):
    """The transformer. Item I is the mask, and :data:`NO_TARGET` no item.

    Args:
        config: settings.
        counts: how often each item is taken, for sampling, ``[I]``.
    """

    def __init__(self, config: BERT4RecConfig, counts: np.ndarray) -> None:
        super().__init__(config, counts)
        width = config.hidden_size
        self.mask = len(counts)
        self.items = nn.Embedding(len(counts) + 1, width)
        self.positions = nn.Embedding(config.max_items, width)
        self.start = nn.LayerNorm(width)
        sizes = width, config.num_heads, config.inner_size, config.dropout
        self.blocks = nn.ModuleList(PostNormBlock(*sizes) for _ in range(config.num_layers))
        self.out = nn.Linear(width, width)
        self.bias = nn.Parameter(torch.zeros(len(counts)))
        self.dropout = nn.Dropout(config.dropout)
        self.randomize(config.init_std)

    def states(self, items: torch.Tensor, asked: torch.Tensor | None = None) -> torch.Tensor:
        """What all positions say of each one, ``[B, S] -> [B, S, D + 1]``."""
        known = items != NO_TARGET
        place = (known.sum(1, keepdim=True) - known.cumsum(1)).clamp(min=0)  # newest is 0
        x = self.read(items.clamp(min=0)) + self.positions(place)
        x = self.dropout(self.start(x))
        return with_ones(F.gelu(self.out(through(self.blocks, x, known, asked))))

    def last_states(
        self, items: torch.Tensor, lengths: torch.Tensor, users: torch.Tensor
    ) -> torch.Tensor:
        place = torch.arange(items.shape[1] + 1, device=items.device)
        asked = F.pad(items, (0, 1)).masked_fill(place > lengths[:, None], NO_TARGET)
        asked = asked.masked_fill(place == lengths[:, None], self.mask)
        return super().last_states(asked, lengths + 1, users)

    def item_table(self) -> torch.Tensor:
        return with_bias(self.items.weight[: self.mask], self.bias)


class BERT4Rec(NextItemRecommender):
    """Ranks items by what fills the gap at the end of a history; see the module."""

    name, label = "bert4rec", "BERT4Rec"
    paper = "Sun et al., CIKM 2019, arXiv 1904.06690"
    Config = BERT4RecConfig
    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        # Seconds, for the demo and for tests.
        "tiny": {
            "hidden_size": 32,
            "inner_size": 64,
            "dropout": 0.1,
            "mask_rate": 0.3,
            "init_std": 0.1,
            "training": {"epochs": 30, "batch_size": 16, "learning_rate": 5e-3},
        },
        # For data of Beauty's size on two cores.
        "cpu": {
            "hidden_size": 128,
            "num_layers": 1,
            "inner_size": 512,
            "dropout": 0.2,
            "mask_rate": 0.3,
            "last_rate": 0.5,
            "init_std": 0.05,
            "item_init": "transitions",
            "loss": "sampled_softmax",
            "num_negatives": 2048,
            "training": {
                "epochs": 20,
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
            "inner_size": 1024,
            "dropout": 0.3,
            "mask_rate": 0.3,
            "last_rate": 0.5,
            "training": {"epochs": 200, "patience": 30, "schedule": "cosine", "warmup_steps": 200},
        },
        # As released for Beauty, whose rate falls linearly instead of as a cosine.
        "paper": {
            "training": {
                "batch_size": 256,
                "learning_rate": 1e-4,
                "schedule": "cosine",
                "warmup_steps": 100,
                "max_grad_norm": 5.0,
            },
        },
    }
    LAYOUTS: ClassVar = {"items.weight": (ITEMS, REST)}  # the mask stands behind the items
    RESERVED = 1  # for the mask; a row holds one item more than it has targets
    config: BERT4RecConfig
    network: BERT4RecNetwork

    def new_network(self) -> BERT4RecNetwork:
        return BERT4RecNetwork(self.config, self.data.item_counts)

    def rows(self, rows: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        items, targets = self._examples.take(rows)
        whole = np.concatenate([items[:, :1], targets], axis=1)
        masked = cloze(whole, self.config.mask_rate, self.config.last_rate, rng)
        return np.where(masked, self.network.mask, whole), np.where(masked, whole, NO_TARGET)
