"""S3-Rec: a sequence model pre-trained on items, attributes and segments (Zhou et al., CIKM 2020).

arXiv 2008.07873. Items are embedded with their positions, and L blocks of attention and of a
feed-forward layer follow, each as ``norm(x + dropout(g(x)))``; F_t is what leaves the last block at
position t. Before the network is trained to predict the next item, attention goes in both
directions and four things are told apart from what they are not, each by a matrix W of its own:

- the attributes a of an item i (AAP): ``f(i, a) = s(e_i W e_a)``, s the sigmoid;
- a masked item (MIP): ``F_t W e_i`` against an item that the user has not taken;
- the attributes of a masked item (MAP): ``s(F_t W e_a)``;
- a masked segment of the history (SP): the last state of the history without it, times W, times the
  last state of the segment alone, against the segment of another row of the batch.

As in the authors' code, attributes are told by binary cross-entropy over all of them, and losses
are sums over a row, weighed 0.2, 1, 1 and 0.5. Then attention looks back only, and the score of an
item is ``F_t e_i``.

Data without attributes are refused, unless the two objectives that read them have weight 0.

Shapes: B rows, S positions, N items or positions, D hidden, I items, A attributes, M slots of an
item for its attributes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from edgewise.config import check, section, setting
from edgewise.data.dataset import Dataset
from edgewise.data.sequences import NO_TARGET
from edgewise.data.splits import Split
from edgewise.models.base import TensorBatch
from edgewise.models.item_descriptions import DescribedRecommender, ItemDescriptions
from edgewise.models.next_item import (
    NextItemConfig,
    NextItemNetwork,
    NextItemRecommender,
    cloze,
)
from edgewise.models.transformer import Answering, PostNormBlock, check_heads, through
from edgewise.models.warm_start import ITEMS, REST
from edgewise.training.config import TrainingConfig
from edgewise.training.trainer import Stage

OBJECTIVES = ("attribute", "masked_item", "masked_attribute", "segment")


class S3RecConfig(NextItemConfig):
    """Settings of S3-Rec."""

    num_layers: int = setting(2, "Blocks.", symbol="L", ge=1)
    num_heads: int = setting(2, "Of attention; they share hidden_size.", ge=1)
    inner_size: int = setting(256, "Width inside the feed-forward layer.", ge=1)
    min_items: int = setting(5, "Items that an attribute has at least, to be read.", ge=1)
    mask_rate: float = setting(0.2, "Share of items that are masked.", gt=0, lt=1)
    attribute_weight: float = setting(0.2, "Of attributes of items.", symbol="AAP", ge=0)
    masked_item_weight: float = setting(1.0, "Of masked items.", symbol="MIP", ge=0)
    masked_attribute_weight: float = setting(
        1.0, "Of attributes of masked items.", symbol="MAP", ge=0
    )
    segment_weight: float = setting(0.5, "Of masked segments.", symbol="SP", ge=0)
    pretraining: TrainingConfig = section(
        TrainingConfig, epochs=100, batch_size=200, weight_decay=0.0
    )

    def model_post_init(self, context: Any) -> None:
        """Refuse widths that heads cannot share."""
        wrong = check_heads(self.hidden_size, self.num_heads)
        check(not wrong, wrong)

    @property
    def weights(self) -> tuple[float, ...]:
        """Of :data:`OBJECTIVES`."""
        return tuple(getattr(self, f"{name}_weight") for name in OBJECTIVES)

    @property
    def reads_attributes(self) -> bool:
        """Whether an objective needs them."""
        return self.attribute_weight + self.masked_attribute_weight > 0


@dataclass(frozen=True)
class MaskedBatch(TensorBatch):
    """Whole windows, and what is hidden of them, all ``[B, S]``.

    Attributes:
        items: oldest first, filled up at the end with :data:`NO_TARGET`, ``int64``.
        masked: items that are to be told, ``bool``.
        negatives: items that the users have not taken, ``int64``.
        segment: the stretch that is to be told as a whole, ``bool``.
    """

    items: torch.Tensor
    masked: torch.Tensor
    negatives: torch.Tensor
    segment: torch.Tensor


class S3RecNetwork(Answering, NextItemNetwork):
    """The transformer. Item I is the mask.

    Args:
        config: settings.
        counts: how often each item is taken, for sampling, ``[I]``.
        known: attributes of items.
    """

    attributes: torch.Tensor

    def __init__(self, config: S3RecConfig, counts: np.ndarray, known: ItemDescriptions) -> None:
        super().__init__(config, counts)
        width = config.hidden_size
        self.mask, self.weights = len(counts), config.weights
        self.items = nn.Embedding(len(counts) + 1, width)
        self.attribute_table = nn.Embedding(max(known.num_attributes, 1), width)
        # A window of pre-training holds the item after it, too.
        self.positions = nn.Embedding(config.max_items + 1, width)
        self.start = nn.LayerNorm(width)
        sizes = width, config.num_heads, config.inner_size, config.dropout
        self.blocks = nn.ModuleList(PostNormBlock(*sizes) for _ in range(config.num_layers))
        self.matching = nn.ModuleDict(
            {name: nn.Linear(width, width, bias=False) for name in OBJECTIVES}
        )
        self.dropout = nn.Dropout(config.dropout)
        self.register_buffer("attributes", known.attributes)
        self.randomize(config.init_std)

    def states(self, items: torch.Tensor, asked: torch.Tensor | None = None) -> torch.Tensor:
        return self._through(items, None, asked)

    def item_table(self) -> torch.Tensor:
        return self.items.weight[: self.mask]

    def forward(self, batch: Any) -> torch.Tensor:
        """The mean loss over positions with a target; in pre-training, that of rows."""
        return self.pretrain(batch) if isinstance(batch, MaskedBatch) else super().forward(batch)

    def pretrain(self, batch: MaskedBatch) -> torch.Tensor:
        """The four objectives, weighed and summed over a row; the mean over rows."""
        known = batch.items != NO_TARGET
        items = batch.items.clamp(min=0)
        hidden = torch.cat([batch.masked, batch.segment, known & ~batch.segment])
        read = items.repeat(3, 1).masked_fill(hidden, self.mask)
        cloze, outside, inside = self._through(read, known.repeat(3, 1)).chunk(3)
        losses = (
            self._attributes("attribute", self.items(items[known]), items[known]),
            self._masked_items(cloze, items, batch),
            self._attributes("masked_attribute", cloze[batch.masked], items[batch.masked]),
            self._segments(outside, inside, known.sum(1) - 1, batch),
        )
        parts = zip(self.weights, losses, strict=True)
        return torch.stack([weight * loss for weight, loss in parts]).sum() / len(items)

    def _through(
        self,
        items: torch.Tensor,
        known: torch.Tensor | None,
        asked: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The states of all positions; in both directions where items are told, ``[B, S, D]``."""
        x = self.read(items) + self.positions.weight[: items.shape[1]]
        x = self.dropout(self.start(x))
        return through(self.blocks, x, known, asked)

    def _attributes(self, name: str, vectors: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        """How badly vectors ``[N, D]`` tell the attributes of their items ``[N]``."""
        table = self.attribute_table.weight
        scores = (self.matching[name](vectors) @ table.T).float()
        wanted = scores.new_zeros(len(items), len(table) + 1)  # the last one for the filling
        wanted.scatter_(1, self.attributes[items], 1.0)
        return F.binary_cross_entropy_with_logits(scores, wanted[:, :-1], reduction="sum")

    def _masked_items(
        self, states: torch.Tensor, items: torch.Tensor, batch: MaskedBatch
    ) -> torch.Tensor:
        """How little masked items go before others."""
        asked = self.matching["masked_item"](states[batch.masked])
        right, wrong = self.items(items[batch.masked]), self.items(batch.negatives[batch.masked])
        return -F.logsigmoid((asked * (right - wrong)).sum(-1).float()).sum()

    def _segments(
        self, outside: torch.Tensor, inside: torch.Tensor, last: torch.Tensor, batch: MaskedBatch
    ) -> torch.Tensor:
        """How little histories go with their own segment rather than with that of another row."""
        rows = torch.arange(len(last), device=last.device)
        asked, own = self.matching["segment"](outside[rows, last]), inside[rows, last]
        others = batch.rows_of_all(own).roll(1, 0)[batch.place(own.device)]
        return -F.logsigmoid((asked * (own - others)).sum(-1).float()).sum()


class S3Rec(DescribedRecommender, NextItemRecommender):
    """Ranks items by what comes next, after learning which items and attributes go together."""

    name, label = "s3rec", "S3-Rec"
    paper = "Zhou et al., CIKM 2020, arXiv 2008.07873"
    Config = S3RecConfig
    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        # Seconds, for the demo and for tests.
        "tiny": {
            "hidden_size": 32,
            "inner_size": 64,
            "dropout": 0.1,
            "init_std": 0.1,
            "min_items": 1,
            "pretraining": {"epochs": 5, "batch_size": 16, "learning_rate": 5e-3},
            "training": {"epochs": 30, "batch_size": 32, "learning_rate": 5e-3},
        },
        # For data of Beauty's size on two cores.
        "cpu": {
            "hidden_size": 128,
            "num_layers": 1,
            "inner_size": 512,
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
        # As released, whose loss is taken against one item of each position.
        "paper": {
            "loss": "bce",
            "min_items": 1,
            "training": {"batch_size": 256, "weight_decay": 0.0},
        },
    }
    LAYOUTS: ClassVar = {"items.weight": (ITEMS, REST)}  # the mask stands behind the items
    config: S3RecConfig

    def describe(self, dataset: Dataset) -> ItemDescriptions:
        least = self.config.min_items if self.config.reads_attributes else None
        return ItemDescriptions.of(dataset, self.name, None, least)

    def build(self, split: Split | None) -> NextItemNetwork:
        self._known = self.descriptions(split)
        return self.new_network()

    def new_network(self) -> S3RecNetwork:
        return S3RecNetwork(self.config, self.data.item_counts, self._known)

    def stages(self, split: Split) -> Sequence[Stage]:
        stages = super().stages(split)
        if not any(self.config.weights):
            return stages
        return [self.pretraining(split, self.masked_batch, self.config.pretraining), *stages]

    def masked_batch(self, rows: np.ndarray, rng: np.random.Generator) -> MaskedBatch:
        """Windows with their next item, what is masked of them, and a segment of each."""
        items, targets = self._examples.take(rows)
        whole = np.concatenate([items[:, :1], targets], axis=1)
        users = self._examples.windows.user[rows]
        parts = (
            whole,
            cloze(whole, self.config.mask_rate, 0.0, rng),
            self._unseen.draw(users, rng, whole.shape[1]),
            segments((whole != NO_TARGET).sum(1), whole.shape[1], rng),
        )
        return MaskedBatch(*map(torch.from_numpy, parts))


def segments(lengths: np.ndarray, width: int, rng: np.random.Generator) -> np.ndarray:
    """A stretch of each row, of up to half its items, drawn evenly, ``bool[B, width]``.

    Args:
        lengths: items of rows, at least 2, ``int64[B]``.
        width: positions of a row.
        rng: of where they are.
    """
    size = rng.integers(1, lengths // 2 + 1)
    first = rng.integers(0, lengths - size + 1)[:, None]
    place = np.arange(width)
    return (place >= first) & (place < first + size[:, None])
