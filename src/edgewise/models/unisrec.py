"""UniSRec: sequences of texts instead of ids (Hou et al., KDD 2022, arXiv 2206.05941).

An item is the vector x of its text (section 2.1). G experts whiten it, and what they say is mixed
by a gate (section 2.2):

- ``x_g = (x - b_g) W_g``;
- ``v = sum over g of softmax(x W_2 + noise * softplus(x W_3))_g x_g``, the noise in training only.

L blocks of causal attention and of a feed-forward layer read v with positions, each as ``norm(x +
dropout(g(x)))``. The state s at a position, of length 1, times an item's vector, of length 1, over
tau is the score.

Pre-training knows no ids (section 2.3). It tells, in a batch, the item after each position from
those after the others, and the last state of a history from those of others after a part of its
items is left out; the latter counts lambda. Fine-tuning (section 2.4) predicts the next item by any
loss over the catalogue, from texts alone (``inductive``: a new item is scored from its first day)
or from v plus an embedding of each item (``transductive``).

Simplified: pre-training and fine-tuning see the same data set, where the paper pre-trains on five
others; every position of a history is asked about, not only the last; words of texts are not left
out at random; a batch has no rows of other domains. The paper keeps the transformer as it was
pre-trained; here ``freeze_encoder`` does.

Shapes: B rows, S positions, N positions with a target, D hidden, I items, T numbers of a text's
vector, G experts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from edgewise.config import check, section, setting
from edgewise.data.dataset import Dataset
from edgewise.data.ragged import Ragged
from edgewise.data.sequences import NO_TARGET, padded
from edgewise.data.splits import Split
from edgewise.item_texts import TextConfig
from edgewise.models.base import TensorBatch
from edgewise.models.item_descriptions import DescribedRecommender, ItemDescriptions
from edgewise.models.item_head import OWN_SAMPLE, SHARED_SAMPLE
from edgewise.models.next_item import NextItemConfig, NextItemNetwork, NextItemRecommender
from edgewise.models.transformer import Answering, PostNormBlock, check_heads, through
from edgewise.training.config import TrainingConfig
from edgewise.training.trainer import Stage


class UniSRecConfig(NextItemConfig):
    """Settings of UniSRec."""

    mode: Literal["inductive", "transductive"] = setting(
        "transductive", "inductive: items are their texts; transductive: and an embedding of each."
    )
    num_layers: int = setting(2, "Blocks.", symbol="L", ge=1)
    num_heads: int = setting(2, "Of attention; they share hidden_size.", ge=1)
    inner_size: int = setting(256, "Width inside the feed-forward layer.", ge=1)
    num_experts: int = setting(8, "Whitenings that are mixed.", symbol="G", ge=1)
    adaptor_dropout: float = setting(0.2, "Of texts.", ge=0, lt=1)
    temperature: float = setting(0.07, "Cosines are divided by it.", symbol="tau", gt=0)
    pretrain: bool = setting(True, "Contrastive pre-training comes first.")
    drop_rate: float = setting(
        0.2, "Share of items left out of a history's other view.", ge=0, lt=1
    )
    sequence_weight: float = setting(
        1e-3, "Of telling histories from each other.", symbol="lambda", ge=0
    )
    freeze_encoder: bool = setting(
        False, "The transformer stays as it was pre-trained, as in the paper."
    )
    texts: TextConfig = section(TextConfig)
    pretraining: TrainingConfig = section(
        TrainingConfig, epochs=50, batch_size=512, weight_decay=0.0
    )

    def model_post_init(self, context: Any) -> None:
        """Refuse widths that heads cannot share, and embeddings that are not there."""
        wrong = check_heads(self.hidden_size, self.num_heads)
        check(not wrong, wrong)
        check(
            self.mode == "transductive" or self.item_init == "random",
            f"item_init = {self.item_init!r} starts embeddings of items, and with mode = "
            "'inductive' there are none: set item_init=random, or mode=transductive",
        )


@dataclass(frozen=True)
class ContrastBatch(TensorBatch):
    """Histories in two views, oldest first, all ``int64``.

    Attributes:
        items: filled up at the end of rows, ``[B, S]``.
        targets: the next item of each position, :data:`NO_TARGET` where there is none, ``[B, S]``.
        other: the same rows with some items left out, filled up at the end, ``[B, S']``.
        other_lengths: of these, ``[B]``.
    """

    items: torch.Tensor
    targets: torch.Tensor
    other: torch.Tensor
    other_lengths: torch.Tensor


class Adaptor(nn.Module):
    """A mixture of whitenings, ``float[..., T] -> float[..., D]``.

    Args:
        text_size: T.
        hidden_size: D.
        num_experts: G.
        dropout: of what is read.
    """

    def __init__(self, text_size: int, hidden_size: int, num_experts: int, dropout: float) -> None:
        super().__init__()
        self.experts = num_experts
        self.shift = nn.Parameter(torch.zeros(num_experts, text_size))
        self.whiten = nn.Linear(text_size, num_experts * hidden_size, bias=False)
        self.gate = nn.Linear(text_size, num_experts, bias=False)
        self.noise = nn.Linear(text_size, num_experts, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, texts: torch.Tensor) -> torch.Tensor:
        gate = self.gate(texts)
        if self.training:
            gate = gate + torch.randn_like(gate) * F.softplus(self.noise(texts))
        weights = self.whiten.weight.unflatten(0, (self.experts, -1))  # [G, D, T]
        moved = torch.einsum("gdt,gt->gd", weights, self.shift)
        said = self.whiten(self.dropout(texts)).unflatten(-1, (self.experts, -1)) - moved
        return (gate.softmax(-1)[..., None] * said).sum(-2)


class UniSRecNetwork(Answering, NextItemNetwork):
    """Adaptor and transformer.

    Args:
        config: settings.
        counts: how often each item is taken, for sampling, ``[I]``.
        known: texts of items.
    """

    texts: torch.Tensor

    def __init__(self, config: UniSRecConfig, counts: np.ndarray, known: ItemDescriptions) -> None:
        super().__init__(config, counts)
        width, text_size = config.hidden_size, known.texts.shape[1]
        self.temperature, self.sequence_weight = config.temperature, config.sequence_weight
        self.has_embeddings = config.mode == "transductive"
        if not self.has_embeddings:
            del self.items
        self.adaptor = Adaptor(text_size, width, config.num_experts, config.adaptor_dropout)
        self.positions = nn.Embedding(config.max_items, width)
        self.start = nn.LayerNorm(width)
        sizes = width, config.num_heads, config.inner_size, config.dropout
        self.blocks = nn.ModuleList(PostNormBlock(*sizes) for _ in range(config.num_layers))
        self.dropout = nn.Dropout(config.dropout)
        self.register_buffer("texts", known.texts)
        self.randomize(config.init_std)

    def states(self, items: torch.Tensor, asked: torch.Tensor | None = None) -> torch.Tensor:
        """What each position knows, of length 1 over tau, ``[B, S] -> [B, S, D]``."""
        return self._through(self._vectors(items), asked)

    def item_table(self) -> torch.Tensor:
        """Vectors of all items, of length 1."""
        vectors = self.adaptor(self.texts)
        return F.normalize(vectors + self.items.weight if self.has_embeddings else vectors, dim=-1)

    def forward(self, batch: Any) -> torch.Tensor:
        """The mean loss over positions with a target; in pre-training, that of contrasts."""
        if isinstance(batch, ContrastBatch):
            return self.contrast(batch)
        states, targets, negatives = self.predictions(batch)
        if self.item_loss.name not in SHARED_SAMPLE | OWN_SAMPLE:
            return self.item_loss(states, self.item_table(), targets, negatives)
        # Experts are most of the work: they are asked only about items that the loss reads.
        sampled = torch.as_tensor(negatives, device=targets.device).flatten()
        read = torch.cat([targets, sampled]).unique()
        vectors = F.normalize(self._vectors(read), dim=-1)
        table = vectors.new_zeros(len(self.texts), vectors.shape[1]).index_copy(0, read, vectors)
        return self.item_loss(states, table, targets, negatives)

    def contrast(self, batch: ContrastBatch) -> torch.Tensor:
        """Sequence-item contrast, and lambda times sequence-sequence contrast."""
        asked = batch.targets != NO_TARGET
        states = self._through(self.adaptor(self.texts[batch.items]))
        found, device = states[asked], states.device
        everything = batch.of_all.targets.to(device)
        told = everything != NO_TARGET
        targets, place = everything[told], batch.place(device)
        own = (told.flatten().cumsum(0) - 1).view_as(told)[place][told[place]]
        wanted = F.normalize(self.adaptor(self.texts[targets]), dim=-1)
        # The same item after another position is no wrong answer.
        same = targets[own, None] == targets
        same[torch.arange(len(own), device=device), own] = False
        logits = (found @ wanted.T).float().masked_fill(same, -torch.inf)
        # The mean over all positions of the whole batch, of which parts are weighed by their rows.
        share = len(batch.of_all) / (len(batch) * len(targets))
        loss = F.cross_entropy(logits, own, reduction="sum") * share
        if not self.sequence_weight:
            return loss
        rows = torch.arange(len(states), device=device)
        last = states[rows, asked.sum(1) - 1]
        other = self._through(self.adaptor(self.texts[batch.other]))[rows, batch.other_lengths - 1]
        logits = (last @ batch.rows_of_all(other).T).float() * self.temperature  # both are over tau
        return loss + self.sequence_weight * F.cross_entropy(logits, place)

    def encoder_parameters(self) -> list[nn.Parameter]:
        """Of the transformer, which pre-training may have the last word on."""
        parts = (self.positions, self.start, self.blocks)
        return [weight for part in parts for weight in part.parameters()]

    def _vectors(self, items: torch.Tensor) -> torch.Tensor:
        vectors = self.adaptor(self.texts[items])
        return vectors + self.items(items) if self.has_embeddings else vectors

    def _through(self, vectors: torch.Tensor, asked: torch.Tensor | None = None) -> torch.Tensor:
        """States after vectors of items, ``float[B, S, D]``."""
        x = self.dropout(self.start(vectors + self.positions.weight[: vectors.shape[1]]))
        return F.normalize(through(self.blocks, x, asked=asked), dim=-1) / self.temperature


class UniSRec(DescribedRecommender, NextItemRecommender):
    """Ranks items by what their texts say of what comes next; see the module."""

    name, label = "unisrec", "UniSRec"
    paper = "Hou et al., KDD 2022, arXiv 2206.05941"
    SCORE_UNIT = "cosine over temperature"
    Config = UniSRecConfig
    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        # Seconds, for the demo and for tests.
        "tiny": {
            "hidden_size": 32,
            "inner_size": 64,
            "num_experts": 2,
            "dropout": 0.1,
            "init_std": 0.1,
            "texts": {"size": 8},
            "pretraining": {"epochs": 5, "batch_size": 16, "learning_rate": 5e-3},
            "training": {"epochs": 30, "batch_size": 32, "learning_rate": 5e-3},
        },
        # For data of Beauty's size on two cores.
        "cpu": {
            "hidden_size": 128,
            "num_layers": 1,
            "inner_size": 512,
            "num_experts": 4,
            "dropout": 0.2,
            "init_std": 0.05,
            "item_init": "transitions",
            "loss": "sampled_softmax",
            "num_negatives": 2048,
            "pretraining": {
                "epochs": 3,
                "batch_size": 128,
                "schedule": "cosine",
                "precision": "fp32",
            },
            "training": {
                "epochs": 5,
                "batch_size": 64,
                "learning_rate": 2e-3,
                "schedule": "cosine",
                "warmup_steps": 50,
                "precision": "fp32",
            },
        },
        # From random embeddings, as long as validation improves, on a GPU.
        "long": {
            "hidden_size": 300,
            "texts": {"size": 300},
            "training": {"epochs": 100, "patience": 15, "schedule": "cosine", "warmup_steps": 200},
        },
        # The published sizes; texts by BERT, the mean of its states instead of its first one.
        "paper": {
            "hidden_size": 300,
            "freeze_encoder": True,
            "texts": {"encoder": "bert-base-uncased", "max_tokens": 512},
            "pretraining": {"epochs": 300, "batch_size": 2048},
            "training": {"epochs": 300, "batch_size": 2048, "patience": 10, "weight_decay": 0.0},
        },
    }
    config: UniSRecConfig
    network: UniSRecNetwork

    def describe(self, dataset: Dataset) -> ItemDescriptions:
        return ItemDescriptions.of(dataset, self.name, self.config.texts, None)

    def build(self, split: Split | None) -> NextItemNetwork:
        self._known = self.descriptions(split)
        return self.new_network()

    def new_network(self) -> UniSRecNetwork:
        return UniSRecNetwork(self.config, self.data.item_counts, self._known)

    def stages(self, split: Split) -> Sequence[Stage]:
        stages = super().stages(split)
        if not self.config.pretrain:
            return stages
        first = self.pretraining(split, self.contrast_batch, self.config.pretraining)
        return [replace(first, on_end=self._freeze), *stages]

    def contrast_batch(self, rows: np.ndarray, rng: np.random.Generator) -> ContrastBatch:
        """Windows with the next items, and the same with some items left out."""
        items, targets = self._examples.take(rows)
        lengths = (targets != NO_TARGET).sum(1)
        known = Ragged.of_lengths(lengths, items[targets != NO_TARGET])
        kept = rng.random(len(known.values)) >= self.config.drop_rate
        kept[known.offsets[1:] - 1] = True  # the newest, so that something is left
        other = known.keep(kept)
        parts = items, targets, padded(other, 0), other.lengths
        return ContrastBatch(*map(torch.from_numpy, parts))

    def without_cold(self, items: np.ndarray, similarities: np.ndarray) -> np.ndarray:
        """Where items are their texts, those without train rows are alike, too."""
        texts_alone = self.config.mode == "inductive"
        return similarities if texts_alone else super().without_cold(items, similarities)

    def _freeze(self) -> None:
        if self.config.freeze_encoder:
            for weight in self.network.encoder_parameters():
                weight.requires_grad_(False)
