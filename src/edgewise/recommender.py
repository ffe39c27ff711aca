"""What every recommender and explainer of edgewise can do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol, Self, get_args, runtime_checkable

import numpy as np

from edgewise.data.item_lists import CandidateLists, Recommendations
from edgewise.data.ragged import Ragged
from edgewise.data.splits import Split

Task = Literal["explanation", "sequential", "direct"]
TASKS: tuple[Task, ...] = get_args(Task)


@runtime_checkable
class Recommender(Protocol):
    """Learns from a split's train and validation rows, then ranks items.

    A recommender never reads ``split.test``.
    """

    def fit(self, split: Split) -> Self:
        """Learn from ``split.train``, choosing the best epoch on ``split.valid``."""
        ...

    def recommend(
        self, users: np.ndarray, k: int = 10, *, histories: Ragged | None = None
    ) -> Recommendations:
        """The k best items of each user out of the whole catalogue, items in the history left out.

        ``histories`` (all users, by user index) replaces the histories known at fit time, for
        example train plus validation rows when the test part is to be predicted.
        """
        ...

    def score_candidates(
        self, candidates: CandidateLists, *, histories: Ragged | None = None
    ) -> np.ndarray:
        """A score for every candidate, aligned with ``candidates.items``; higher is better."""
        ...

    def save(self, folder: str | Path) -> None:
        """Write the model folder, whole or not at all."""
        ...

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read a model folder.

        Raises:
            ModelFolderError: the folder is missing, truncated, altered or another model's.
        """
        ...


@runtime_checkable
class Explainer(Protocol):
    """Writes why a user may like an item."""

    def explain(self, pairs: Sequence[tuple[int, int]]) -> list[str]:
        """One text for each (user_index, item_index)."""
        ...
