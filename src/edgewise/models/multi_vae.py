"""Multi-VAE: an autoencoder of histories with a multinomial likelihood (Liang et al., WWW 2018).

arXiv 1802.05814. A history x, ``{0, 1}[I]``, is encoded as a Gaussian over a small z and decoded to
a share of every item, ``pi(z) = softmax(f(z))``. The negative ELBO of a user (section 2.2), to be
made small, is

    ``- sum over i of x_i log pi_i(z) + beta KL(q(z | x) || N(0, 1))``

The encoder reads ``dropout(x / |x|)``, both networks have one hidden layer with tanh (section 4.3:
I - 600 - 200 - 600 - I), and beta rises with every step to a cap (section 2.2.2). When asked, z is
the mean of its Gaussian: users are their histories, so that people who are not in the data are
answered as those who are.

Nothing as long as the catalogue is made but the rows of a batch.

Shapes: B users, I items, H hidden, Z latent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from edgewise.config import MethodConfig, section, setting
from edgewise.data.ragged import Ragged
from edgewise.data.splits import Split
from edgewise.models.autoencoder import HistoryAutoencoder
from edgewise.models.base import TensorBatch, TorchRecommender
from edgewise.training.config import TrainingConfig


class MultiVAEConfig(MethodConfig):
    """Settings of Multi-VAE."""

    hidden_size: int = setting(600, "Width between a history and z.", ge=1)
    latent_size: int = setting(200, "Numbers of z.", symbol="K", ge=1)
    dropout: float = setting(0.5, "Of the items that are read.", ge=0, lt=1)
    beta: float = setting(0.2, "What the KL term counts at most.", symbol="beta", ge=0)
    anneal_steps: int = setting(
        200_000, "Steps in which it would rise from 0 to 1; it stops at beta.", ge=1
    )
    training: TrainingConfig = section(
        TrainingConfig,
        epochs=200,
        batch_size=500,
        patience=20,
        validation_metric="NDCG@10",
        weight_decay=0.0,
        max_grad_norm=0.0,
    )


@dataclass(frozen=True)
class HistoryBatch(TensorBatch):
    """Users, ``int64[B]``, and the distinct items of each, padded with -1, ``int64[B, S]``.

    ``noise`` is what latent vectors are drawn by, ``float32[B, Z]``; None takes the means.
    """

    users: torch.Tensor
    items: torch.Tensor
    noise: torch.Tensor | None = None


class MultiVAENetwork(HistoryAutoencoder):
    """Encoder, decoder and loss.

    Args:
        config: settings.
        num_items: I.
    """

    def __init__(self, config: MultiVAEConfig, num_items: int) -> None:
        super().__init__(config.dropout, config.anneal_steps, config.beta)
        self.config = config
        hidden, latent = config.hidden_size, config.latent_size
        self.read = nn.Parameter(torch.empty(num_items, hidden))
        self.read_bias = nn.Parameter(torch.zeros(hidden))
        self.gaussian = nn.Linear(hidden, 2 * latent)
        self.widen = nn.Linear(latent, hidden)
        self.items = nn.Parameter(torch.empty(num_items, hidden))
        self.items_bias = nn.Parameter(torch.zeros(num_items))
        for weight in (self.read, self.items, self.gaussian.weight, self.widen.weight):
            nn.init.xavier_normal_(weight)
        for layer in (self.gaussian, self.widen):
            nn.init.zeros_(layer.bias)
        self.register_buffer("steps", torch.tensor(0))  # saved, so that a resumed run goes on

    def read_table(self) -> torch.Tensor:
        return self.read

    def forward(self, batch: HistoryBatch) -> torch.Tensor:
        """The mean negative ELBO of a batch."""
        return self.users_loss(batch.items, batch.noise)


class MultiVAE(TorchRecommender):
    """Ranks items by the share that a decoded history gives them; see the module."""

    name, label = "multi-vae", "Multi-VAE"
    paper = "Liang et al., WWW 2018, arXiv 1802.05814"
    Config = MultiVAEConfig
    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        # Seconds, for the demo and for tests.
        "tiny": {
            "hidden_size": 32,
            "latent_size": 8,
            "anneal_steps": 400,
            "training": {"epochs": 60, "batch_size": 16, "learning_rate": 5e-3},
        },
        # For data of Beauty's size on two cores.
        "cpu": {
            "hidden_size": 200,
            "latent_size": 100,
            "anneal_steps": 20_000,
            "training": {
                "epochs": 10,
                "patience": 5,
                "learning_rate": 2e-3,
                "schedule": "cosine",
                "precision": "fp32",
            },
        },
        "paper": {},
    }
    LAYOUTS: ClassVar = {"steps": ()}  # beta goes on from where it was
    network: MultiVAENetwork

    def build(self, split: Split | None) -> MultiVAENetwork:
        return MultiVAENetwork(self.config, len(self.data.items))

    def examples(self, split: Split) -> int:
        self._users = np.flatnonzero(self.data.histories.lengths)
        return len(self._users)

    def training_batch(self, rows: np.ndarray, rng: np.random.Generator) -> HistoryBatch:
        users = self._users[rows]
        items = self._distinct(self.data.histories.take(users))
        noise = rng.standard_normal((len(users), self.config.latent_size), np.float32)
        return HistoryBatch(*map(torch.from_numpy, (users, items, noise)))

    def _distinct(self, histories: Ragged) -> np.ndarray:
        """The items of each history once, padded with -1, ``int64[B, S]``."""
        taken = self.matrix(histories)
        lengths = np.diff(taken.indptr)
        found = np.full((len(lengths), max(int(lengths.max(initial=0)), 1)), -1, dtype=np.int64)
        found[np.arange(found.shape[1]) < lengths[:, None]] = taken.indices
        return found

    def encode(self, users: np.ndarray, histories: Ragged) -> torch.Tensor:
        """The decoded mean of each history, and a 1 for the items' bias, ``[B, H + 1]``."""
        items = torch.from_numpy(self._distinct(histories)).to(self.device)
        decoded = self.network.decode(self.network.encode(items)[0])
        return F.pad(decoded, (0, 1), value=1.0)

    def item_vectors(self) -> torch.Tensor:
        return torch.cat([self.network.items, self.network.items_bias[:, None]], dim=1)
