"""The baseline every model is printed beside: the same popular items for everybody."""

from __future__ import annotations

import numpy as np

from edgewise.data.ragged import Ragged
from edgewise.data.ranking import Ranked
from edgewise.data.splits import Split
from edgewise.recommender import ItemFilter, Recommender, popularity_scores


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
            self._order = np.argsort(-self._scores, kind="stable")

    def cold_scores(self) -> np.ndarray:
        """The same as for everybody."""
        return self._scores

    def score_items(self, users: np.ndarray, histories: Ragged) -> np.ndarray:
        """Counts, plus fractions below 1, the same for every user, ``float64[B, I]``."""
        return np.tile(self._scores, (len(users), 1))

    def rank_items(
        self, users: np.ndarray, histories: Ragged, hidden: ItemFilter, k: int
    ) -> Ranked:
        """The first of the common order that a user may be shown, however many items there are."""
        order, place = self._order, np.full(len(self._order), len(self._order))
        if hidden.hidden is not None:
            order = order[~hidden.hidden[order]]
        place[order] = np.arange(len(order))
        lists = []
        for row in [()] * len(users) if hidden.seen is None else hidden.seen.rows():
            first = order[: k + len(row)]
            shown = np.ones(len(first), bool)
            at = place[np.asarray(row, np.int64)]
            shown[at[at < len(first)]] = False
            lists.append(first[shown][:k])
        items = Ragged.of_rows(lists)
        return Ranked(items, Ragged(items.offsets, self._scores[items.values].astype(np.float32)))
