"""A recommender that is asked a few users at a time, so that progress can be told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from edgewise.data.item_lists import CandidateLists, Recommendations
from edgewise.data.ragged import Ragged
from edgewise.recommender import Task
from edgewise.runs.contract import Model

SIZE = 128
OnProgress = Callable[[int, int], None]


class BatchedRecommender:
    """Passes questions on in pieces and tells ``on_progress(done, total)`` after each.

    Has the questions that evaluation asks; the answers are the model's own.
    """

    def __init__(self, model: Model, on_progress: OnProgress, size: int = SIZE) -> None:
        self._model, self._on_progress, self._size = model, on_progress, size

    def recommend(
        self, users: np.ndarray, k: int = 10, *, histories: Ragged | None = None
    ) -> Recommendations:
        parts = [
            self._model.recommend(users[piece], k, histories=histories)
            for piece in self._pieces(len(users))
        ]
        return Recommendations.concat(parts)

    def score_candidates(
        self,
        candidates: CandidateLists,
        *,
        histories: Ragged | None = None,
        task: Task | None = None,
    ) -> np.ndarray:
        parts = [
            self._model.score_candidates(
                candidates.take(np.arange(piece.start, piece.stop)), histories=histories, task=task
            )
            for piece in self._pieces(len(candidates))
        ]
        return np.concatenate([*parts, np.empty(0, dtype=np.float32)])

    def explain(self, pairs: Sequence[tuple[int, int]]) -> list[str]:
        return [
            text for piece in self._pieces(len(pairs)) for text in self._model.explain(pairs[piece])
        ]

    def _pieces(self, total: int) -> Iterator[slice]:
        for start in range(0, total, self._size):
            stop = min(start + self._size, total)
            yield slice(start, stop)
            self._on_progress(stop, total)
