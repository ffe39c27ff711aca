"""ELMRec's reranking: ask for a few items more than wanted, then drop those already seen.

Section 4.2 of the ELMRec paper (arXiv 2409.19979) finds that a sequential recommender likes to
repeat the history, asks the beam for ``k + N`` items, filters the known ones and keeps the order of
the probabilities. A list stays short if more than N of its items were seen.

``beam_search(..., banned=seen)`` does the filtering inside the search instead: seen items cost no
room in the beam, so lists are full whenever enough unseen items exist. Filtering afterwards is what
the paper measures; banning is what a user of recommendations wants. With a beam as wide as the
catalogue and N at least the longest history, both give the same lists.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def rerank(
    items: np.ndarray, scores: np.ndarray, seen: Sequence[np.ndarray] | None, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """The k likeliest items of each list that the user has not interacted with.

    Args:
        items: ``int64[B, k + N]``, -1 where a list is short.
        scores: ``float[B, k + N]``, log-likelihoods.
        seen: B arrays of item indices; none leaves seen items in, the paper's ablation "w/o
            reranking".
        k: the number of items wanted.

    Returns:
        Items ``int64[B, k]``, -1 where fewer are left, and their scores, minus infinity there.
    """
    keep = items >= 0
    if seen is not None:
        keep &= ~_contained(items, seen)
    ranked = np.where(keep, scores, -np.inf)
    order = np.argsort(-ranked, axis=1, kind="stable")[:, :k]
    kept_items = np.where(
        np.take_along_axis(keep, order, 1), np.take_along_axis(items, order, 1), -1
    )
    kept_scores = np.take_along_axis(ranked, order, 1).astype(scores.dtype)
    missing = ((0, 0), (0, k - order.shape[1]))
    return (
        np.pad(kept_items, missing, constant_values=-1),
        np.pad(kept_scores, missing, constant_values=-np.inf),
    )


def _contained(items: np.ndarray, sets: Sequence[np.ndarray]) -> np.ndarray:
    """``bool[B, M]``: whether each item stands in its row's set."""
    lengths = [len(row) for row in sets]
    flat = np.concatenate([*sets, np.empty(0, dtype=np.int64)]).astype(np.int64)
    size = 1 + max(items.max(initial=0), flat.max(initial=0))
    rows = np.arange(len(items))
    return np.isin(rows[:, None] * size + items, np.repeat(rows, lengths) * size + flat)
