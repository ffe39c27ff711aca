"""Lists of candidate items to choose from, one list a user, of any lengths."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class CandidateLists:
    """Candidates of several users as compressed rows.

    Attributes:
        user_index: ``int32[rows]``, one entry a list.
        offsets: ``int64[rows + 1]``; list ``r`` is ``items[offsets[r]:offsets[r + 1]]``.
        items: item indices, ``int32[total]``; no item twice in a list.
    """

    user_index: np.ndarray
    offsets: np.ndarray
    items: np.ndarray

    @classmethod
    def from_lists(cls, users: np.ndarray, lists: list[np.ndarray]) -> CandidateLists:
        offsets = np.zeros(len(lists) + 1, dtype=np.int64)
        np.cumsum([len(row) for row in lists], out=offsets[1:])
        items = np.concatenate([*lists, np.empty(0)]).astype(np.int32)
        return cls(np.asarray(users, dtype=np.int32), offsets, items)

    def __len__(self) -> int:
        return len(self.user_index)

    def __getitem__(self, row: int) -> np.ndarray:
        return self.items[self.offsets[row] : self.offsets[row + 1]]
