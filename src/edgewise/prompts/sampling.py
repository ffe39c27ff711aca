"""Training examples of each task, drawn batch by batch (Section A.1.4).

A batch is a function of (seed, task, number of the batch) alone. A run that resumes at batch n, or
that spreads over several processes, therefore sees the same examples as one that never stopped.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np

from edgewise.data.explanations import ExplanationPairs
from edgewise.data.interactions import Histories
from edgewise.prompts.batch import Batch, assemble
from edgewise.prompts.entity_tokens import wordings_of
from edgewise.prompts.templates import TASKS, Task
from edgewise.prompts.writing import PromptWriter


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
        segments: ``random`` ends and starts a sequential example anywhere (the paper), ``prefix``
            ends it anywhere and starts ``max_history`` items before the target, ``whole`` ends it
            with the user's last train item.
        unknown_user_rate: share of examples whose user is spelled as unknown, so that the model
            can serve people it never saw.
        folds: finds the fold of a target edge where the graph is cross-fitted.
        seed: of all draws.
    """

    writer: PromptWriter
    histories: Histories
    item_tokens: list[np.ndarray]
    explanations: ExplanationPairs | None
    explanation_tokens: list[np.ndarray]
    wordings: Wordings
    num_negatives: int = 99
    segments: Literal["random", "prefix", "whole"] = "random"
    unknown_user_rate: float = 0.0
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
        unknown = rng.random(len(chosen)) < self.unknown_user_rate
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
        ends = lengths - 1 if self.segments == "whole" else rng.integers(1, lengths)
        starts = np.maximum(ends - self.writer.max_history, 0)
        if self.segments == "random":
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
