"""What ELMRec trains and validates on, in numbered batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgewise.data.explanations import ExplanationPairs, explanation_split
from edgewise.data.interactions import Histories
from edgewise.data.split import Split
from edgewise.errors import DataError
from edgewise.models.elmrec.config import ELMRecConfig, PromptConfig
from edgewise.prompts.batch import Batch, assemble
from edgewise.prompts.entity_tokens import PieceTable
from edgewise.prompts.sampling import FoldLookup, TrainingPool, Wordings, draw_candidates
from edgewise.prompts.templates import TASKS, Task
from edgewise.prompts.writing import PromptWriter

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MAX_VALIDATION_EXAMPLES = 1000


def wordings(prompts: PromptConfig) -> Wordings:
    """Full wordings at the configured rate, or always where no prompt vectors replace them."""
    return Wordings(prompts.wording_rate if prompts.num_prompt_vectors else 1.0)


def item_target_rows(table: PieceTable) -> list[np.ndarray]:
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
    table: PieceTable,
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
        segments=prompts.segments,
        unknown_user_rate=prompts.unknown_user_rate,
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
        histories: Histories = self.pool.histories
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
