"""SimpleX: a cosine loss with many negatives, and users who are their history (Mao et al., 2021).

CIKM 2021, arXiv 2109.12613. A user is what the user's items hold on average, mixed with an
embedding of the user's own (section 3.3, with average pooling):

    ``h_u = g e_u + (1 - g) V p_u``, p_u the mean of the embeddings of the user's newest items

A score is the cosine of h_u and the item's embedding. The cosine contrastive loss (section 3.2)
takes negatives whose cosine is above a margin m:

    ``L_CCL(u, i) = (1 - cos(u, i)) + w / M * sum over M items j of max(0, cos(u, j) - m)``

``hide_target``, beyond the paper, takes the item that is to be found out of the history that it is
found from. ``shared_negatives``, too, lets all pairs of a batch share their M items, which costs a
matrix product instead of M rows a pair.

Shapes: B pairs, M sampled items, U users, I items, D embedding size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from edgewise.config import MethodConfig, section, setting
from edgewise.data.ragged import Ragged
from edgewise.data.sequences import newest
from edgewise.data.splits import Split
from edgewise.models.base import TensorBatch, TorchRecommender, UnseenItems
from edgewise.training.config import TrainingConfig


class SimpleXConfig(MethodConfig):
    """Settings of SimpleX."""

    embedding_size: int = setting(64, "Numbers of an embedding.", ge=1)
    init_std: float = setting(0.1, "Standard deviation of embeddings at the start.", gt=0)
    own_share: float = setting(
        0.5, "What a user's own embedding counts beside the history.", symbol="g", ge=0, le=1
    )
    max_items: int = setting(50, "The newest items of a history that are read.", symbol="K", ge=1)
    num_negatives: int = setting(
        1000, "Sampled items: of every pair, or of a batch (shared_negatives).", ge=1
    )
    shared_negatives: bool = setting(
        False, "Whether the pairs of a batch share their sampled items. Beyond the paper."
    )
    negative_weight: float = setting(
        10.0, "What negatives count beside the positive.", symbol="w", ge=0
    )
    margin: float = setting(
        0.5, "Negatives with a smaller cosine do not count.", symbol="m", ge=-1, le=1
    )
    hide_target: bool = setting(
        False, "Whether the item to be found is left out of its user's history. Beyond the paper."
    )
    dropout: float = setting(0.0, "Of users' vectors.", ge=0, lt=1)
    l2: float = setting(
        1e-5, "The penalty on the batch's embeddings, own ones and targets'.", symbol="lambda", ge=0
    )
    training: TrainingConfig = section(
        TrainingConfig,
        epochs=100,
        batch_size=1024,
        patience=10,
        validation_metric="NDCG@10",
        weight_decay=0.0,
        max_grad_norm=0.0,
    )


@dataclass(frozen=True)
class HistoryPairs(TensorBatch):
    """Users, their items and their histories.

    ``negatives`` are ``[B, M]``, or ``[M]`` where they are shared; ``history`` holds the items of
    all rows after each other, ``int64[n]``, and ``row`` which of the B rows each belongs to.
    """

    users: torch.Tensor
    items: torch.Tensor
    negatives: Any
    history: Any
    row: Any

    def take(self, part: slice) -> Self:
        """A process's part, with the histories of its rows."""
        place = np.full(len(self), -1)
        place[part] = np.arange(len(place[part]))
        row = place[self.row]
        kept = row >= 0
        return replace(super().take(part), history=self.history[kept], row=row[kept])


