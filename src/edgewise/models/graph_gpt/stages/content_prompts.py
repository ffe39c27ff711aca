"""Content prompts as tokens, and the texts after them as targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from edgewise.models.graph_gpt.batch import IGNORED, Distances, PromptBatch, assemble
from edgewise.models.graph_gpt.config import ContentConfig
from edgewise.models.graph_gpt.stages.ragged import Ragged
from edgewise.models.graph_gpt.stages.shared import SharedLists, SharedName
from edgewise.models.graph_gpt.stages.texts import Texts, encode_texts
from edgewise.models.graph_gpt.stages.writing import Phrase
from edgewise.models.graph_gpt.tokens import TokenSpace
from edgewise.models.graph_gpt.wordings import CONTENT_WORDINGS, SECOND_ORDER, ContentKind

KINDS: tuple[ContentKind, ...] = tuple(CONTENT_WORDINGS)


@dataclass(frozen=True, eq=False)
class ContentPrompts:
    """Numbered prompts: first the texts of users and items, then the windows of shared names.

    Attributes:
        phrases: of every kind, in the order of ``KINDS``.
        kind: of every prompt, ``int64[N]``.
        user, item: of every text, ``int64[n]``; ``user`` is -1 where the wording names none.
        answers: tokens of every text, then of every shared name.
        lists: items of every shared name.
        tokens: numbers of users and items.
        distances: of the train graph, or None.
    """

    phrases: Sequence[Phrase]
    kind: np.ndarray
    user: np.ndarray
    item: np.ndarray
    answers: Ragged
    lists: SharedLists
    tokens: TokenSpace
    distances: Distances | None

    def __len__(self) -> int:
        return len(self.kind)

    @cached_property
    def lengths(self) -> np.ndarray:
        """Tokens of every prompt with its answer, ``int64[N]``."""
        fixed = np.array([phrase.num_fixed for phrase in self.phrases])[self.kind]
        windows = self.lists.windows
        listed = np.concatenate([np.zeros(len(self.user), np.int64), windows[:, 2] - windows[:, 1]])
        return fixed + listed + self.num_targets

    @cached_property
    def num_targets(self) -> np.ndarray:
        """Tokens of every prompt's answer, ``int64[N]``."""
        shared = len(self.user) + self.lists.windows[:, 0]
        return self.answers.lengths[np.concatenate([np.arange(len(self.user)), shared])]

    def targets_per_row(self, rows: np.ndarray) -> float:
        """Tokens of some prompts' answers, on average."""
        return float(self.num_targets[rows].mean())

    def batch(
        self, rows: np.ndarray, epoch: int, targets_per_row: float | None = None
    ) -> PromptBatch:
        """Some prompts, or a process's part of them, with their answers as targets."""
        written = [self._written(row, epoch) for row in rows.tolist()]
        prompts = [np.concatenate([prompt, answer[:-1]]) for prompt, answer in written]
        targets = [
            np.concatenate([np.full(len(prompt) - 1, IGNORED), answer])
            for prompt, answer in written
        ]
        return assemble(
            self.tokens,
            prompts,
            targets,
            space="text",
            distances=self.distances,
            targets_per_row=targets_per_row,
        )

    def _written(self, row: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        phrase, num_texts = self.phrases[self.kind[row]], len(self.user)
        if row < num_texts:
            user = self.tokens.user_token(self.user[row : row + 1])
            item = self.tokens.item_token(self.item[row : row + 1])
            return phrase.fill(user=user, item=item), self.answers[row]
        window = row - num_texts
        items = self.tokens.item_token(self.lists.items_of(window, epoch))
        answer = num_texts + int(self.lists.windows[window, 0])
        return phrase.fill(items=items), self.answers[answer]


class ContentWriter:
    """Turns gathered texts into prompts.

    Args:
        tokens: numbers of users and items.
        max_tokens: of the longest input.
        config: length of texts and windows.
        distances: of the train graph, or None.

    Raises:
        ConfigError: the longest input has no room for a prompt and its answer.
    """

    def __init__(
        self,
        tokens: TokenSpace,
        max_tokens: int,
        config: ContentConfig,
        distances: Distances | None,
    ) -> None:
        self.tokens, self.distances = tokens, distances
        self.phrases = [Phrase.of(CONTENT_WORDINGS[kind], tokens) for kind in KINDS]
        texts = [p.room(max_tokens, needed=1) for p in self.phrases[: -len(SECOND_ORDER)]]
        lists = [p.room(max_tokens, needed=4) for p in self.phrases[-len(SECOND_ORDER) :]]
        # Half of a short input for the items, so that the name they share fits as well.
        self.window = min(config.window, min(lists) // 2)
        self.max_text = min(config.max_text_tokens, *texts, min(lists) - self.window)

    def prompts(
        self, texts: Sequence[Texts], shared: Sequence[SharedName], seed: int
    ) -> ContentPrompts:
        """Number the prompts of texts, then those of shared names."""
        items = Ragged.of_rows([np.array(group.items, dtype=np.int64) for group in shared])
        lists = SharedLists(items, self.window, seed)
        kind_of_text = [np.full(len(group), KINDS.index(group.kind)) for group in texts]
        kind_of_list = np.array([KINDS.index(group.kind) for group in shared], dtype=np.int64)
        lines = [line for group in texts for line in group.text] + [g.name for g in shared]
        nothing = np.empty(0, dtype=np.int64)
        return ContentPrompts(
            self.phrases,
            np.concatenate([*kind_of_text, kind_of_list[lists.windows[:, 0]]]),
            np.concatenate([nothing, *(group.user for group in texts)]),
            np.concatenate([nothing, *(group.item for group in texts)]),
            encode_texts(self.tokens, lines, self.max_text),
            lists,
            self.tokens,
            self.distances,
        )
