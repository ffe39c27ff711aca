"""SASRec: self-attention over a user's history (Kang and McAuley, ICDM 2018, arXiv 1808.09781).

The item at position t is embedded as ``M_i + P_t`` (eq. 1). L blocks of causal self-attention and
of a feed-forward layer follow, each as ``x + dropout(g(norm(x)))`` (section III-C):

- ``S = softmax(Q K^T / sqrt(d)) V``, a position looking at itself and earlier ones (eqs. 2 and 3);
- ``F = relu(S W_1 + b_1) W_2 + b_2`` (eq. 4).

What leaves the last block at position t, times the embedding of an item, is how likely that item
comes next (eq. 6): the same table is read at both ends.

Published is binary cross-entropy against one random item a position (eq. 7). The default here is
cross-entropy over the whole catalogue, which ranks much better (Klenitskiy and Vasilev 2023, Petrov
and Macdonald 2023). Rows are filled up at their end instead of their beginning, so that a plain
causal mask is enough, and positions count from the oldest item that is read.

Shapes: B rows, S positions, H heads, N positions with a target, M sampled items, D hidden, I items.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from edgewise.config import MethodConfig, check, section, setting
from edgewise.data.ragged import Ragged
from edgewise.data.sequences import NO_TARGET, NextItems, newest, padded
from edgewise.data.splits import Split
from edgewise.errors import DataError
from edgewise.graph.transitions import transition_features
from edgewise.models.base import TensorBatch, TorchRecommender, UnseenItems
from edgewise.models.item_head import (
    binary_cross_entropy,
    item_cross_entropy,
    sampled_cross_entropy,
    sampling_shares,
)
from edgewise.training.config import TrainingConfig


class SASRecConfig(MethodConfig):
    """Settings of SASRec."""

    hidden_size: int = setting(64, "Numbers of an embedding.", symbol="d", ge=1)
    num_layers: int = setting(2, "Blocks.", symbol="b", ge=1)
    num_heads: int = setting(1, "Of attention; they share hidden_size.", ge=1)
    inner_size: int = setting(64, "Width between the two matrices of eq. 4.", ge=1)
    max_items: int = setting(50, "The newest items of a history that are read.", symbol="n", ge=1)
    dropout: float = setting(0.5, "Of embeddings and of what blocks add.", ge=0, lt=1)
    init_std: float = setting(0.02, "Standard deviation of the random weights.", gt=0)
    item_init: Literal["random", "transitions"] = setting(
        "random",
        "Where item embeddings start: random, or transitions, vectors that bring items of the same "
        "paths together, which saves many epochs. Beyond the paper.",
    )
    loss: Literal["softmax", "sampled_softmax", "bce"] = setting(
        "softmax",
        "softmax over the catalogue; sampled_softmax: over the target and items sampled by how "
        "often they are taken, with logQ correction; bce, as published.",
        symbol="Eq. 7",
    )
    num_negatives: int = setting(
        1, "Sampled items: of every position (bce), or of a batch (sampled_softmax).", ge=1
    )
    training: TrainingConfig = section(
        TrainingConfig, epochs=200, batch_size=128, patience=20, validation_metric="NDCG@10"
    )

    def model_post_init(self, context: Any) -> None:
        """Refuse widths that heads cannot share."""
        check(
            self.hidden_size % self.num_heads == 0,
            f"hidden_size = {self.hidden_size} is no multiple of num_heads = {self.num_heads}",
        )


@dataclass(frozen=True)
class SASRecBatch(TensorBatch):
    """Items and the next one of each, ``int64[B, S]``, as :class:`NextItems` gives them.

    ``negatives`` are ``[B, S, M]`` for bce, else ``[M]`` or empty.
    """

    items: torch.Tensor
    targets: torch.Tensor
    negatives: Any


class Block(nn.Module):
    """Causal self-attention (eq. 2) and a feed-forward layer (eq. 4), ``[B, S, D]``."""

    def __init__(self, config: SASRecConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.heads = config.num_heads
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.query_key_value = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.inner = nn.Linear(width, config.inner_size)
        self.outer = nn.Linear(config.inner_size, width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.dropout(self.attend(self.norms[0](x)))
        return x + self.dropout(self.outer(F.relu(self.inner(self.norms[1](x)))))

    def attend(self, x: torch.Tensor) -> torch.Tensor:
        """``softmax(Q K^T / sqrt(d)) V``."""
        parts = self.query_key_value(x).unflatten(-1, (3, self.heads, -1))  # [B, S, 3, H, D / H]
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        found = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.out(found.transpose(1, 2).flatten(2))


class SASRecNetwork(nn.Module):
    """The transformer and its loss.

    Args:
        config: settings.
        counts: how often each item is taken, for sampling, ``[I]``.
    """

    log_q: torch.Tensor

    def __init__(self, config: SASRecConfig, counts: np.ndarray) -> None:
        super().__init__()
        self.config = config
        self.items = nn.Embedding(len(counts), config.hidden_size)
        self.positions = nn.Embedding(config.max_items, config.hidden_size)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.num_layers))
        self.norm = nn.LayerNorm(config.hidden_size)
        self.dropout = nn.Dropout(config.dropout)
        for part in self.modules():
            if isinstance(part, nn.Embedding | nn.Linear):
                nn.init.normal_(part.weight, std=config.init_std)
            if isinstance(part, nn.Linear):
                nn.init.zeros_(part.bias)
        expected = config.num_negatives * sampling_shares(counts)
        self.register_buffer("log_q", torch.from_numpy(np.log(expected)).float(), persistent=False)

    def states(self, items: torch.Tensor) -> torch.Tensor:
        """What each position knows of itself and earlier ones, ``[B, S] -> [B, S, D]``."""
        x = self.dropout(self.items(items) + self.positions.weight[: items.shape[1]])
        for block in self.blocks:
            x = block(x)
        return self.norm(x)

    def forward(self, batch: SASRecBatch) -> torch.Tensor:
        """The mean loss over positions with a target."""
        asked = batch.targets != NO_TARGET
        hidden, targets = self.states(batch.items)[asked], batch.targets[asked]
        table = self.items.weight
        if self.config.loss == "softmax":
            return item_cross_entropy(hidden, table, targets)
        if self.config.loss == "bce":
            return binary_cross_entropy(hidden, table, targets, batch.negatives[asked])
        negatives = torch.as_tensor(batch.negatives, device=table.device)
        return sampled_cross_entropy(hidden, table, targets, negatives, self.log_q)


class SASRec(TorchRecommender):
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
            "num_heads": 2,
            "inner_size": 512,
            "init_std": 0.05,
            "item_init": "transitions",
            "loss": "sampled_softmax",
            "num_negatives": 2048,
            "training": {
                "epochs": 16,
                "patience": 5,
                "schedule": "cosine",
                "warmup_steps": 50,
                "precision": "fp32",
            },
        },
        # The published loss and sizes; its 200 epochs end early where validation does not improve.
        "paper": {
            "hidden_size": 50,
            "inner_size": 50,
            "loss": "bce",
            "training": {"weight_decay": 0.0},
        },
    }
    network: SASRecNetwork

    def build(self, split: Split | None) -> SASRecNetwork:
        return SASRecNetwork(self.config, self.data.item_counts)

    def start(self, split: Split) -> None:
        """Give items vectors of their transitions."""
        config = self.config
        if config.item_init == "transitions":
            sizes = len(self.data.items), config.hidden_size
            start = transition_features(self.data.histories, *sizes, config.seed)
            self.network.items.weight.data.copy_(torch.from_numpy(start * config.init_std))

    def examples(self, split: Split) -> np.ndarray:
        histories = self.data.histories
        if not (histories.lengths > 1).any():
            raise DataError(
                f"data set {split.dataset.name!r} has no user with two train rows, and sasrec "
                "learns which item follows another: import more rows of each user, or fit a "
                "method that needs no order, such as ease or lightgcn"
            )
        self._examples = NextItems(histories, self.config.max_items)
        self._unseen = UnseenItems(histories, len(self.data.items))
        self._shares = sampling_shares(self.data.item_counts)
        return self._examples.windows.num_targets

    def training_batch(self, rows: np.ndarray, rng: np.random.Generator) -> SASRecBatch:
        items, targets = self._examples.take(rows)
        negatives, count = np.empty(0, np.int64), self.config.num_negatives
        if self.config.loss == "sampled_softmax":
            negatives = rng.choice(len(self._shares), count, p=self._shares)
        elif self.config.loss == "bce":
            users = self._examples.windows.user[rows]
            negatives = torch.from_numpy(self._unseen.draw(users, rng, items.shape[1], count))
        return SASRecBatch(torch.from_numpy(items), torch.from_numpy(targets), negatives)

    def encode(self, users: np.ndarray, histories: Ragged) -> torch.Tensor:
        """The last state of every history, ``[B, D]``; users themselves are not known."""
        read = newest(histories, self.config.max_items)
        states = self.network.states(torch.from_numpy(padded(read, 0)).to(self.device))
        return states[torch.arange(len(read)), torch.from_numpy(read.lengths - 1)]

    def item_embeddings(self) -> torch.Tensor:
        return self.network.items.weight