class SimpleXNetwork(nn.Module):
    """Embeddings of users and items, V, and the loss.

    Args:
        config: settings.
        num_users, num_items: U and I.
    """

    def __init__(self, config: SimpleXConfig, num_users: int, num_items: int) -> None:
        super().__init__()
        self.config, size = config, config.embedding_size
        self.users = nn.Parameter(torch.empty(num_users, size).normal_(std=config.init_std))
        self.items = nn.Parameter(torch.empty(num_items, size).normal_(std=config.init_std))
        self.mix = nn.Linear(size, size, bias=False)
        nn.init.eye_(self.mix.weight)
        self.dropout = nn.Dropout(config.dropout)

    def represent(self, own: torch.Tensor, pooled: torch.Tensor) -> torch.Tensor:
        """``h_u`` of length 1, from own embeddings and means of histories, ``[B, D]``."""
        share = self.config.own_share
        return F.normalize(share * own + (1 - share) * self.mix(pooled), dim=-1)

    def pool(self, num_rows: int, history: torch.Tensor, row: torch.Tensor) -> torch.Tensor:
        """Means of histories ``[B, D]``; zeros for an empty one. See :class:`HistoryPairs`."""
        sums = self.items.new_zeros(num_rows, self.items.shape[1])
        sums = sums.index_add(0, row, self.items[history])
        return sums / torch.bincount(row, minlength=num_rows)[:, None].clamp(min=1)

    def forward(self, batch: HistoryPairs) -> torch.Tensor:
        """The mean loss of a batch."""
        config, device = self.config, self.items.device
        parts = (batch.negatives, batch.history, batch.row)
        negatives, history, row = (torch.as_tensor(part, device=device) for part in parts)
        own, targets = self.users[batch.users], self.items[batch.items]
        users = self.dropout(self.represent(own, self.pool(len(batch), history, row)))
        others = F.normalize(self.items[negatives], dim=-1)
        positive = (users * F.normalize(targets, dim=-1)).sum(-1)
        pattern = "bd,md->bm" if negatives.dim() == 1 else "bd,bmd->bm"
        near = (torch.einsum(pattern, users, others) - config.margin).relu()
        if negatives.dim() == 1:
            near = near.masked_fill(batch.items[:, None] == negatives, 0)
        loss = (1 - positive + config.negative_weight * near.mean(1)).mean()
        penalty = (own.square().sum() + targets.square().sum()) / len(batch)
        return loss + config.l2 / 2 * penalty


class SimpleX(TorchRecommender):
    """Ranks items by the cosine with the user's mixed embedding; see the module."""

    name, label = "simplex", "SimpleX"
    paper = "Mao et al., CIKM 2021, arXiv 2109.12613"
    Config = SimpleXConfig
    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        # Seconds, for the demo and for tests.
        "tiny": {
            "embedding_size": 16,
            "num_negatives": 8,
            "margin": 0.0,
            "training": {"epochs": 40, "batch_size": 64, "learning_rate": 1e-2},
        },
        # For data of Beauty's size on two cores: users are their histories alone.
        "cpu": {
            "embedding_size": 256,
            "own_share": 0.0,
            "dropout": 0.4,
            "num_negatives": 1024,
            "shared_negatives": True,
            "hide_target": True,
            "negative_weight": 20.0,
            "margin": 0.3,
            "training": {
                "epochs": 10,
                "patience": 5,
                "learning_rate": 6e-3,
                "schedule": "cosine",
                "precision": "fp32",
            },
        },
        # Margin, weight and g are searched for every data set in the paper; here they are the
        # defaults.
        "paper": {"training": {"learning_rate": 1e-4}},
    }
    network: SimpleXNetwork

    def build(self, split: Split | None) -> SimpleXNetwork:
        return SimpleXNetwork(self.config, len(self.data.users), len(self.data.items))

    def examples(self, split: Split) -> int:
        self._unseen = UnseenItems(self.data.histories, len(self.data.items))
        return len(self.data.histories.values)

    def training_batch(self, rows: np.ndarray, rng: np.random.Generator) -> HistoryPairs:
        config, histories = self.config, self.data.histories
        users, items = histories.row_of_value[rows], histories.values[rows].astype(np.int64)
        read = newest(histories.take(users), config.max_items)
        history, row = read.values.astype(np.int64), read.row_of_value
        if config.hide_target:
            others = history != items[row]
            history, row = history[others], row[others]
        if config.shared_negatives:
            negatives = rng.integers(len(self.data.items), size=config.num_negatives)
        else:
            negatives = torch.from_numpy(self._unseen.draw(users, rng, config.num_negatives))
        pair = torch.from_numpy(users), torch.from_numpy(items)
        return HistoryPairs(*pair, negatives, history, row)

    def encode(self, users: np.ndarray, histories: Ragged) -> torch.Tensor:
        """``h_u`` of length 1; people who are not in the data have no embedding of their own."""
        network, read = self.network, newest(histories, self.config.max_items)
        items = torch.from_numpy(read.values.astype(np.int64)).to(self.device)
        row = torch.from_numpy(read.row_of_value).to(self.device)
        known = torch.from_numpy(users >= 0).to(self.device)
        own = network.users[torch.from_numpy(users.clip(min=0)).to(self.device)]
        return network.represent(own * known[:, None], network.pool(len(users), items, row))

    def item_vectors(self) -> torch.Tensor:
        return F.normalize(self.network.items, dim=-1)
