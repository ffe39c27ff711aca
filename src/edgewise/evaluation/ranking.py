"""Accuracy of ranked lists, computed from the ranks of the held-out items alone.

A *query* is one list to be ranked: a user's whole catalogue, or one list of candidates. Shapes:
Q queries, H held-out items that were found in a list.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np
import polars as pl

from edgewise.data.candidates import CandidateLists
from edgewise.data.interactions import Interactions
from edgewise.data.recommendations import Recommendations
from edgewise.errors import ConfigError, EdgewiseError


@dataclass(frozen=True)
class Hits:
    """Where the held-out items of each query were found.

    Attributes:
        user_index: the user of each query, ``int32[Q]``; a user may have several queries.
        num_positives: held-out items of each query, found or not, at least 1, ``int64[Q]``.
        query: the query of each found item, ``int64[H]``.
        rank: the place of each found item, 1 is best, ``int64[H]``.
    """

    user_index: np.ndarray
    num_positives: np.ndarray
    query: np.ndarray
    rank: np.ndarray

    @classmethod
    def from_ranks(cls, users: np.ndarray, ranks: np.ndarray) -> Hits:
        """One held-out item a query, always found: ranked candidate lists (both ``int[Q]``)."""
        ones = np.ones(len(ranks), dtype=np.int64)
        return cls(users, ones, np.arange(len(ranks)), ranks)


def ranks_from_scores(
    candidates: CandidateLists, scores: np.ndarray, positives: np.ndarray
) -> np.ndarray:
    """The place of each list's positive among its candidates, ``int64[Q]``.

    Ties count against the model: every candidate that is not scored strictly below the positive
    stands before it. NaN is below nothing and has nothing below it, so a model gains nothing by
    returning it.

    Args:
        candidates: Q lists, each holding its positive exactly once.
        scores: higher is better, aligned with ``candidates.items``.
        positives: the item index to be found in each list, ``int[Q]``.
    """
    if scores.shape != candidates.items.shape:
        raise EdgewiseError(
            f"{len(candidates.items)} candidates were given but scores have shape {scores.shape}; "
            "score_candidates must return one score a candidate, aligned with candidates.items"
        )
    lengths = np.diff(candidates.offsets)
    is_positive = candidates.items == np.repeat(positives, lengths)
    _require_one_positive_a_list(candidates, is_positive)
    bar = np.repeat(scores[is_positive], lengths)
    return np.add.reduceat(~(scores < bar), candidates.offsets[:-1], dtype=np.int64)


def _require_one_positive_a_list(candidates: CandidateLists, is_positive: np.ndarray) -> None:
    # reduceat would read a neighbour's candidates for an empty list; cumulative sums do not.
    found = np.diff(np.concatenate([[0], np.cumsum(is_positive)])[candidates.offsets])
    wrong = np.flatnonzero(found != 1)
    if len(wrong):
        raise EdgewiseError(
            f"candidate list {wrong[0]} (user_index {candidates.user_index[wrong[0]]}) holds its "
            f"held-out item {found[wrong[0]]} times; every list must hold it exactly once"
        )


def hits_from_recommendations(
    recommendations: Recommendations, held_out: Interactions, *, every_entry: bool = False
) -> Hits:
    """Find each user's held-out items in the user's list; one query for each held-out user.

    A repeated item counts once, at its best place, and the repeat keeps the place it occupies:
    repeating an item neither earns twice nor moves later items up. Users without held-out rows
    are left out; held-out users without a list are queries without a hit.

    Args:
        recommendations: lists of some or all of the held-out users.
        held_out: the items to be found.
        every_entry: find repeats too, as :mod:`edgewise.evaluation.released` counts them.
    """
    stride = 1 + max(recommendations.item_index.max(initial=0), held_out.item_index.max(initial=0))
    wanted = np.unique(_pair_keys(held_out, stride))
    users, num_positives = np.unique(wanted // stride, return_counts=True)
    by_rank = np.argsort(recommendations.rank, kind="stable")
    keys = _pair_keys(recommendations, stride)[by_rank]
    listed = np.arange(len(keys)) if every_entry else np.unique(keys, return_index=True)[1]
    found = listed[np.isin(keys[listed], wanted)]
    query = np.searchsorted(users, keys[found] // stride)
    rank = recommendations.rank[by_rank][found].astype(np.int64)
    return Hits(users.astype(np.int32), num_positives.astype(np.int64), query, rank)


def _pair_keys(rows: Interactions | Recommendations, stride: int) -> np.ndarray:
    """One integer for each (user, item)."""
    return rows.user_index.astype(np.int64) * int(stride) + rows.item_index


def found_within(hits: Hits, k: int) -> np.ndarray:
    """Found items among the first k, ``int64[Q]``."""
    return np.bincount(hits.query[hits.rank <= k], minlength=len(hits.user_index))


def hit_rate(hits: Hits, k: int) -> np.ndarray:
    """1 where at least one held-out item is among the first k, ``float64[Q]``."""
    return (found_within(hits, k) > 0).astype(np.float64)


def recall(hits: Hits, k: int) -> np.ndarray:
    """Hits among the first k over ``min(k, positives)``: a full list of hits is 1, ``float64[Q]``.

    This is the Recall@k of the graph-attentive GPT-2 paper and of the autoencoder papers.
    """
    return found_within(hits, k) / np.minimum(k, hits.num_positives)


def plain_recall(hits: Hits, k: int) -> np.ndarray:
    """Share of all held-out items among the first k, ``float64[Q]``: below 1 if there are more."""
    return found_within(hits, k) / hits.num_positives


def ndcg(hits: Hits, k: int) -> np.ndarray:
    """Discounted gain 1/log2(rank + 1) over the best attainable in k places, ``float64[Q]``."""
    near = hits.rank <= k
    gain = np.bincount(
        hits.query[near], 1 / np.log2(hits.rank[near] + 1), minlength=len(hits.user_index)
    )
    attainable = np.cumsum(1 / np.log2(np.arange(2, k + 2)))
    return gain / attainable[np.minimum(k, hits.num_positives) - 1]


def mrr(hits: Hits, k: int) -> np.ndarray:
    """1/rank of the first held-out item, 0 where none is among the first k, ``float64[Q]``."""
    best = np.zeros(len(hits.user_index))
    near = hits.rank <= k
    np.maximum.at(best, hits.query[near], 1 / hits.rank[near])
    return best


Measure = Callable[[Hits, int], np.ndarray]

METRICS: dict[str, Measure] = {
    "HitRate": hit_rate,
    "NDCG": ndcg,
    "Recall": recall,
    "PlainRecall": plain_recall,
    "MRR": mrr,
}


def per_user_metrics(
    hits: Hits, ks: Sequence[int], metrics: Sequence[str], measures: Mapping[str, Measure] = METRICS
) -> pl.DataFrame:
    """Columns ``user_index`` and ``Metric@k``, one row a user; a user's queries are averaged."""
    check_cutoffs(ks)
    check_metrics(metrics)
    columns = {f"{name}@{k}": measures[name](hits, k) for name in metrics for k in ks}
    frame = pl.DataFrame({"user_index": hits.user_index, **columns})
    return frame.group_by("user_index", maintain_order=True).mean()


def check_cutoffs(ks: Sequence[int]) -> None:
    """Refuse list lengths that no list can have."""
    if not ks or any(k < 1 for k in ks):
        raise ConfigError(f"ks={tuple(ks)}: give at least one list length, each 1 or more")


def check_metrics(metrics: Sequence[str]) -> None:
    """Refuse names of metrics that do not exist, and no metric at all."""
    if not metrics:
        raise ConfigError(f"no metric to measure: name some of {', '.join(METRICS)}")
    for name in metrics:
        if name not in METRICS:
            close = get_close_matches(name, METRICS, n=1, cutoff=0.0)
            raise ConfigError(
                f"unknown metric {name!r}: did you mean {close[0]!r}? Known: {', '.join(METRICS)}"
            )
