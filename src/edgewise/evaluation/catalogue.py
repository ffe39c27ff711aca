"""What lists show of the catalogue: how much of it, and how popular."""

from __future__ import annotations

import numpy as np

from edgewise.data.interactions import Interactions
from edgewise.data.recommendations import Recommendations


def catalogue_coverage(recommendations: Recommendations, num_items: int, k: int) -> float:
    """Share of the catalogue that stands in at least one list's first k places."""
    shown = recommendations.item_index[recommendations.rank <= k]
    return len(np.unique(shown)) / num_items


def popular_items(train: Interactions, num_items: int, share: float = 0.2) -> np.ndarray:
    """Marks the ``share`` of the catalogue with the most train rows, ``bool[I]``.

    The number of items is rounded up; where equal counts straddle the border, lower indices are in.
    """
    counts = np.bincount(train.item_index, minlength=num_items)
    is_popular = np.zeros(num_items, dtype=bool)
    is_popular[np.argsort(-counts, kind="stable")[: int(np.ceil(share * num_items))]] = True
    return is_popular


def popular_share(
    recommendations: Recommendations, is_popular: np.ndarray, users: np.ndarray, k: int
) -> np.ndarray:
    """Share of popular items among each user's first k, ``float64[len(users)]``; 0 without a list.

    Args:
        recommendations: lists of some or all of the users.
        is_popular: from :func:`popular_items`, ``bool[I]``.
        users: ascending user indices.
        k: list length.
    """
    counted = (recommendations.rank <= k) & np.isin(recommendations.user_index, users)
    row = np.searchsorted(users, recommendations.user_index[counted])
    popular = is_popular[recommendations.item_index[counted]]
    shown = np.bincount(row, minlength=len(users))
    return np.bincount(row, popular, minlength=len(users)) / np.maximum(shown, 1)
