"""Prompts of the three tasks as pieces, ready to be looked up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgewise.prompts.entity_tokens import SLOTS, PieceTable
from edgewise.prompts.templates import SHORT_WORDING


@dataclass(frozen=True)
class PromptWriter:
    """Fills wordings with users and items.

    A user index of -1 stands for somebody not in the data.

    Attributes:
        table: pieces of all entities and words.
        max_history: a longer history keeps its newest items.
    """

    table: PieceTable
    max_history: int = 20

    def explanation(
        self, users: np.ndarray, items: np.ndarray, wording: str = SHORT_WORDING["explanation"]
    ) -> list[np.ndarray]:
        """Prompts for what each user would say about each item."""
        return self._write(wording, users, item=[np.array([item]) for item in items])

    def sequential(
        self,
        users: np.ndarray,
        histories: Sequence[np.ndarray],
        wording: str = SHORT_WORDING["sequential"],
    ) -> list[np.ndarray]:
        """Prompts for the item after each history, oldest item first."""
        newest = [history[-self.max_history :] for history in histories]
        return self._write(wording, users, history=newest)

    def direct(
        self,
        users: np.ndarray,
        candidates: Sequence[np.ndarray],
        wording: str = SHORT_WORDING["direct"],
    ) -> list[np.ndarray]:
        """Prompts for the best of each user's candidates."""
        return self._write(wording, users, candidates=candidates)

    def _write(
        self, wording: str, users: np.ndarray, **slots: Sequence[np.ndarray]
    ) -> list[np.ndarray]:
        user_pieces = np.where(users < 0, self.table.unknown_user, users)
        columns: list[Sequence[np.ndarray]] = []
        for word in wording.split(" "):
            if word == "{user}":
                columns.append(list(user_pieces[:, None]))
            elif word in SLOTS:
                items = slots[word.strip("{}")]
                columns.append([row + self.table.num_users for row in items])
            else:
                columns.append([np.array([self.table.words[word]])] * len(users))
        return [np.concatenate(row) for row in zip(*columns, strict=True)]
