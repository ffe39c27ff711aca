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
from edgewise.data.sequences import windows_of
from edgewise.data.splits import Split
from edgewise.errors import DataError
from edgewise.models.base import TensorBatch, TorchRecommender, UnseenItems
from edgewise.models.item_head import (
    binary_cross_entropy,
    item_cross_entropy,
    sampled_cross_entropy,
)
from edgewise.training.config import TrainingConfig

_NO_TARGET = -1


class SASRecConfig(MethodConfig):
    """Settings of SASRec."""

    hidden_size: int = setting(64, "Numbers of an embedding.", symbol="d", ge=1)
    num_layers: int = setting(2, "Blocks.", symbol="b", ge=1)
    num_heads: int = setting(1, "Of attention; they share hidden_size.", ge=1)
    inner_size: int = setting(64, "Width between the two matrices of eq. 4.", ge=1)
    max_items: int = setting(50, "The newest items of a history that are read.", symbol="n", ge=1)
    dropout: float = setting(0.5, "Of embeddings and of what blocks add.", ge=0, lt=1)
    init_std: float = setting(0.02, "Standard deviation of the random weights.", gt=0)
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
    """Windows of histories; ``negatives`` are ``[B, S, M]`` for bce, else ``[M]`` or empty."""

    items: torch.Tensor
    """Oldest first, then zeros, ``int64[B, S]``."""
    targets: torch.Tensor
    """The next item of each, -1 where there is none, ``int64[B, S]``."""
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
        self.inner, self.outer = (
            nn.Linear(width, config.inner_size),
            nn.Linear(config.inner_size, width),
        )
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
        num_items: I.
        counts: how often each item is taken, for sampling, ``[I]``; None where nothing is learned.
    """

    log_q: torch.Tensor

    def __init__(self, config: SASRecConfig, num_items: int, counts: np.ndarray | None) -> None:
        super().__init__()
        self.config = config
        self.items = nn.Embedding(num_items, config.hidden_size)
        self.positions = nn.Embedding(config.max_items, config.hidden_size)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.num_layers))
        self.norm = nn.LayerNorm(config.hidden_size)
        self.dropout = nn.Dropout(config.dropout)
        for part in self.modules():
            if isinstance(part, nn.Embedding | nn.Linear):
                nn.init.normal_(part.weight, std=config.init_std)
            if isinstance(part, nn.Linear):
                nn.init.zeros_(part.bias)
        expected = sampling_shares(np.ones(num_items) if counts is None else counts)
        log_q = torch.from_numpy(np.log(expected * config.num_negatives)).float()
        self.register_buffer("log_q", log_q, persistent=False)

    def states(self, items: torch.Tensor) -> torch.Tensor:
        """What each position knows of itself and earlier ones, ``[B, S] -> [B, S, D]``."""
        x = self.dropout(self.items(items) + self.positions.weight[: items.shape[1]])
        for block in self.blocks:
            x = block(x)
        return self.norm(x)

    def forward(self, batch: SASRecBatch) -> torch.Tensor:
        """The mean loss over positions with a target."""
        asked = batch.targets != _NO_TARGET
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
            "training": {"epochs": 16, "patience": 5, "schedule": "cosine", "warmup_steps": 50},
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
        counts = None if split is None else self.data.item_counts
        return SASRecNetwork(self.config, len(self.data.items), counts)

    def examples(self, split: Split) -> np.ndarray:
        lengths = self.data.histories.lengths
        if not (lengths > 1).any():
            raise DataError(
                f"data set {split.dataset.name!r} has no user with two train rows, and sasrec "
                "learns which item follows another: import more rows of each user, or fit a "
                "method that needs no order, such as ease or lightgcn"
            )
        # A history of n items has n - 1 positions with a next item.
        self._windows = windows_of(np.maximum(lengths - 1, 0), self.config.max_items)
        self._unseen = UnseenItems(self.data.histories, len(self.data.items))
        self._shares = sampling_shares(self.data.item_counts)
        return self._windows.num_targets

    def training_batch(self, rows: np.ndarray, rng: np.random.Generator) -> SASRecBatch:
        users, first, last = (part[rows] for part in self._windows)
        histories = self.data.histories.take(users)
        place, row = histories.place_of_value, histories.row_of_value
        inputs = histories.keep((place >= first[row]) & (place < last[row]))
        targets = histories.keep((place > first[row]) & (place <= last[row]))
        negatives: Any = np.empty(0, np.int64)
        if self.config.loss == "bce":
            shape = int(inputs.lengths.max()), self.config.num_negatives
            negatives = torch.from_numpy(self._unseen.draw(users, rng, *shape))
        elif self.config.loss == "sampled_softmax":
            negatives = rng.choice(len(self._shares), self.config.num_negatives, p=self._shares)
        return SASRecBatch(padded(inputs, 0), padded(targets, _NO_TARGET), negatives)

    def encode(self, users: np.ndarray, histories: Ragged) -> torch.Tensor:
        """The last state of every history, ``[B, D]``; users themselves are not known."""
        newest = histories.keep(
            histories.place_of_value
            >= (histories.lengths - self.config.max_items)[histories.row_of_value]
        )
        states = self.network.states(padded(newest, 0).to(self.device))
        last = torch.from_numpy(newest.lengths - 1).to(self.device)
        return states[torch.arange(len(last), device=self.device), last]

    def item_embeddings(self) -> torch.Tensor:
        return self.network.items.weight


def padded(rows: Ragged, filler: int) -> torch.Tensor:
    """Rows one below the other, filled up at their end, ``int64[B, S]``."""
    table = np.full((len(rows), int(rows.lengths.max(initial=1))), filler, dtype=np.int64)
    table[rows.row_of_value, rows.place_of_value] = rows.values
    return torch.from_numpy(table)


def sampling_shares(counts: np.ndarray) -> np.ndarray:
    """How likely each item is sampled: by how often it is taken, and once more, ``float64[I]``."""
    return (counts + 1) / (counts + 1).sum()
