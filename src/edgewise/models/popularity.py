"""The baseline every model is printed beside: the same popular items for everybody."""

from __future__ import annotations

import numpy as np

from edgewise.data.ragged import Ragged
from edgewise.data.splits import Split
from edgewise.recommender import Recommender, popularity_scores


class Popularity(Recommender):
    """Ranks items by how many rows took them: train rows, or those of newer histories.

    Histories given later (train plus validation rows, when test is predicted) are counted too, so
    that the baseline is as strong as what it may know allows; histories of a few users leave the
    counts of the train rows as they are. Equal counts are ordered by a seeded shuffle.
    """

    name, label = "popularity", "Popularity"
    SCORE_UNIT = "count of rows"

    def fit_scores(self, split: Split) -> None:
        self.prepare(self.data.histories)

    def prepare(self, histories: Ragged) -> None:
        """Count what the histories of all users tell, once for many questions."""
        if getattr(self, "_counted", None) is not histories:
            newer = np.bincount(histories.values, minlength=len(self.data.items))
            counts = np.maximum(self.data.item_counts, newer)
            self._scores, self._counted = popularity_scores(counts, self.config.seed), histories

    def cold_scores(self) -> np.ndarray:
        """The same as for everybody."""
        return self._scores

    def score_items(self, users: np.ndarray, histories: Ragged) -> np.ndarray:
        """Counts, plus fractions below 1, the same for every user, ``float64[B, I]``."""
        return np.tile(self._scores, (len(users), 1))
