"""The time-ordered stage: the next item at every position of every user's history.

Histories longer than a prompt are cut into windows, so that each train item is a target once an
epoch. Beyond the paper, whose histories have no order.

Shapes: W windows, V validation rows.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
import torch

from edgewise.data.ragged import Ragged
from edgewise.data.sequences import Windows, batches_by_length, windows_of
from edgewise.data.splits import Split
from edgewise.models.base import mean_metric
from edgewise.models.graph_gpt.batch import IGNORED, Distances, PromptBatch, assemble
from edgewise.models.graph_gpt.config import GraphGPTConfig
from edgewise.models.graph_gpt.model import GraphGPTModel
from edgewise.models.graph_gpt.prompts import NOBODY, HistoryWriter
from edgewise.models.graph_gpt.stages.schedule import (
    Latest,
    Stream,
    chunks_of,
    mean_loss,
    share_of,
)
from edgewise.models.graph_gpt.tokens import TokenSpace
from edgewise.models.item_head import MANY_ITEMS, ItemSampler, LossName
from edgewise.models.training_priors import TrainingPriors
from edgewise.training.trainer import Average

MAX_VALIDATION_ROWS = 1000
# A hit or miss tells less of a row than its likelihood does.
MAX_RANKED_ROWS = 5000
_log = logging.getLogger("edgewise")


@dataclass(frozen=True, eq=False)
class SequenceData:
    """Histories in order of time (:class:`edgewise.training.trainer.TrainingData`).

    Windows of similar length share a batch, which saves padding: a batch of short ones has more
    rows than ``batch_size`` and one of long ones fewer, so that every target weighs the same.

    Attributes:
        histories: each user's train items.
        writer: of prompts.
        distances: of the train graph, or None.
        held_out: validation rows as (user, item), ``int64[V, 2]``.
        batch_size: windows of a batch on average.
        user_dropout: share of windows without the user's token.
        seed: of all draws.
        network: ranks all items where a metric of ranking chooses the epoch.
        num_negatives: items sampled for a batch; None where the loss reads all items.
        priors: whose numbers the loss adds to the logits; None adds nothing.
    """

    histories: Ragged
    writer: HistoryWriter
    distances: Distances | None
    held_out: np.ndarray
    batch_size: int
    user_dropout: float
    seed: int
    network: GraphGPTModel | None = None
    num_negatives: int | None = None
    priors: TrainingPriors | None = None

    @cached_property
    def _sampler(self) -> ItemSampler:
        num_items = self.writer.tokens.num_items
        return ItemSampler(np.bincount(self.histories.values, minlength=num_items))

    @cached_property
    def windows(self) -> Windows:
        """All of them."""
        return windows_of(self.histories.lengths, self.writer.room)

    @property
    def num_examples(self) -> int:
        """Windows."""
        return len(self.windows.user)

    @property
    def steps_per_epoch(self) -> int:
        """Batches in which every train item is a target once."""
        return -(-self.num_examples // self.batch_size)

    def batch(self, step: int, part: slice) -> PromptBatch:
        """Batch ``step`` of the run, a function of the seed and the step alone.

        ``part`` selects this process's rows; all of them if it would get none.
        """
        epoch, place = divmod(step, self.steps_per_epoch)
        rows = self._order(epoch)[place]
        rng = np.random.default_rng((self.seed, Stream.SEQUENCE, step, 1))
        unknown = rng.random(len(rows)) < self.user_dropout
        targets_per_row = float(self.windows.num_targets[rows].mean())
        batch = self._training(share_of(rows, part), share_of(unknown, part), targets_per_row)
        if self.num_negatives is None:
            return batch
        sampled = torch.from_numpy(self._sampler.draw(self.num_negatives, rng))
        return replace(batch, negatives=sampled)

    @cached_property
    def _order(self) -> Latest[list[np.ndarray]]:
        """The windows of each batch of an epoch."""
        return Latest(self._drawn)

    def _drawn(self, epoch: int) -> list[np.ndarray]:
        rng = np.random.default_rng((self.seed, Stream.SEQUENCE, epoch))
        return batches_by_length(self.windows.num_targets, self.batch_size, rng)

    def _training(
        self, rows: np.ndarray, unknown: np.ndarray, targets_per_row: float
    ) -> PromptBatch:
        prompts, targets = [], []
        for user, first, last, hide in zip(*(c[rows] for c in self.windows), unknown, strict=True):
            items = self.histories[user]
            # A later window begins with the item before its first target.
            begin = max(first - 1, 0)
            prompts.append(self.writer.write(NOBODY if hide else user, items[begin : last - 1]))
            row = np.full(len(prompts[-1]), IGNORED)
            row[len(row) - (last - first) :] = items[first:last]
            targets.append(row)
        users = self.windows.user[rows]
        batch = self._assembled(users, prompts, targets, targets_per_row)
        return batch if self.priors is None else replace(batch, bonus=self._told(rows))

    def _told(self, rows: np.ndarray) -> torch.Tensor:
        """What priors say of the windows' targets, ``float32[N, I]``."""
        assert self.priors is not None
        windows = Ragged.of_lengths(self.windows.num_targets[rows])
        user = self.windows.user[rows][windows.row_of_value]
        place = self.windows.first[rows][windows.row_of_value] + windows.place_of_value
        before = [self.histories[one][:n] for one, n in zip(user, place, strict=True)]
        return self.priors.of_train(user, Ragged.of_rows(before))

    def _assembled(
        self,
        users: np.ndarray,
        prompts: Sequence[np.ndarray],
        targets: Sequence[np.ndarray],
        targets_per_row: float | None = None,
    ) -> PromptBatch:
        return assemble(
            self.writer.tokens,
            prompts,
            targets,
            distances=self.distances,
            user_index=users,
            targets_per_row=targets_per_row,
        )

    def validate(self, average: Average, metric: str) -> Mapping[str, float]:
        """How well the item after each of a sample of train histories is predicted.

        Args:
            average: means over batches.
            metric: ``loss``, or one of ranking among the items that the prompt does not hold.
        """
        if metric == "loss" and self.priors is None:
            return mean_loss(self.valid_batches(MAX_VALIDATION_ROWS), average)
        if metric == "loss":
            batches = self.valid_batches(MAX_VALIDATION_ROWS)
            return {"loss": average(batches, self._loss)} if batches else {}
        batches = self.valid_batches(MAX_RANKED_ROWS)
        return {metric: average(batches, partial(self._ranking, metric))} if batches else {}

    def _ranking(self, metric: str, batch: PromptBatch) -> torch.Tensor:
        assert self.network is not None, "ranking needs the network"
        targets = batch.targets.gather(1, batch.last[:, None])[:, 0]
        seen = self._items(batch)
        scores = self.network.next_item_logits(batch)
        if self.priors is not None:
            scores += self.priors.of_valid(seen).to(scores.device)
        return torch.tensor(mean_metric(metric, scores, targets.cpu().numpy(), seen))

    def _loss(self, batch: PromptBatch) -> torch.Tensor:
        assert self.network is not None and self.priors is not None
        bonus = self.priors.of_valid(self._items(batch)).to(batch.input_ids.device)
        return self.network(replace(batch, bonus=bonus))

    def _items(self, batch: PromptBatch) -> Ragged:
        """Those that each prompt holds."""
        item = batch.node - self.writer.tokens.num_users
        return Ragged.of_lengths((item >= 0).sum(1).cpu().numpy(), item[item >= 0].cpu().numpy())

    @cached_property
    def valid_batches(self) -> Latest[list[PromptBatch]]:
        """Fixed batches of at most so many validation rows; empty where none is held out."""
        return Latest(self._valid_batches)

    def _valid_batches(self, most: int) -> list[PromptBatch]:
        rng = np.random.default_rng((self.seed, Stream.SEQUENCE, 0, 2))
        rows = rng.permutation(len(self.held_out))[:most]
        rows = rows[np.argsort(self.histories.lengths[self.held_out[rows, 0]], kind="stable")]
        return [
            self._validation(self.held_out[chunk]) for chunk in chunks_of(rows, self.batch_size)
        ]

    def _validation(self, pairs: np.ndarray) -> PromptBatch:
        users, items = pairs.T
        prompts = self.writer.prompts(users, self.histories.take(users))
        targets = [np.full(len(prompt), IGNORED) for prompt in prompts]
        for row, item in zip(targets, items, strict=True):
            row[-1] = item
        return self._assembled(users, prompts, targets)


