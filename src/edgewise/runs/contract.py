"""What a run asks of its model, whichever method it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np

from edgewise.data.item_lists import CandidateLists, Recommendations
from edgewise.data.ragged import Ragged
from edgewise.data.splits import Split
from edgewise.recommender import Task
from edgewise.training.curves import Curves


class Plan(Protocol):
    """What a training run is about to do; each method tells more than this in its own way."""

    @property
    def num_parameters(self) -> int:
        """Numbers that are learned."""
        ...


class Model(Protocol):
    """A :class:`~edgewise.recommender.Recommender` with settings, curves and tasks.

    Attributes:
        config: all settings, ``seed`` among them.
        curves: losses of the last fit, of its last stage where it has several; None after loading.
            All stages are in ``stage_curves`` (a dictionary by name) where a method has them.
    """

    config: Any
    curves: Curves | None

    @property
    def tasks(self) -> tuple[Task, ...]:
        """What it was trained for."""
        ...

    def fit(
        self,
        split: Split,
        *,
        folder: str | Path | None = None,
        resume: bool = False,
        show_progress: bool = False,
        on_plan: Callable[[Any], None] | None = None,
    ) -> Self:
        """Learn, or go on learning from the folder's checkpoint."""
        ...

    def recommend(
        self, users: np.ndarray, k: int = 10, *, histories: Ragged | None = None
    ) -> Recommendations:
        """The k best items of each user out of the whole catalogue."""
        ...

    def recommend_new(self, histories: Sequence[np.ndarray], k: int = 10) -> Recommendations:
        """The k best items of people who are not in the data."""
        ...

    def score_candidates(
        self,
        candidates: CandidateLists,
        *,
        histories: Ragged | None = None,
        new_users: Sequence[np.ndarray] | None = None,
        task: Task | None = None,
    ) -> np.ndarray:
        """A score for every candidate."""
        ...

    def explain(self, pairs: Sequence[tuple[int, int]]) -> list[str]:
        """Why each user may like each item."""
        ...

    def save(self, folder: str | Path) -> None:
        """Write the model folder."""
        ...

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read a model folder."""
        ...


def stages_of(model: Model) -> dict[str, Curves]:
    """The learning curves of all stages; one without a name where the method has one stage."""
    stages = getattr(model, "stage_curves", None)
    return dict(stages) if stages else {"": model.curves or Curves()}
