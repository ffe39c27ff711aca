"""Training examples of each task, drawn batch by batch (Section A.1.4).

A batch is a function of (seed, task, number of the batch) alone. A run that resumes at batch n, or
that spreads over several processes, therefore sees the same examples as one that never stopped.

What ELMRec trains and validates on, in numbered batches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from edgewise.data.ragged import Ragged
from edgewise.data.splits import Split
from edgewise.data.texts import ExplanationPairs, explanation_split
from edgewise.errors import DataError
from edgewise.models.elmrec.batch import Batch, assemble
from edgewise.models.elmrec.config import ELMRecConfig, PromptConfig
from edgewise.models.elmrec.prompts import EntityTokenTable, PromptWriter, wordings_of
from edgewise.recommender import TASKS, Task

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class FoldLookup(Protocol):
    """Which graph fold left an edge out, see :mod:`edgewise.graph.cross_fitting`."""

    def fold_for(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        """The fold of each pair, -1 where the pair is no train edge."""
        ...


@dataclass(frozen=True)
class Wordings:
    """How often a training batch carries a full wording instead of ids alone.

    Attributes:
        rate: share of batches with a full wording; 1 where no prompt vectors stand in for it.
    """

    rate: float

    def draw(self, task: Task, rng: np.random.Generator) -> str:
        """A wording for one training batch."""
        choices = wordings_of(task, short=bool(rng.random() >= self.rate))
        return choices[int(rng.integers(len(choices)))]

    def for_inference(self, task: Task) -> str:
        """The wording that recommendations and validation use."""
        return wordings_of(task, short=self.rate < 1)[0]


@dataclass(frozen=True)
class TrainingPool:
    """What training examples are drawn from: train rows alone.

    Attributes:
        writer: fills the wordings.
        histories: each user's train items in order of time.
        item_tokens: target tokens of each item, end token included.
        explanations: train pairs with their texts' tokens.
        wordings: rate of full wordings.
        num_negatives: candidates beside the positive in a direct prompt.
        history_sampling: ``random`` ends and starts a sequential example anywhere (the paper), ``prefix``
            ends it anywhere and starts ``max_history`` items before the target, ``whole`` ends it
            with the user's last train item.
        user_dropout: share of examples whose user is spelled as unknown, so that the model
            can serve people it never saw.
        folds: finds the fold of a target edge where the graph is cross-fitted.
        seed: of all draws.
    """

    writer: PromptWriter
    histories: Ragged
    item_tokens: list[np.ndarray]
    explanations: ExplanationPairs | None
    explanation_tokens: list[np.ndarray]
    wordings: Wordings
    num_negatives: int = 99
    history_sampling: Literal["random", "prefix", "whole"] = "random"
    user_dropout: float = 0.0
    folds: FoldLookup | None = None
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

    def num_batches(self, task: Task, batch_size: int) -> int:
        """Batches in one pass over a task's examples: users, or explained pairs."""
        return -(-len(self.examples[task]) // batch_size)

    def batch(self, task: Task, number: int, batch_size: int, part: slice = slice(None)) -> Batch:
        """Batch ``number`` of a task, counted from the start of training.

        Args:
            part: the rows of the batch this process trains on; all of them if it would get none.
        """
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
        unknown = rng.random(len(chosen)) < self.user_dropout
        mine = part if len(chosen[part]) else slice(None)
        table = self.writer.table
        return assemble(table, task, prompts[mine], targets[mine], fold[mine], unknown[mine])

    def _fold_of(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        if self.folds is None:
            return np.full(len(users), -1)
        return self.folds.fold_for(users, items)

    def _explanation(self, rows: np.ndarray, rng: np.random.Generator):
        assert self.explanations is not None
        users, items = self.explanations.user_index[rows], self.explanations.item_index[rows]
        wording = self.wordings.draw("explanation", rng)
        prompts = self.writer.explanation(users, items, wording)
        return prompts, [self.explanation_tokens[row] for row in rows], np.full(len(rows), -1)

    def _sequential(self, users: np.ndarray, rng: np.random.Generator):
        lengths = self.histories.lengths[users]
        ends = lengths - 1 if self.history_sampling == "whole" else rng.integers(1, lengths)
        starts = np.maximum(ends - self.writer.max_history, 0)
        if self.history_sampling == "random":
            starts = rng.integers(starts, ends)
        rows = [self.histories[user] for user in users]
        segments = [row[s:e] for row, s, e in zip(rows, starts, ends, strict=True)]
        items = np.array([row[e] for row, e in zip(rows, ends, strict=True)])
        wording = self.wordings.draw("sequential", rng)
        prompts = self.writer.sequential(users, segments, wording)
        return prompts, [self.item_tokens[item] for item in items], self._fold_of(users, items)

    def _direct(self, users: np.ndarray, rng: np.random.Generator):
        rows = [self.histories[user] for user in users]
        items = np.array([row[rng.integers(len(row))] for row in rows])
        candidates = [
            draw_candidates(item, row, self.num_negatives, len(self.item_tokens), rng)
            for item, row in zip(items, rows, strict=True)
        ]
        wording = self.wordings.draw("direct", rng)
        prompts = self.writer.direct(users, candidates, wording)
        return prompts, [self.item_tokens[item] for item in items], self._fold_of(users, items)


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


MAX_VALIDATION_EXAMPLES = 1000


def wordings(prompts: PromptConfig) -> Wordings:
    """Full wordings at the configured rate, or always where no prompt vectors replace them."""
    return Wordings(prompts.template_rate if prompts.num_prompt_embeddings else 1.0)


def item_target_rows(table: EntityTokenTable) -> list[np.ndarray]:
    """Target tokens of every item, end token included."""
    tokens, lengths = table.item_targets
    return [row[:length] for row, length in zip(tokens, lengths, strict=True)]


def text_targets(
    tokenizer: PreTrainedTokenizerBase, texts: list[str], max_tokens: int
) -> list[np.ndarray]:
    """Target tokens of every text, cut to ``max_tokens`` and closed by the end token."""
    if not texts:
        return []
    encoded = tokenizer(texts, add_special_tokens=False)["input_ids"]
    return [np.array([*row[:max_tokens], tokenizer.eos_token_id]) for row in encoded]


@dataclass(frozen=True)
class ELMRecData:
    """Alternates the tasks batch by batch (Section A.1.4).

    An epoch passes once over the largest task; smaller ones start over within it.

    Attributes:
        tasks: in the order in which they take turns.
        pool: draws training examples from train rows.
        valid_batches: fixed batches of each task.
        batch_size: of training, over all processes.
    """

    tasks: tuple[Task, ...]
    pool: TrainingPool
    valid_batches: Mapping[Task, Sequence[Batch]]
    batch_size: int

    @property
    def steps_per_epoch(self) -> int:
        return len(self.tasks) * max(
            self.pool.num_batches(task, self.batch_size) for task in self.tasks
        )

    def batch(self, step: int, part: slice) -> Batch:
        """Batch ``step`` of the run; ``part`` selects this process's rows."""
        number, turn = divmod(step, len(self.tasks))
        return self.pool.batch(self.tasks[turn], number, self.batch_size, part)

    def validation(self) -> Mapping[Task, Sequence[Batch]]:
        """Fixed batches of each task that has held-out rows."""
        return self.valid_batches


def build_data(
    config: ELMRecConfig,
    split: Split,
    table: EntityTokenTable,
    tokenizer: PreTrainedTokenizerBase,
    folds: FoldLookup | None,
) -> ELMRecData:
    """Draw on train rows for training and on validation rows for early stopping.

    Tasks without a single example (no review texts, say) are left out.

    Raises:
        DataError: no task has an example.
    """
    prompts = config.prompts
    texts = explanation_split(split, mode=prompts.explanations, seed=config.seed)
    pool = TrainingPool(
        writer=PromptWriter(table, prompts.max_history),
        histories=split.known_before("valid"),
        item_tokens=item_target_rows(table),
        explanations=texts.train,
        explanation_tokens=text_targets(tokenizer, texts.train.text, prompts.explanation_tokens),
        wordings=wordings(prompts),
        num_negatives=prompts.num_negatives,
        history_sampling=prompts.history_sampling,
        user_dropout=prompts.user_dropout,
        folds=folds if config.graph.folds else None,
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
        writer, wording = self.pool.writer, self.pool.wordings.for_inference(task)
        if task == "explanation":
            pairs = self.pairs.take(rows)
            prompts = writer.explanation(pairs.user_index, pairs.item_index, wording)
            targets = text_targets(self.tokenizer, pairs.text, self.explanation_tokens)
            return assemble(writer.table, task, prompts, targets)
        users, items = self.split.valid.user_index[rows], self.split.valid.item_index[rows]
        targets = [self.pool.item_tokens[item] for item in items]
        histories: Ragged = self.pool.histories
        if task == "sequential":
            prompts = writer.sequential(users, [histories[user] for user in users], wording)
        else:
            num_items = len(self.pool.item_tokens)
            prompts = writer.direct(
                users,
                [
                    draw_candidates(item, histories[user], self.pool.num_negatives, num_items, rng)
                    for user, item in zip(users, items, strict=True)
                ],
                wording,
            )
        return assemble(writer.table, task, prompts, targets)
