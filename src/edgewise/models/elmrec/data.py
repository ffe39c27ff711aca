"""What ELMRec trains and validates on, in numbered batches that alternate the tasks (A.1.4).

A training batch is a function of (seed, task, number of the batch) alone. A run that resumes at
batch n, or that spreads over several processes, therefore sees the same examples as one that never
stopped. Validation batches are prompts as at inference, with validation rows as targets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from edgewise.data.ragged import Ragged
from edgewise.data.splits import Split
from edgewise.data.texts import ExplanationPairs, explanation_split
from edgewise.errors import DataError
from edgewise.graph.cross_fitting import CrossFitted
from edgewise.models.elmrec.batch import Batch, assemble
from edgewise.models.elmrec.config import ELMRecConfig
from edgewise.models.elmrec.prompts import EntityTokenTable, PromptWriter, TemplateChoice
from edgewise.recommender import TASKS, Task
from edgewise.training.trainer import Average

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MAX_VALIDATION_EXAMPLES = 1000

_Drawn = tuple[list[np.ndarray], list[np.ndarray], np.ndarray]
"""Prompts, target tokens and graph folds of the examples of a batch."""


@dataclass(frozen=True)
class ELMRecData:
    """Alternates the tasks batch by batch (Section A.1.4).

    An epoch passes once over the largest task; smaller ones start over within it.

    Attributes:
        tasks: in the order in which they take turns.
        pool: draws training examples from train rows.
        valid_batches: fixed batches of each task that has held-out rows.
        batch_size: of training, over all processes.
    """

    tasks: tuple[Task, ...]
    pool: TrainingPool
    valid_batches: Mapping[Task, Sequence[Batch]]
    batch_size: int

    @property
    def steps_per_epoch(self) -> int:
        """Batches of all tasks in an epoch."""
        return len(self.tasks) * max(
            self.pool.num_batches(task, self.batch_size) for task in self.tasks
        )

    def batch(self, step: int, part: slice) -> Batch:
        """Batch ``step`` of the run; ``part`` selects this process's rows."""
        number, turn = divmod(step, len(self.tasks))
        return self.pool.batch(self.tasks[turn], number, self.batch_size, part)

    def validate(self, average: Average, metric: str) -> Mapping[str, float]:
        """The loss of each task on validation rows."""
        return {task: average(batches) for task, batches in self.valid_batches.items()}


def build_data(
    config: ELMRecConfig,
    split: Split,
    table: EntityTokenTable,
    tokenizer: PreTrainedTokenizerBase,
    folds: CrossFitted | None,
    pool_kind: Callable[..., TrainingPool] | None = None,
) -> ELMRecData:
    """Draw on train rows for training and on validation rows for early stopping.

    Tasks without a single example (no review texts, say) are left out.

    Args:
        config: all settings.
        split: whose train and validation rows are read.
        table: spells users and items.
        tokenizer: of texts.
        folds: of the edges, where the graph is cross-fitted.
        pool_kind: a pool that makes other examples of the same draws.

    Raises:
        DataError: no task has an example.
    """
    prompts = config.prompts
    texts = explanation_split(split, mode=prompts.explanations, seed=config.seed)
    pool = (pool_kind or TrainingPool)(
        writer=PromptWriter(table, prompts.max_history),
        histories=split.known_before("valid"),
        explanations=texts.train,
        explanation_tokens=_text_targets(tokenizer, texts.train.text, prompts.explanation_tokens),
        templates=TemplateChoice.of(prompts),
        num_negatives=prompts.num_negatives,
        history_sampling=prompts.history_sampling,
        user_dropout=prompts.user_dropout,
        folds=folds,
        seed=config.seed,
    )
    tasks: tuple[Task, ...] = tuple(t for t in prompts.tasks if len(pool.examples[t]))
    if not tasks:
        raise DataError(
            f"data set {split.dataset.name!r} has no training example of "
            f"{', '.join(prompts.tasks)}: direct needs train rows, sequential users with two of "
            "them, explanation review texts"
        )
    held_out = _Validation(pool, split, texts.valid, tokenizer, prompts.explanation_tokens)
    size = config.training.batch_size
    batches: dict[Task, list[Batch]] = {task: held_out.batches(task, size) for task in tasks}
    return ELMRecData(tasks, pool, {t: b for t, b in batches.items() if b}, size)


