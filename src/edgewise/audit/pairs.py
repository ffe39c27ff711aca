"""Pairs of a user and an item as single numbers, whatever table they stand in."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from edgewise.data.split import Split


class Pairs(Protocol):
    """Any table with a user and an item a row: interactions, explanations, lists."""

    @property
    def user_index(self) -> np.ndarray: ...

    @property
    def item_index(self) -> np.ndarray: ...


def pair_keys(rows: Pairs, num_items: int) -> np.ndarray:
    """``user * I + item`` of each row, ``int64[rows]``."""
    return rows.user_index.astype(np.int64) * num_items + rows.item_index


def visible_share(split: Split, part: str, shown: Pairs) -> float:
    """Share of a held-out part's rows that are among the shown pairs and did not have to be.

    A pair that stands in the train rows as well is known in any case, and does not count.
    """
    num_items = split.dataset.num_items
    held_out = pair_keys(split.held_out(part), num_items)
    told = np.isin(held_out, pair_keys(shown, num_items))
    told &= ~np.isin(held_out, pair_keys(split.train, num_items))
    return float(told.mean()) if len(told) else 0.0
