"""MD-CVAE: autoencoders of histories and of texts that hold each other in place.

Zhu and Chen, "Mutually-Regularized Dual Collaborative Variational Auto-encoder for Recommendation
Systems", WWW 2022.

The user side is Multi-VAE: a history x, ``{0, 1}[I]``, is encoded as a Gaussian over u and decoded
to a share of every item. It is symmetric: both ends share one table of item embeddings V,

    ``h = tanh(dropout(x / |x|) V + a)``, ``u ~ N(mean(h), var(h))``,
    ``pi = softmax(tanh(g(u)) V^T + c)``.

The item side is an autoencoder of each item's text t, whose Gaussian over z, ``N(m(t), s(t))``, is
as wide as a row of V. Each is the other's prior: ``lambda_v / 2 |V_i - m(t_i)|^2`` keeps embeddings
near texts where there are few histories, and pulls what is read from texts to what histories say.
To be made small is, with U users,

    ``mean over users of (- sum over i of x_i log pi_i + beta KL(u)) + I / U mean over items of
    (|t - t'|^2 / 2 + KL(z) + lambda_v / 2 |V_i - m(t_i)|^2)``.

An item without train rows takes m(t) for its embedding and the mean bias, so that it can be
recommended, and read, from its first day.

Simplified: both sides move in each step, by a sample of the items, where the paper turns from one
to the other; the item side is not pre-trained layer by layer; a text is a vector of
:class:`ItemTexts`, scaled to numbers of size 1, under a Gaussian, where the paper has words under
a Bernoulli.

Shapes: B users, M sampled items, I items, H numbers of an item's embedding, Z of u, T of a text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from edgewise.config import MethodConfig, section, setting
from edgewise.data.dataset import Dataset
from edgewise.data.ragged import Ragged
from edgewise.data.sequences import padded
from edgewise.data.splits import Split
from edgewise.item_texts import TextConfig
from edgewise.models.autoencoder import HistoryAutoencoder, divergence, drawn
from edgewise.models.base import TensorBatch
from edgewise.models.item_descriptions import DescribedRecommender, ItemDescriptions
from edgewise.models.next_item import with_bias, with_ones
from edgewise.training.config import TrainingConfig


class MDCVAEConfig(MethodConfig):
    """Settings of MD-CVAE."""

    item_size: int = setting(100, "Numbers of an item's embedding.", symbol="K_v", ge=1)
    latent_size: int = setting(50, "Numbers of a user's vector.", symbol="K_u", ge=1)
    text_hidden_size: int = setting(200, "Width between a text and its z.", ge=1)
    dropout: float = setting(0.5, "Of the items that are read.", ge=0, lt=1)
    beta: float = setting(0.2, "What the KL term of users counts at most.", ge=0)
    anneal_steps: int = setting(
        20_000, "Steps in which it would rise from 0 to 1; it stops at beta.", ge=1
    )
    lambda_v: float = setting(
        10.0, "How tightly embeddings and texts hold each other.", symbol="lambda_V", ge=0
    )
    num_sampled_items: int = setting(500, "Items of a batch whose texts are read.", ge=1)
    texts: TextConfig = section(TextConfig)
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
class DualBatch(TensorBatch):
    """Users and items of a batch.

    Attributes:
        histories: the distinct items of each user, filled up with -1, ``int64[B, S]``.
        sampled: items whose texts are read, ``int64[M]``.
        noise: that users' vectors are drawn by, ``float32[B, Z]``; None takes the means.
        text_noise: that items' vectors are drawn by, ``float32[M, H]``, or None.
    """

    histories: torch.Tensor
    sampled: np.ndarray
    noise: torch.Tensor | None = None
    text_noise: np.ndarray | None = None


class ItemAutoencoder(nn.Module):
    """A Gaussian over z from a text, and a text from z, with one hidden layer each.

    Args:
        text_size: T.
        hidden_size: between.
        latent_size: H.
    """

    def __init__(self, text_size: int, hidden_size: int, latent_size: int) -> None:
        super().__init__()
        self.inner = nn.Linear(text_size, hidden_size)
        self.gaussian = nn.Linear(hidden_size, 2 * latent_size)
        self.outer = nn.Linear(latent_size, hidden_size)
        self.text = nn.Linear(hidden_size, text_size)

    def encode(self, texts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and log variance of z, ``float[M, H]`` each."""
        mean, log_variance = self.gaussian(torch.tanh(self.inner(texts))).chunk(2, dim=-1)
        return mean, log_variance

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        """Texts, ``float[M, T]``."""
        return self.text(torch.tanh(self.outer(z)))


