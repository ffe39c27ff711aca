"""What the papers' released code does to lists before and while it counts.

Both raise figures for no merit of the model. Protocols that ask for it say so in every report.
Shapes: Q queries, U users.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edgewise.data.interactions import Dataset
from edgewise.data.keyed_random import id_keys, keyed_uniform
from edgewise.data.recommendations import Recommendations
from edgewise.evaluation.ranking import METRICS, Hits, Measure, found_within


def padded_at_random(
    lists: Recommendations, users: np.ndarray, dataset: Dataset, k: int, seed: int
) -> Recommendations:
    """Fill each list up to ``k`` with items drawn uniformly, seen and repeated ones included.

    A user's draws depend on the seed, the spelling of the user's id and the place in the list.

    Args:
        lists: of some or all of the users, not longer than ``k``.
        users: whose lists are filled, ``int[U]``.
        dataset: gives ids and the number of items.
        k: length of every list.
        seed: of the draws.
    """
    listed = np.bincount(lists.user_index, minlength=dataset.num_users)[users]
    missing = np.maximum(k - listed, 0)
    user = np.repeat(users, missing)
    rank = np.concatenate([np.arange(k - short, k) + 1 for short in missing] or [np.empty(0)])
    draws = keyed_uniform(seed, id_keys(dataset.users)[user], rank.astype(np.int64))
    columns = (
        (lists.user_index, user),
        (lists.item_index, (draws * dataset.num_items).astype(np.int32)),
        (lists.rank, rank),
        (lists.score, np.full(len(user), -np.inf)),
    )
    whole = [np.concatenate(parts).astype(parts[0].dtype) for parts in columns]
    order = np.lexsort((whole[2], whole[0]))
    return Recommendations(*(column[order] for column in whole))


def entry_rate(hits: Hits, k: int) -> np.ndarray:
    """List entries that hold a held-out item over held-out items, ``float64[Q]``; may exceed 1."""
    return found_within(hits, k) / hits.num_positives


def entry_ndcg(hits: Hits, k: int) -> np.ndarray:
    """Gain of all entries over the gain of as many at the top, ``float64[Q]``.

    The best attainable gain counts the entries that were found and not those to be found, so a
    repeat at a lower place takes away from what the first one earned.
    """
    near = hits.rank <= k
    gains = 1 / np.log2(hits.rank[near] + 1)
    gain = np.bincount(hits.query[near], gains, minlength=len(hits.user_index))
    best = np.concatenate([[1.0], np.cumsum(1 / np.log2(np.arange(2, k + 2)))])
    entries = np.minimum(found_within(hits, k), k)
    return gain / best[entries]


ENTRY_METRICS: Mapping[str, Measure] = METRICS | {"HitRate": entry_rate, "NDCG": entry_ndcg}
