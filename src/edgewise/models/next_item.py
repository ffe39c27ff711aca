"""Methods that predict the item after each one of a history: what they share beside the network.

A method of this kind is a subclass of :class:`NextItemRecommender` whose network, a subclass of
:class:`NextItemNetwork`, says what each position of a history knows
(:meth:`~NextItemNetwork.states`), or, where only the last few items are read, a subclass of
:class:`WindowNetwork` that says what a window knows (:meth:`~WindowNetwork.window_states`). A score
is the product of that state and a row of :meth:`~NextItemNetwork.item_table`. Examples, batches of
equal weight, sampled items, the losses by their names, the start of item embeddings and how a
history is asked about come with it.

Rows are filled up at their end, so that a plain causal mask is enough, and positions count from the
oldest item that is read.

Shapes: B rows, S positions, N positions with a target, W items of a window, M sampled items, D
hidden, U users, I items.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from edgewise.config import MethodConfig, section, setting
from edgewise.data.ragged import Ragged
from edgewise.data.sequences import NO_TARGET, NextItems, newest, padded
from edgewise.data.splits import Split
from edgewise.errors import DataError
from edgewise.models.base import TensorBatch, TorchRecommender, UnseenItems
from edgewise.models.item_head import (
    OWN_SAMPLE,
    SHARED_SAMPLE,
    ItemLoss,
    ItemSampler,
    LossName,
    has_sparse_gradients,
    told_gradients,
)
from edgewise.training.config import TrainingConfig
from edgewise.training.trainer import Stage


class NextItemConfig(MethodConfig):
    """Settings that all of these methods have."""

    hidden_size: int = setting(64, "Numbers of an embedding.", symbol="d", ge=1, le=4096)
    max_items: int = setting(
        50, "The newest items of a history that are read.", symbol="n", ge=1, le=10_000
    )
    dropout: float = setting(0.5, "Of embeddings and of what blocks add.", ge=0, lt=1)
    init_std: float = setting(0.02, "Standard deviation of the random weights.", gt=0, le=100)
    item_init: Literal["random", "transitions"] = setting(
        "random",
        "Where item embeddings start: random, or transitions, vectors that bring items of the same "
        "paths together, which saves many epochs. Beyond the paper.",
    )
    scale_items: bool = setting(
        False,
        "Items are read as sqrt(hidden_size) times their embedding, so that what layers add at "
        "first does not drown it. As in SASRec's release.",
    )
    loss: LossName = setting(
        "softmax",
        "softmax over the catalogue; sampled_softmax: over the target and items sampled by how "
        "often they are taken, with logQ correction; in_batch_softmax: the same among the targets "
        "of the batch; bce and bpr: against items that the user has "
        "not taken; gbce: bce against random items, calibrated; top1: against items sampled by how "
        "often they are taken.",
    )
    num_negatives: int = setting(
        1,
        "Sampled items: of every position (bce, gbce, bpr), or of a batch (sampled_softmax, top1).",
        ge=1,
    )
    calibration: float = setting(
        0.75, "Of gbce: from 0, plain bce, to 1, true probabilities.", symbol="t", ge=0, le=1
    )
    label_smoothing: float = setting(
        0.0, "Of softmax: share of each target that all items are given alike.", ge=0, lt=1
    )
    training: TrainingConfig = section(
        TrainingConfig, epochs=200, batch_size=128, patience=20, validation_metric="NDCG@10"
    )


class WindowConfig(NextItemConfig):
    """Settings of methods that read a window."""

    window: int = setting(5, "The newest items, which are read.", symbol="L", ge=1, le=1000)
    num_targets: int = setting(
        3, "Items after the window that are targets.", symbol="T", ge=1, le=1000
    )
    max_items: int = setting(50, "Items of a history that share a row of a batch.", ge=1, le=10_000)


@dataclass(frozen=True)
class NextItemBatch(TensorBatch):
    """Items and the next one of each, ``int64[B, S]``, as :class:`NextItems` gives them.

    Attributes:
        items: filled up at the end of rows.
        targets: :data:`NO_TARGET` where there is none.
        negatives: ``[B, S, M]``, or ``[M]`` or empty, see :class:`ItemLoss`.
        users: ``int64[B]``.
        num_targets: items after a position that are its targets.
    """

    items: torch.Tensor
    targets: torch.Tensor
    negatives: Any
    users: torch.Tensor
    num_targets: int = 1

    @property
    def weight(self) -> int:
        """Pairs of a position and one of its targets."""
        asked, length = self.targets != NO_TARGET, self.targets.shape[1]
        after = range(min(self.num_targets, length))
        return sum(int((asked[:, : length - n] & asked[:, n:]).sum()) for n in after)


class NextItemNetwork(nn.Module):
    """A table of item embeddings and the loss; a method adds what lies between.

    Args:
        config: settings.
        counts: how often each item is taken, ``[I]``.
    """

    def __init__(self, config: NextItemConfig, counts: np.ndarray) -> None:
        super().__init__()
        asked = config.training.embedding_gradients
        self.sparse_gradients = has_sparse_gradients(asked, config.loss, len(counts))
        sampled = config.num_negatives, config.calibration, config.label_smoothing
        self.item_loss = ItemLoss(config.loss, counts, *sampled, self.sparse_gradients)
        self.items = nn.Embedding(len(counts), config.hidden_size, sparse=self.sparse_gradients)
        self.scale = config.hidden_size**0.5 if config.scale_items else 1.0

    def read(self, items: torch.Tensor) -> torch.Tensor:
        """Items as the first layer reads them, ``int64[...] -> float[..., D]``."""
        return self.items(items) * self.scale

    def states(self, items: torch.Tensor) -> torch.Tensor:
        """What each position knows of itself and earlier ones, ``int64[B, S] -> [B, S, D]``."""
        raise NotImplementedError

    def last_states(
        self, items: torch.Tensor, lengths: torch.Tensor, users: torch.Tensor
    ) -> torch.Tensor:
        """What whole histories say of the item that comes next, ``float[B, D]``.

        Args:
            items: ``int64[B, S]``, filled up at the end.
            lengths: of the histories, at least 1, ``int64[B]``.
            users: ``int64[B]``, -1 for people who are not in the data.
        """
        return self.states_at(items, lengths - 1)

    def states_at(self, items: torch.Tensor, asked: torch.Tensor) -> torch.Tensor:
        """What one position of each row knows, ``int64[B, S]``, ``int64[B] -> float[B, D]``."""
        return self.states(items)[torch.arange(len(items), device=items.device), asked]

    def predictions(self, batch: NextItemBatch) -> tuple[torch.Tensor, torch.Tensor, Any]:
        """States with their targets and sampled items: ``[N, D]``, ``[N]``, ``[N, M]`` or [M]."""
        asked = batch.targets != NO_TARGET
        return self.states(batch.items)[asked], batch.targets[asked], _chosen(batch, asked)

    def item_table(self) -> torch.Tensor:
        """What states are multiplied with, ``float[I, D]``."""
        return self.items.weight

    def forward(self, batch: NextItemBatch) -> torch.Tensor:
        """The mean loss over positions with a target."""
        states, targets, negatives = self.predictions(batch)
        return self.item_loss(states, self.item_table(), targets, negatives)

    @torch.no_grad()
    def start_items(self, start: torch.Tensor) -> None:
        """Let item embeddings begin with ``float[I, D]``."""
        self.items.weight[: len(start)] = start

    def embedding_parameters(self) -> list[torch.Tensor]:
        """Tables, which ``training.embedding_lr_multiplier`` is for."""
        return [part.weight for part in self.modules() if isinstance(part, nn.Embedding)]

    def randomize(self, std: float) -> None:
        """Draw tables and matrices anew from a normal distribution; biases start at 0."""
        for part in self.modules():
            if isinstance(part, nn.Embedding | nn.Linear):
                nn.init.normal_(part.weight, std=std)
            if isinstance(part, nn.Linear) and part.bias is not None:
                nn.init.zeros_(part.bias)


class WindowNetwork(NextItemNetwork):
    """A network that reads the W newest items, and the user, to predict the T that come next.

    Args:
        config: settings.
        counts: how often each item is taken, ``[I]``.
        num_users: U.
        user_size: numbers of a user's embedding.
    """

    def __init__(
        self, config: WindowConfig, counts: np.ndarray, num_users: int, user_size: int
    ) -> None:
        super().__init__(config, counts)
        self.size, self.num_targets = config.window, config.num_targets
        self.users = nn.Embedding(num_users, user_size, sparse=self.sparse_gradients)

    @abstractmethod
    def window_states(
        self, vectors: torch.Tensor, known: torch.Tensor, users: torch.Tensor
    ) -> torch.Tensor:
        """What windows say of the items that come next, ``float[N, D']``.

        Args:
            vectors: of their items, oldest first, 0 before the first, ``float[N, W, D]``.
            known: where there is an item, ``bool[N, W]``.
            users: their embeddings, ``float[N, D_u]``.
        """

    def predictions(self, batch: NextItemBatch) -> tuple[torch.Tensor, torch.Tensor, Any]:
        asked = batch.targets != NO_TARGET
        row, _ = place = torch.nonzero(asked, as_tuple=True)
        windows = self._before(batch.items).unfold(1, self.size, 1)[place]  # [N, W]
        states = self._of(windows, self.users(batch.users[row]))
        # The T items after each position; one after another they are pairs of their own.
        length = self.num_targets - 1
        later = F.pad(batch.targets, (0, length), value=NO_TARGET).unfold(1, length + 1, 1)[place]
        at, _ = torch.nonzero(later != NO_TARGET, as_tuple=True)
        negatives = batch.negatives
        if isinstance(negatives, torch.Tensor):
            each = negatives[place].unflatten(1, (length + 1, -1))  # [N, T, M]
            negatives = each[later != NO_TARGET]
        return states[at], later[later != NO_TARGET], negatives

    def last_states(
        self, items: torch.Tensor, lengths: torch.Tensor, users: torch.Tensor
    ) -> torch.Tensor:
        place = lengths[:, None] + torch.arange(self.size, device=items.device)
        windows = self._before(items, self.size).gather(1, place)
        return self._of(windows, self._users(users))

    def _before(self, items: torch.Tensor, filling: int | None = None) -> torch.Tensor:
        """Nothing, as often as a window at the first position needs, and the items."""
        size = self.size - 1 if filling is None else filling
        return F.pad(items, (size, 0), value=NO_TARGET)

    def _of(self, windows: torch.Tensor, users: torch.Tensor) -> torch.Tensor:
        known = windows != NO_TARGET
        vectors = self.read(windows.clamp(min=0)) * known[..., None]
        return self.window_states(vectors, known, users)

    def _users(self, users: torch.Tensor) -> torch.Tensor:
        """Embeddings; people who are not in the data are like the mean of those who are."""
        own, mean = self.users(users.clamp(min=0)), self.users.weight.mean(0)
        return torch.where(users[:, None] >= 0, own, mean)


class NextItemRecommender(TorchRecommender):
    """Ranks items by what usually comes after a history like this one."""

    RESERVED: ClassVar[int] = 0
    """Positions of a row that are kept free, such as for a mask."""
    config: NextItemConfig
    network: NextItemNetwork

    @abstractmethod
    def new_network(self) -> NextItemNetwork:
        """The network with random weights."""

    def build(self, split: Split | None) -> NextItemNetwork:
        return self.new_network()

    def plan(self, stages: Sequence[Stage]) -> tuple[tuple[str, str], ...]:
        return (*super().plan(stages), *told_gradients(self.network))

    def start(self, split: Split) -> None:
        """Give items vectors of their transitions, unless they have learned some already."""
        config = self.config
        if config.item_init == "transitions" and self.older is None:
            from edgewise.graph.transitions import transition_features

            sizes = len(self.data.items), config.hidden_size
            start = transition_features(self.data.histories, *sizes, config.seed)
            self.network.start_items(torch.from_numpy(start * config.init_std))

    def examples(self, split: Split) -> np.ndarray:
        histories = self.data.histories
        if not (histories.lengths > 1).any():
            raise DataError(
                f"data set {split.dataset.name!r} has no user with two train rows, and {self.name} "
                "learns which item follows another: import more rows of each user, or fit a "
                "method that needs no order, such as ease or lightgcn"
            )
        self._examples = NextItems(histories, self.config.max_items - self.RESERVED)
        self._unseen = UnseenItems(histories, len(self.data.items))
        self._sampler = ItemSampler(self.data.item_counts)
        return self._examples.windows.num_targets

    def training_batch(self, rows: np.ndarray, rng: np.random.Generator) -> NextItemBatch:
        items, targets = self.rows(rows, rng)
        users = self._examples.windows.user[rows]
        return NextItemBatch(
            torch.from_numpy(items),
            torch.from_numpy(targets),
            self.negatives(users, items.shape[1], rng),
            torch.from_numpy(users.astype(np.int64)),
            self._num_targets,
        )

    @property
    def _num_targets(self) -> int:
        return getattr(self.config, "num_targets", 1)

    def rows(self, rows: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """What is read of some examples, and what is to be told of it, both ``int64[B, S]``.

        See :class:`NextItemBatch`; a method with another task than the next item overrides it.
        """
        return self._examples.take(rows)

    def negatives(self, users: np.ndarray, length: int, rng: np.random.Generator) -> Any:
        """Sampled items as the loss wants them: an array ``[M]``, or a tensor ``[B, S, M]``."""
        count = self.config.num_negatives
        if self.config.loss in SHARED_SAMPLE:
            return self._sampler.draw(count, rng)
        if self.config.loss in OWN_SAMPLE:
            count *= self._num_targets
            return torch.from_numpy(self._unseen.draw(users, rng, length, count))
        return np.empty(0, np.int64)

    def encode(self, users: np.ndarray, histories: Ragged) -> torch.Tensor:
        """What every history says of the item that comes next, ``[B, D]``."""
        read = newest(histories, self.config.max_items - self.RESERVED)
        parts = padded(read, 0), read.lengths, users
        return self.network.last_states(
            *(torch.from_numpy(part.astype(np.int64)).to(self.device) for part in parts)
        )

    def item_vectors(self) -> torch.Tensor:
        return self.network.item_table()


def with_ones(states: torch.Tensor) -> torch.Tensor:
    """One more column of ones, which an item table with its bias as a column is multiplied by."""
    return F.pad(states, (0, 1), value=1.0)


def with_bias(table: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """An item table ``[I, D]`` with a bias of each item ``[I]`` as one more column."""
    return torch.cat([table, bias[:, None]], dim=1)


def cloze(
    items: np.ndarray, mask_rate: float, last_rate: float, rng: np.random.Generator
) -> np.ndarray:
    """Which positions are masked, ``bool[B, S]``: at least one item of each row, never the filling.

    Args:
        items: filled up at the end with :data:`NO_TARGET`, no row empty, ``int64[B, S]``.
        mask_rate: share of items, rho.
        last_rate: share of rows of which the last item alone is masked.
        rng: of both.
    """
    known = items != NO_TARGET
    last = np.arange(items.shape[1]) == known.sum(1, keepdims=True) - 1
    masked = (rng.random(items.shape) < mask_rate) & known
    alone = (rng.random(len(items)) < last_rate) | ~masked.any(1)
    return np.where(alone[:, None], last, masked)


def _chosen(batch: NextItemBatch, asked: torch.Tensor) -> Any:
    """The sampled items of the positions asked for, or those that all share."""
    own = isinstance(batch.negatives, torch.Tensor)
    return batch.negatives[asked] if own else batch.negatives
