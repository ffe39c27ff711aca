"""Lists of candidate items to choose from, one list a user, of any lengths.

Ranked lists, the one type that models produce and metrics consume.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from edgewise.data.dataset import Dataset, Vocabulary
from edgewise.data.ragged import Ragged


@dataclass(frozen=True, eq=False)
class CandidateLists:
    """Candidates of several users, lists of any lengths.

    Attributes:
        user_index: ``int32[rows]``, one entry a list.
        lists: item indices, ``int32``; no item twice in a list.
    """

    user_index: np.ndarray
    lists: Ragged

    @classmethod
    def from_lists(cls, users: np.ndarray, lists: list[np.ndarray]) -> CandidateLists:
        """One array of items a user."""
        items = Ragged.of_rows([np.asarray(row, dtype=np.int32) for row in lists])
        return cls(np.asarray(users, dtype=np.int32), items)

    @property
    def offsets(self) -> np.ndarray:
        """List ``r`` is ``items[offsets[r]:offsets[r + 1]]``, ``int64[rows + 1]``."""
        return self.lists.offsets

    @property
    def items(self) -> np.ndarray:
        """Of all lists, end to end, ``int32[total]``."""
        return self.lists.values

    def __len__(self) -> int:
        return len(self.user_index)

    def __getitem__(self, row: int) -> np.ndarray:
        return self.lists[row]

    def take(self, rows: np.ndarray) -> CandidateLists:
        """Some lists, in the order given."""
        return CandidateLists(self.user_index[rows], self.lists.take(rows))


@dataclass(frozen=True)
class Recommendations:
    """Ranked items of several users; a user's rows are contiguous, best first.

    Attributes:
        user_index, item_index: ``int32[rows]``.
        rank: 1 is best, ``int32[rows]``.
        score: higher is better, comparable within a user, ``float32[rows]``.
    """

    user_index: np.ndarray
    item_index: np.ndarray
    rank: np.ndarray
    score: np.ndarray
    users: Vocabulary | None = None
    items: Vocabulary | None = None
    titles: Sequence[str] | None = None
    cold: np.ndarray | None = None

    @classmethod
    def from_lists(
        cls, users: np.ndarray, items: list[np.ndarray], scores: list[np.ndarray]
    ) -> Recommendations:
        """Build from one best-first array of items and scores a user (lengths may differ)."""
        lengths = np.array([len(row) for row in items], dtype=np.int64)

        def join(rows: list[np.ndarray], dtype: type) -> np.ndarray:
            return np.concatenate([*rows, np.empty(0)]).astype(dtype)

        ranks = [np.arange(1, length + 1) for length in lengths]
        return cls(
            np.repeat(np.asarray(users), lengths).astype(np.int32),
            join(items, np.int32),
            join(ranks, np.int32),
            join(scores, np.float32),
        )

    def __len__(self) -> int:
        return len(self.user_index)

    def to_frame(self, dataset: Dataset) -> pl.DataFrame:
        """Columns ``user_id, item_id, rank, score, title`` in the user's own ids."""
        return pl.DataFrame(
            {
                "user_id": [dataset.users.ids[u] for u in self.user_index],
                "item_id": [dataset.items.ids[i] for i in self.item_index],
                "rank": self.rank,
                "score": self.score,
                "title": [dataset.catalog.title[i] for i in self.item_index],
            },
            schema_overrides={"user_id": pl.String, "item_id": pl.String, "title": pl.String},
        )