def loss_of(config: GraphGPTConfig, num_items: int) -> LossName:
    """The loss that ``sequence_loss.name`` means for so many items."""
    name = config.sequence_loss.name
    if name != "auto":
        return name
    of_all = config.sequence.residual or config.sequence.label_smoothing > 0
    return "softmax" if of_all or num_items <= MANY_ITEMS else "sampled_softmax"


def build_sequence(
    config: GraphGPTConfig,
    split: Split,
    tokens: TokenSpace,
    distances: Distances | None,
    network: GraphGPTModel | None = None,
    priors: TrainingPriors | None = None,
) -> SequenceData | None:
    """Train on train rows, validate on validation rows; None, and a log line, without train rows.

    Args:
        config: settings.
        split: its test part is not read.
        tokens: numbers of words, users and items.
        distances: of the train graph, or None.
        network: that is trained; read where a metric of ranking chooses the epoch.
        priors: whose numbers the loss adds to the logits; None adds nothing.
    """
    if not len(split.train):
        _log.warning("%s has no train rows: the sequence stage is left out", split.dataset.name)
        return None
    writer = HistoryWriter.of(config, tokens, ("sequence",))
    loss, sampled = loss_of(config, tokens.num_items), None
    if loss != "softmax":  # in_batch_softmax has the targets
        sampled = config.sequence_loss.num_negatives if loss == "sampled_softmax" else 0
    held_out = np.stack([split.valid.user_index, split.valid.item_index], axis=1)
    return SequenceData(
        histories=split.known_before("valid"),
        writer=writer,
        distances=distances,
        held_out=held_out.astype(np.int64),
        batch_size=config.training.sequence.batch_size,
        user_dropout=config.history.user_dropout if writer.with_user else 0.0,
        seed=config.seed,
        network=network,
        num_negatives=sampled,
        priors=priors,
    )