class MDCVAENetwork(HistoryAutoencoder):
    """Both autoencoders and their loss.

    Args:
        config: settings.
        known: texts of items.
        num_users: U.
    """

    texts: torch.Tensor

    def __init__(self, config: MDCVAEConfig, known: ItemDescriptions, num_users: int) -> None:
        super().__init__(config.dropout, config.anneal_steps, config.beta)
        num_items, text_size = known.texts.shape
        self.config, self.items_a_user = config, num_items / max(num_users, 1)
        self.items = nn.Parameter(torch.empty(num_items, config.item_size))
        self.items_bias = nn.Parameter(torch.zeros(num_items))
        self.read_bias = nn.Parameter(torch.zeros(config.item_size))
        self.gaussian = nn.Linear(config.item_size, 2 * config.latent_size)
        self.widen = nn.Linear(config.latent_size, config.item_size)
        sizes = text_size, config.text_hidden_size, config.item_size
        self.content = ItemAutoencoder(*sizes)
        for part in self.modules():
            if isinstance(part, nn.Linear):
                nn.init.xavier_normal_(part.weight)
                nn.init.zeros_(part.bias)
        nn.init.xavier_normal_(self.items)
        self.register_buffer("texts", known.texts * text_size**0.5)
        self.register_buffer("steps", torch.tensor(0))  # saved, so that a resumed run goes on

    def forward(self, batch: DualBatch) -> torch.Tensor:
        """The loss of users and sampled items."""
        sampled, noise = torch.as_tensor(batch.sampled, device=self.items.device), batch.text_noise
        if noise is not None:
            noise = torch.as_tensor(noise, device=self.items.device)
        of_items = self.items_loss(sampled, noise)
        return self.users_loss(batch.histories, batch.noise) + self.items_a_user * of_items

    def items_loss(self, items: torch.Tensor, noise: torch.Tensor | None = None) -> torch.Tensor:
        """The mean negative ELBO of items' texts, and how far they are from their embeddings."""
        texts = self.texts[items]
        mean, log_variance = self.content.encode(texts)
        again = self.content.decode(drawn(mean, log_variance, noise))
        wrong = (again.float() - texts).square().sum(1) / 2
        apart = (self.items[items] - mean.float()).square().sum(1) / 2
        loss = wrong + divergence(mean, log_variance) + self.config.lambda_v * apart
        return loss.mean()

    @torch.no_grad()
    def place_new_items(self, new: torch.Tensor) -> None:
        """Let items without train rows, ``bool[I]``, be what their texts say."""
        if new.any() and not new.all():
            self.items[new] = self.content.encode(self.texts[new])[0].to(self.items.dtype)
            self.items_bias[new] = self.items_bias[~new].mean()


class MDCVAE(DescribedRecommender):
    """Ranks items by the share that a decoded history gives them; see the module."""

    name, label = "md-cvae", "MD-CVAE"
    paper = "Zhu and Chen, WWW 2022"
    Config = MDCVAEConfig
    SCORE_UNIT = "logit"
    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        # Seconds, for the demo and for tests.
        "tiny": {
            "item_size": 32,
            "latent_size": 8,
            "text_hidden_size": 16,
            "anneal_steps": 400,
            "lambda_v": 1.0,
            "texts": {"size": 8},
            "training": {"epochs": 60, "batch_size": 16, "learning_rate": 5e-3},
        },
        # For data of Beauty's size on two cores.
        "cpu": {
            "item_size": 200,
            "latent_size": 100,
            "lambda_v": 1.0,
            "training": {
                "epochs": 20,
                "batch_size": 256,
                "patience": 5,
                "learning_rate": 2e-3,
                "schedule": "cosine",
                "precision": "fp32",
            },
        },
        # As released for MovieLens, in its own scale of lambda_V.
        "paper": {"lambda_v": 75.0, "training": {"batch_size": 256}},
    }
    LAYOUTS: ClassVar = {"steps": ()}  # beta goes on from where it was
    network: MDCVAENetwork

    def known_texts(self) -> torch.Tensor:
        """As they were before the network scaled them."""
        texts = self.network.texts
        return texts / texts.shape[1] ** 0.5

    def describe(self, dataset: Dataset) -> ItemDescriptions:
        return ItemDescriptions.of(dataset, self.name, self.config.texts, None)

    def build(self, split: Split | None) -> MDCVAENetwork:
        return MDCVAENetwork(self.config, self.descriptions(split), len(self.data.users))

    def examples(self, split: Split) -> int:
        self._users = np.flatnonzero(self.data.histories.lengths)
        return len(self._users)

    def training_batch(self, rows: np.ndarray, rng: np.random.Generator) -> DualBatch:
        histories = self._distinct(self.data.histories.take(self._users[rows]))
        num_items, config = len(self.data.items), self.config
        sampled = rng.choice(num_items, min(config.num_sampled_items, num_items), False)
        sizes = (len(rows), config.latent_size), (len(sampled), config.item_size)
        noise, text_noise = (rng.standard_normal(size, np.float32) for size in sizes)
        users = torch.from_numpy(histories)
        return DualBatch(users, sampled, torch.from_numpy(noise), text_noise)

    def trained(self, split: Split) -> None:
        new = torch.from_numpy(self.data.item_counts == 0)
        self.network.place_new_items(new.to(self.device))

    def without_cold(self, items: np.ndarray, similarities: np.ndarray) -> np.ndarray:
        """Items without train rows have embeddings, too."""
        return similarities

    def encode(self, users: np.ndarray, histories: Ragged) -> torch.Tensor:
        """The decoded mean of each history, and a 1 for the items' bias, ``[B, H + 1]``."""
        items = torch.from_numpy(self._distinct(histories)).to(self.device)
        return with_ones(self.network.decode(self.network.encode(items)[0]))

    def item_vectors(self) -> torch.Tensor:
        return with_bias(self.network.items, self.network.items_bias)

    def _distinct(self, histories: Ragged) -> np.ndarray:
        """The items of each history once, filled up with -1, ``int64[B, S]``."""
        taken = self.matrix(histories)
        return padded(Ragged(taken.indptr.astype(np.int64), taken.indices), -1)
