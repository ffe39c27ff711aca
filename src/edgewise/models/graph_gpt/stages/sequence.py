"""The time-ordered stage: the next item at every position of every user's history."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from edgewise.data.ragged import Ragged
from edgewise.data.sequences import Windows, cut_evenly, windows_of
from edgewise.data.splits import Split
from edgewise.models.graph_gpt.batch import IGNORED, Distances, PromptBatch, assemble
from edgewise.models.graph_gpt.config import GraphGPTConfig
from edgewise.models.graph_gpt.prompts import NOBODY, HistoryWriter
from edgewise.models.graph_gpt.tokens import TokenSpace

MAX_VALIDATION_ROWS = 1000
# A hit or miss tells less of a row than its likelihood does.
MAX_RANKED_ROWS = 5000
# Ragged of similar length share a batch; this many batches' worth are sorted together.
_BATCHES_SORTED_TOGETHER = 16
_STREAM = 100
_log = logging.getLogger("edgewise")


@dataclass(frozen=True, eq=False)
class SequenceData:
    """Ragged in order of time; batches of about equal numbers of targets.

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
        ranked: whether validation measures NDCG@10 in place of the likelihood.
    """

    histories: Ragged
    writer: HistoryWriter
    distances: Distances | None
    held_out: np.ndarray
    batch_size: int
    user_dropout: float
    seed: int
    ranked: bool = False

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

    @cached_property
    def _passes(self) -> dict[int, list[np.ndarray]]:
        return {}

    def _order(self, passed: int) -> list[np.ndarray]:
        """The windows of each batch of an epoch."""
        if passed not in self._passes:
            self._passes.clear()
            self._passes[passed] = self._drawn(passed)
        return self._passes[passed]

    def _drawn(self, passed: int) -> list[np.ndarray]:
        rng = np.random.default_rng((self.seed, _STREAM, passed))
        shuffled = rng.permutation(len(self.windows.user))
        pool = self.batch_size * _BATCHES_SORTED_TOGETHER
        batches: list[np.ndarray] = []
        for start in range(0, len(shuffled), pool):
            rows = shuffled[start : start + pool]
            rows = rows[np.argsort(self.windows.num_targets[rows], kind="stable")]
            cuts = cut_evenly(self.windows.num_targets[rows], -(-len(rows) // self.batch_size))
            batches += np.split(rows, cuts[1:-1])
        return [batches[n] for n in rng.permutation(len(batches))]

    def batch(self, step: int, part: slice) -> PromptBatch:
        """Batch ``step`` of the run, a function of the seed and the step alone.

        ``part`` selects this process's rows; all of them if it would get none.
        """
        passed, place = divmod(step, self.steps_per_epoch)
        rows = self._order(passed)[place]
        rng = np.random.default_rng((self.seed, _STREAM, step, 1))
        unknown = rng.random(len(rows)) < self.user_dropout
        mine = part if len(rows[part]) else slice(None)
        targets_per_row = float(self.windows.num_targets[rows].mean())
        return self._training_batch(rows[mine], unknown[mine], targets_per_row)

    def _training_batch(
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
        return assemble(
            self.writer.tokens,
            prompts,
            targets,
            distances=self.distances,
            readers=self.windows.user[rows],
            targets_per_row=targets_per_row,
        )

    def validation(self) -> Mapping[str, Sequence[PromptBatch]]:
        """The item after each of a sample of train histories, at its last position."""
        return self._validation_batches

    @cached_property
    def _validation_batches(self) -> dict[str, list[PromptBatch]]:
        rng = np.random.default_rng((self.seed, _STREAM, 0, 2))
        most = MAX_RANKED_ROWS if self.ranked else MAX_VALIDATION_ROWS
        rows = rng.permutation(len(self.held_out))[:most]
        rows = rows[np.argsort(self.histories.lengths[self.held_out[rows, 0]], kind="stable")]
        starts = range(0, len(rows), self.batch_size)
        chunks = [self.held_out[rows[n : n + self.batch_size]] for n in starts]
        name = "1 - NDCG@10" if self.ranked else "sequence"
        return {name: [self._validation_batch(chunk) for chunk in chunks]} if chunks else {}

    def _validation_batch(self, pairs: np.ndarray) -> PromptBatch:
        users, items = pairs.T
        prompts = self.writer.prompts(users, [self.histories[user] for user in users])
        targets = [np.full(len(prompt), IGNORED) for prompt in prompts]
        for row, item in zip(targets, items, strict=True):
            row[-1] = item
        tokens = self.writer.tokens
        batch = assemble(tokens, prompts, targets, distances=self.distances, readers=users)
        return replace(batch, ranked=self.ranked)


def build_sequence(
    config: GraphGPTConfig, split: Split, tokens: TokenSpace, distances: Distances | None
) -> SequenceData | None:
    """Train on train rows, validate on validation rows; None, and a log line, without train rows.

    Args:
        config: settings.
        split: its test part is not read.
        tokens: numbers of words, users and items.
        distances: of the train graph, or None.
    """
    if not len(split.train):
        _log.warning("%s has no train rows: the sequence stage is left out", split.dataset.name)
        return None
    writer = HistoryWriter.of(config, tokens, ("sequence",))
    held_out = np.stack([split.valid.user_index, split.valid.item_index], axis=1)
    return SequenceData(
        histories=split.known_before("valid"),
        writer=writer,
        distances=distances,
        held_out=held_out.astype(np.int64),
        batch_size=config.training.sequence.batch_size,
        user_dropout=config.history.user_dropout if writer.with_user else 0.0,
        seed=config.seed,
        ranked=config.training.sequence.validation_metric == "ndcg",
    )
