"""FDSA: self-attention over items and over what they are (Zhang et al., IJCAI 2019).

"Feature-level Deeper Self-Attention Network for Sequential Recommendation". An item's features are
its brand, its categories and its text; a vanilla attention makes one vector of their embeddings,
with weights from a matrix and a bias of their own:

    ``f = sum over features a of softmax(W e_a + b)_a e_a``

Two transformers read a history, one its items and one their f, each with positions of its own and L
blocks of causal attention and a feed-forward layer as ``norm(x + dropout(g(x)))``. What leaves them
at a position is joined and brought to the width of an item's embedding, whose product with it is
the score:

    ``O = [O_items ; O_features] W + b``

A row of W is a number for each dimension, so that weights are chosen by dimension, as in the
authors' code. Here GELU stands in the blocks for ReLU, a text is one vector of :class:`ItemTexts`
instead of averaged word vectors of its topics, and an item without any feature has one embedding
for that.

Shapes: B rows, S positions, D hidden, I items, A attributes, M slots of an item for its attributes,
T numbers of a text's vector.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from edgewise.config import check, section, setting
from edgewise.data.dataset import Dataset
from edgewise.data.splits import Split
from edgewise.item_texts import TextConfig
from edgewise.models.item_descriptions import DescribedRecommender, ItemDescriptions
from edgewise.models.next_item import NextItemConfig, NextItemNetwork, NextItemRecommender
from edgewise.models.transformer import Answering, PostNormBlock, check_heads, through


class FDSAConfig(NextItemConfig):
    """Settings of FDSA."""

    num_layers: int = setting(1, "Blocks of either transformer.", ge=1)
    num_heads: int = setting(2, "Of attention; they share hidden_size.", ge=1)
    inner_size: int = setting(256, "Width inside the feed-forward layers.", ge=1)
    min_items: int = setting(5, "Items that an attribute has at least, to be read.", ge=1)
    read_texts: bool = setting(True, "Texts are a feature, beside attributes.")
    texts: TextConfig = section(TextConfig)

    def model_post_init(self, context: Any) -> None:
        """Refuse widths that heads cannot share."""
        wrong = check_heads(self.hidden_size, self.num_heads)
        check(not wrong, wrong)


class Stream(nn.Module):
    """A transformer over vectors.

    Args:
        config: settings.
    """

    def __init__(self, config: FDSAConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.positions = nn.Embedding(config.max_items, width)
        self.start = nn.LayerNorm(width)
        sizes = width, config.num_heads, config.inner_size, config.dropout
        self.blocks = nn.ModuleList(PostNormBlock(*sizes) for _ in range(config.num_layers))
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: torch.Tensor, asked: torch.Tensor | None = None) -> torch.Tensor:
        """What each position knows of itself and earlier ones, ``float[B, S, D]``."""
        x = self.dropout(self.start(x + self.positions.weight[: x.shape[1]]))
        return through(self.blocks, x, asked=asked)


class FDSANetwork(Answering, NextItemNetwork):
    """Both transformers, and the attention over features. Attribute A is that there is none.

    Args:
        config: settings.
        counts: how often each item is taken, for sampling, ``[I]``.
        known: attributes and texts of items.
    """

    attributes: torch.Tensor
    texts: torch.Tensor

    def __init__(self, config: FDSAConfig, counts: np.ndarray, known: ItemDescriptions) -> None:
        super().__init__(config, counts)
        width = config.hidden_size
        self.none = known.num_attributes
        self.attribute_table = nn.Embedding(known.num_attributes + 1, width)
        self.read_text = nn.Linear(max(known.texts.shape[1], 1), width)
        self.weigh = nn.Linear(width, width)
        self.item_stream, self.feature_stream = Stream(config), Stream(config)
        self.join = nn.Linear(2 * width, width)
        self.register_buffer("attributes", known.attributes)
        self.register_buffer("texts", known.texts)
        self.randomize(config.init_std)

    def features(self, items: torch.Tensor) -> torch.Tensor:
        """One vector of all that is known of items, ``int64[...] -> float[..., D]``."""
        attributes = self.attributes[items]  # [..., M]
        vectors, there = self.attribute_table(attributes), attributes != self.none
        if self.texts.shape[1]:
            texts = self.texts[items]
            vectors = torch.cat([vectors, self.read_text(texts)[..., None, :]], dim=-2)
            there = torch.cat([there, texts.any(-1, keepdim=True)], dim=-1)
        # The first slot of an item that has nothing tells that.
        there = torch.cat([there[..., :1] | ~there.any(-1, keepdim=True), there[..., 1:]], dim=-1)
        weights = self.weigh(vectors).masked_fill(~there[..., None], -torch.inf).softmax(-2)
        return (weights * vectors).sum(-2)

    def states(self, items: torch.Tensor, asked: torch.Tensor | None = None) -> torch.Tensor:
        """What each position knows of itself and earlier ones, ``[B, S] -> [B, S, D]``."""
        own = self.item_stream(self.read(items), asked)
        features = self.feature_stream(self.features(items), asked)
        return self.join(torch.cat([own, features], dim=-1))


class FDSA(DescribedRecommender, NextItemRecommender):
    """Ranks items by what comes next, after these items and after items like these."""

    name, label = "fdsa", "FDSA"
    paper = "Zhang et al., IJCAI 2019"
    Config = FDSAConfig
    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        # Seconds, for the demo and for tests.
        "tiny": {
            "hidden_size": 32,
            "inner_size": 64,
            "dropout": 0.1,
            "init_std": 0.1,
            "min_items": 1,
            "texts": {"size": 8},
            "training": {"epochs": 30, "batch_size": 32, "learning_rate": 5e-3},
        },
        # For data of Beauty's size on two cores.
        "cpu": {
            "hidden_size": 128,
            "inner_size": 512,
            "dropout": 0.2,
            "init_std": 0.05,
            "item_init": "transitions",
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
        # From random embeddings, as long as validation improves, on a GPU.
        "long": {
            "hidden_size": 256,
            "inner_size": 1024,
            "dropout": 0.3,
            "training": {"epochs": 100, "patience": 15, "schedule": "cosine", "warmup_steps": 200},
        },
        # The published loss and sizes.
        "paper": {
            "hidden_size": 100,
            "inner_size": 100,
            "loss": "bce",
            "min_items": 1,
            "training": {"batch_size": 10, "weight_decay": 0.0},
        },
    }
    config: FDSAConfig

    def describe(self, dataset: Dataset) -> ItemDescriptions:
        texts = self.config.texts if self.config.read_texts else None
        return ItemDescriptions.of(dataset, self.name, texts, self.config.min_items)

    def build(self, split: Split | None) -> NextItemNetwork:
        self._known = self.descriptions(split)
        return self.new_network()

    def new_network(self) -> FDSANetwork:
        return FDSANetwork(self.config, self.data.item_counts, self._known)