@dataclass(frozen=True)
class TrainingPool:
    """What training examples are drawn from: train rows alone.

    Attributes:
        writer: fills the templates.
        histories: each user's train items in order of time.
        explanations: train pairs with their texts.
        explanation_tokens: of each text, end token included.
        templates: how often they are full ones.
        num_negatives: candidates beside the positive in a direct prompt.
        history_sampling: ``random`` ends and starts a sequential example anywhere (the paper),
            ``prefix`` ends it anywhere and starts ``max_history`` items before the target,
            ``whole`` ends it with the user's last train item.
        user_dropout: share of examples whose user is spelled as unknown, so that the model can
            serve people it never saw.
        folds: finds the fold of a target edge where the graph is cross-fitted.
        seed: of all draws.
        examples: numbers of each task's examples: users, or explained pairs.
    """

    writer: PromptWriter
    histories: Ragged
    explanations: ExplanationPairs | None
    explanation_tokens: list[np.ndarray]
    templates: TemplateChoice
    num_negatives: int = 99
    history_sampling: Literal["random", "prefix", "whole"] = "random"
    user_dropout: float = 0.0
    folds: CrossFitted | None = None
    seed: int = 0
    examples: dict[Task, np.ndarray] = field(init=False)

    def __post_init__(self) -> None:
        lengths = self.histories.lengths
        num_pairs = 0 if self.explanations is None else len(self.explanations.text)
        examples: dict[Task, np.ndarray] = {
            "explanation": np.arange(num_pairs),
            "sequential": np.flatnonzero(lengths >= 2),
            "direct": np.flatnonzero(lengths >= 1),
        }
        object.__setattr__(self, "examples", examples)

    @property
    def table(self) -> EntityTokenTable:
        """Spells users and items."""
        return self.writer.table

    def num_batches(self, task: Task, batch_size: int) -> int:
        """Batches in one pass over a task's examples."""
        return -(-len(self.examples[task]) // batch_size)

    def batch(self, task: Task, number: int, batch_size: int, part: slice = slice(None)) -> Batch:
        """Batch ``number`` of a task, counted from the start of training.

        Args:
            task: of all its examples.
            number: of the batch.
            batch_size: over all processes.
            part: the rows of the batch this process trains on; all of them if it would get none.
        """
        prompts, targets, fold, unknown = self.drawn(task, number, batch_size)
        mine = part if len(prompts[part]) else slice(None)
        return assemble(self.table, task, prompts[mine], targets[mine], fold[mine], unknown[mine])

    def asked(self, task: Task, prompts: list[np.ndarray], targets: list[np.ndarray]) -> Batch:
        """Prompts as at inference, with their targets."""
        return assemble(self.table, task, prompts, targets)

    def drawn(
        self, task: Task, number: int, batch_size: int
    ) -> tuple[list[np.ndarray], list[np.ndarray], np.ndarray, np.ndarray]:
        """Prompts, targets and graph folds of batch ``number``, and whose user is unknown."""
        passes, place = divmod(number, self.num_batches(task, batch_size))
        stream = TASKS.index(task)
        order = np.random.default_rng((self.seed, stream, passes)).permutation(self.examples[task])
        chosen = order[place * batch_size : (place + 1) * batch_size]
        rng = np.random.default_rng((self.seed, stream, number, 1))
        draw = {
            "explanation": self._explanation,
            "sequential": self._sequential,
            "direct": self._direct,
        }[task]
        prompts, targets, fold = draw(chosen, rng)
        return prompts, targets, fold, rng.random(len(chosen)) < self.user_dropout

    def _explanation(self, rows: np.ndarray, rng: np.random.Generator) -> _Drawn:
        assert self.explanations is not None
        users, items = self.explanations.user_index[rows], self.explanations.item_index[rows]
        template = self.templates.draw("explanation", rng)
        prompts = self.writer.explanation(users, items, template)
        return prompts, [self.explanation_tokens[row] for row in rows], np.full(len(rows), -1)

    def _sequential(self, users: np.ndarray, rng: np.random.Generator) -> _Drawn:
        lengths = self.histories.lengths[users]
        ends = lengths - 1 if self.history_sampling == "whole" else rng.integers(1, lengths)
        starts = np.maximum(ends - self.writer.max_history, 0)
        if self.history_sampling == "random":
            starts = rng.integers(starts, ends)
        rows = [self.histories[user] for user in users]
        parts = [row[s:e] for row, s, e in zip(rows, starts, ends, strict=True)]
        items = np.array([row[e] for row, e in zip(rows, ends, strict=True)])
        template = self.templates.draw("sequential", rng)
        prompts = self.writer.sequential(users, parts, template)
        return prompts, [self.table.target(item) for item in items], self._fold_of(users, items)

    def _direct(self, users: np.ndarray, rng: np.random.Generator) -> _Drawn:
        rows = [self.histories[user] for user in users]
        items = np.array([row[rng.integers(len(row))] for row in rows])
        candidates = self.candidates(items, rows, rng)
        template = self.templates.draw("direct", rng)
        prompts = self.writer.direct(users, candidates, template)
        return prompts, [self.table.target(item) for item in items], self._fold_of(users, items)

    def candidates(
        self, items: np.ndarray, seen: list[np.ndarray], rng: np.random.Generator
    ) -> list[np.ndarray]:
        """Each item among negatives that are not in its user's seen items."""
        return [
            draw_candidates(item, row, self.num_negatives, self.table.num_items, rng)
            for item, row in zip(items, seen, strict=True)
        ]

    def _fold_of(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        if self.folds is None:
            return np.full(len(users), -1)
        return self.folds.fold_for(users, items)


def draw_candidates(
    positive: int, seen: np.ndarray, num_negatives: int, num_items: int, rng: np.random.Generator
) -> np.ndarray:
    """The positive among uniform negatives that are not in ``seen``, shuffled, ``int64[C]``."""
    if positive not in seen:
        seen = np.append(seen, positive)
    draws = min(num_negatives + len(seen), num_items)
    drawn = rng.choice(num_items, draws, replace=False, shuffle=False)
    negatives = drawn[~np.isin(drawn, seen)]
    rng.shuffle(negatives)
    candidates = np.append(negatives[:num_negatives], positive)
    rng.shuffle(candidates)
    return candidates


@dataclass(frozen=True)
class _Validation:
    """Prompts as at inference, with validation rows as targets."""

    pool: TrainingPool
    split: Split
    pairs: ExplanationPairs
    tokenizer: PreTrainedTokenizerBase
    explanation_tokens: int

    def batches(self, task: Task, batch_size: int) -> list[Batch]:
        num_rows = len(self.pairs) if task == "explanation" else len(self.split.valid)
        rng = np.random.default_rng((self.pool.seed, TASKS.index(task), 2))
        rows = np.sort(rng.permutation(num_rows)[:MAX_VALIDATION_EXAMPLES])
        chunks = [rows[n : n + batch_size] for n in range(0, len(rows), batch_size)]
        return [self._batch(task, chunk, rng) for chunk in chunks]

    def _batch(self, task: Task, rows: np.ndarray, rng: np.random.Generator) -> Batch:
        pool, template = self.pool, self.pool.templates.for_inference(task)
        if task == "explanation":
            pairs = self.pairs.take(rows)
            prompts = pool.writer.explanation(pairs.user_index, pairs.item_index, template)
            targets = _text_targets(self.tokenizer, pairs.text, self.explanation_tokens)
            return pool.asked(task, prompts, targets)
        users, items = self.split.valid.user_index[rows], self.split.valid.item_index[rows]
        known = pool.histories.take(users).rows()
        if task == "sequential":
            prompts = pool.writer.sequential(users, known, template)
        else:
            prompts = pool.writer.direct(users, pool.candidates(items, known, rng), template)
        return pool.asked(task, prompts, [pool.table.target(item) for item in items])


def _text_targets(
    tokenizer: PreTrainedTokenizerBase, texts: list[str], max_tokens: int
) -> list[np.ndarray]:
    """Target tokens of every text, cut to ``max_tokens`` and closed by the end token."""
    if not texts:
        return []
    encoded = tokenizer(texts, add_special_tokens=False)["input_ids"]
    return [np.array([*row[:max_tokens], tokenizer.eos_token_id]) for row in encoded]
