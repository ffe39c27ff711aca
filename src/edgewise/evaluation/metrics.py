"""Metrics: accuracy of ranked lists, and closeness of texts.

Accuracy is computed from the ranks of the held-out items alone (:class:`Hits`); :data:`METRICS`
names its functions, and a function that is added there under a new name is measured like the rest.
What lists show of the catalogue is in :mod:`edgewise.evaluation.list_metrics`.
The protocols of released code count list entries instead (:data:`ENTRY_METRICS`) and pad short
lists (:func:`padded_at_random`). Both raise figures for no merit of the model, and reports under
such a protocol say so.

A *query* is one list to be ranked: a user's whole catalogue, or one list of candidates. Shapes: Q
queries, H held-out items that were found in a list, U users, I items, N pairs with a text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any

import numpy as np
import polars as pl

from edgewise.config import check, nearest
from edgewise.data.dataset import Dataset, Interactions
from edgewise.data.hashing import id_keys, keyed_uniform
from edgewise.data.item_lists import CandidateLists, Recommendations
from edgewise.data.pairs import among, distinct, first_places, pair_keys
from edgewise.errors import ConfigError, EdgewiseError
from edgewise.evaluation.list_metrics import LIST_METRICS, ListMetric
from edgewise.evaluation.statistics import Bootstrap, Estimate, bootstrap_means
from edgewise.parsing import shortened

_MOST_DIGITS = 9  # of a list length


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

    @classmethod
    def of_users(cls, users: np.ndarray, ranks: np.ndarray) -> Hits:
        """One list a user, in which all of the user's held-out items were found.

        Args:
            users: the user of each held-out item, ``int[H]``, in any order.
            ranks: its place in the user's list, ``int[H]``.
        """
        different, query, counts = np.unique(users, return_inverse=True, return_counts=True)
        return cls(different, counts, query, ranks)


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
        every_entry: find repeats too, as :data:`ENTRY_METRICS` count them.
    """
    stride = 1 + max(recommendations.item_index.max(initial=0), held_out.item_index.max(initial=0))
    wanted = distinct(pair_keys(held_out, stride))
    users, num_positives = np.unique(wanted // stride, return_counts=True)
    by_rank = np.argsort(recommendations.rank, kind="stable")
    keys = pair_keys(recommendations, stride)[by_rank]
    listed = np.arange(len(keys)) if every_entry else first_places(keys)
    found = listed[among(keys[listed], wanted)]
    query = np.searchsorted(users, keys[found] // stride)
    rank = recommendations.rank[by_rank][found].astype(np.int64)
    return Hits(users.astype(np.int32), num_positives.astype(np.int64), query, rank)


def found_within(hits: Hits, k: int) -> np.ndarray:
    """Found items among the first k, ``int64[Q]``."""
    return np.bincount(hits.query[hits.rank <= k], minlength=len(hits.user_index))


def hit_rate(hits: Hits, k: int) -> np.ndarray:
    """1 where at least one held-out item is among the first k, ``float64[Q]``."""
    return (found_within(hits, k) > 0).astype(np.float64)


def ndcg(hits: Hits, k: int) -> np.ndarray:
    """Discounted gain 1/log2(rank + 1) over the best attainable in k places, ``float64[Q]``."""
    return _gain(hits, k) / _best_gain(np.minimum(k, hits.num_positives))


def _gain(hits: Hits, k: int) -> np.ndarray:
    """Sum of 1/log2(rank + 1) over the items found among the first k, ``float64[Q]``."""
    near = hits.rank <= k
    gains = 1 / np.log2(hits.rank[near] + 1)
    return np.bincount(hits.query[near], gains, minlength=len(hits.user_index))


def _best_gain(counts: np.ndarray) -> np.ndarray:
    """Gain of n items in the first n places, ``float64[Q]``; 1 for n = 0, to divide by."""
    places = np.arange(2, counts.max(initial=0) + 2)
    return np.concatenate([[1.0], np.cumsum(1 / np.log2(places))])[counts]


def recall(hits: Hits, k: int) -> np.ndarray:
    """Hits among the first k over ``min(k, positives)``: a full list of hits is 1, ``float64[Q]``.

    This is the Recall@k of the graph-attentive GPT-2 paper and of the autoencoder papers.
    """
    return found_within(hits, k) / np.minimum(k, hits.num_positives)


def plain_recall(hits: Hits, k: int) -> np.ndarray:
    """Share of all held-out items among the first k, ``float64[Q]``: below 1 if there are more."""
    return found_within(hits, k) / hits.num_positives


def mrr(hits: Hits, k: int) -> np.ndarray:
    """1/rank of the first held-out item, 0 where none is among the first k, ``float64[Q]``."""
    best = np.zeros(len(hits.user_index))
    near = hits.rank <= k
    np.maximum.at(best, hits.query[near], 1 / hits.rank[near])
    return best


def precision(hits: Hits, k: int) -> np.ndarray:
    """Share of the first k places that hold a held-out item, ``float64[Q]``."""
    return found_within(hits, k) / k


def average_precision(hits: Hits, k: int) -> np.ndarray:
    """Precision at the place of every hit among the first k, over ``min(k, positives)``.

    Its mean over users is MAP@k; ``float64[Q]``.
    """
    near = hits.rank <= k
    order = np.lexsort((hits.rank[near], hits.query[near]))
    query, rank = hits.query[near][order], hits.rank[near][order]
    before = np.searchsorted(query, query)  # hits of earlier queries
    precisions = (np.arange(len(query)) - before + 1) / rank
    total = np.bincount(query, precisions, minlength=len(hits.user_index))
    return total / np.minimum(k, hits.num_positives)


Metric = Callable[[Hits, int], np.ndarray]

METRICS: dict[str, Metric] = {
    "HitRate": hit_rate,
    "NDCG": ndcg,
    "Recall": recall,
    "PlainRecall": plain_recall,
    "MRR": mrr,
    "Precision": precision,
    "MAP": average_precision,
}
"""Accuracy by name; add a function of your own to have it measured."""

_OURS = frozenset([*METRICS, *LIST_METRICS])


def entry_rate(hits: Hits, k: int) -> np.ndarray:
    """List entries that hold a held-out item over held-out items, ``float64[Q]``; may exceed 1."""
    return found_within(hits, k) / hits.num_positives


def entry_ndcg(hits: Hits, k: int) -> np.ndarray:
    """Gain of all entries over the gain of as many at the top, ``float64[Q]``.

    The best attainable gain counts the entries that were found and not those to be found, so a
    repeat at a lower place takes away from what the first one earned.
    """
    return _gain(hits, k) / _best_gain(np.minimum(k, found_within(hits, k)))


ENTRY_METRICS: Mapping[str, Metric] = {"HitRate": entry_rate, "NDCG": entry_ndcg}
"""What ELMRec's released code counts in the place of two of :data:`METRICS`."""


def per_user_metrics(
    hits: Hits, ks: Sequence[int], metrics: Sequence[str], *, count_repeats: bool = False
) -> pl.DataFrame:
    """Columns ``user_index`` and ``Metric@k``, one row a user; a user's queries are averaged.

    Args:
        hits: of all queries, with ``every_entry`` if repeats count.
        ks: list lengths.
        metrics: names from :data:`METRICS`.
        count_repeats: whether :data:`ENTRY_METRICS` stand in for the metrics of their names.

    Raises:
        ConfigError: an unknown metric, or a list length below 1.
    """
    check_cutoffs(ks)
    metrics = check_metrics(metrics)
    functions = {**METRICS, **ENTRY_METRICS} if count_repeats else METRICS
    columns = {f"{name}@{k}": functions[name](hits, k) for name in metrics for k in ks}
    frame = pl.DataFrame({"user_index": hits.user_index, **columns})
    return frame.group_by("user_index", maintain_order=True).mean()


def ranking_metric(name: str, users: np.ndarray, ranks: np.ndarray) -> float:
    """Mean over users of one metric, for validation while a model trains.

    Args:
        name: such as ``NDCG@10``.
        users: the user of each held-out item, ``int[H]``.
        ranks: its place in the user's list, 1 is best, ties counted against the model, ``int[H]``.

    Raises:
        ConfigError: see :func:`parse_metric`.
    """
    metric, k = parse_metric(name)
    return float(METRICS[metric](Hits.of_users(users, ranks), k).mean())


def parse_metric(name: str) -> tuple[str, int]:
    """``("NDCG", 10)`` of ``NDCG@10``; see :func:`check_metrics` for how names may be spelled.

    Raises:
        ConfigError: no such metric (the nearest is named), or no list length.
    """
    spelled, _, k = name.partition("@")
    (metric,) = check_metrics([spelled])
    told = f"metric {shortened(name)} is of whole lists: name one of accuracy, {', '.join(METRICS)}"
    check(metric in METRICS, told)
    valid = k.isascii() and k.isdecimal() and len(k) <= _MOST_DIGITS and int(k) > 0
    check(valid, f"metric {shortened(name)}: give a list length of 1 or more, as in '{metric}@10'")
    return metric, int(k)


OwnMetric = Metric | ListMetric


def named_metrics(metrics: Sequence[str | OwnMetric]) -> list[str]:
    """Names of metrics; a function is put under its own name first, to be measured like the rest.

    Args:
        metrics: names, functions ``(hits, k)`` of accuracy, and functions ``(lists)`` of lists.

    Raises:
        ConfigError: a function has the name of a metric that is there, no name, or other arguments.
    """
    return [metric if isinstance(metric, str) else _put(metric) for metric in metrics]


def _put(metric: OwnMetric) -> str:
    name = getattr(metric, "__name__", "<lambda>")
    check(name.isidentifier(), "a metric of your own needs a name: define it with 'def NAME'")
    check(
        name not in _OURS,
        f"metric {name}: a metric of this name is there; give yours another name",
    )
    count = len(signature(metric).parameters)
    check(
        count in (1, 2),
        f"metric {name}: {count} arguments; write it of (hits, k) for accuracy, or of (lists)",
    )
    ours: Any = METRICS if count == 2 else LIST_METRICS
    (LIST_METRICS if count == 2 else METRICS).pop(name, None)
    ours[name] = metric
    return name


_SHORT_NAMES = {"hit": "HitRate", "hits": "HitRate", "hr": "HitRate", "hitratio": "HitRate"}


def check_metrics(metrics: Sequence[str]) -> list[str]:
    """The metrics' names as :data:`METRICS` and ``LIST_METRICS`` spell them, each once.

    Case, hyphens, underscores and spaces do not count: ``ndcg``, ``hit_rate``; ``hit`` and ``HR``
    are the hit rate.

    Raises:
        ConfigError: no such metric, or none at all.
    """
    names = [*METRICS, *LIST_METRICS]
    check(len(metrics) > 0, f"no metric to measure: name some of {', '.join(names)}")
    plain = _SHORT_NAMES | {_plain(name): name for name in names}
    found = []
    for name in metrics:
        known = name if name in names else plain.get(_plain(name))
        if known is None:
            apart = " List lengths are named apart, as -k 10." if "@" in name else ""
            raise ConfigError(f"unknown metric {shortened(name)}.{nearest(name, names)}{apart}")
        found.append(known)
    return list(dict.fromkeys(found))


def only_of_lists(metrics: Sequence[str] | None) -> bool:
    """Whether some are named and all are of whole lists, which the direct task has not."""
    return bool(metrics) and all(name in LIST_METRICS for name in check_metrics(metrics))


def _plain(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter not in "-_ ")


def check_cutoffs(ks: Sequence[int]) -> None:
    """Refuse list lengths that no list can have."""
    valid = len(ks) > 0 and all(1 <= k < 2**63 for k in ks)
    told = ", ".join(map(shortened, ks)) or "none"
    check(valid, f"ks = {told}: give at least one list length, each 1 or more")


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


_MAX_ORDER = 4
_ROUGE = {"ROUGE-1": "rouge1", "ROUGE-2": "rouge2", "ROUGE-L": "rougeL"}


def text_metrics(
    texts: Sequence[str], references: Sequence[str], bootstrap: Bootstrap | None = None
) -> tuple[pl.DataFrame, dict[str, Estimate]]:
    """BLEU-1, BLEU-4, ROUGE-1/2/L (F) and the share of distinct texts, all in percent.

    BLEU is sacrebleu's over the whole corpus (its own ``13a`` tokens, case kept, no smoothing), so
    it has no value for a single pair. ROUGE is rouge-score's mean over pairs (no stemming); it
    reads the letters a-z and digits only. ``Distinct`` unmasks a model that writes one sentence
    for everybody, which the other scores may like.

    Args:
        texts: what a model wrote, N strings; an empty one scores 0.
        references: what users wrote, N strings.
        bootstrap: how intervals are made.

    Returns:
        A table with one row a pair (``text, reference, ROUGE-...``), and each metric's estimate.
    """
    if len(texts) != len(references) or not texts:
        raise EdgewiseError(
            f"{len(texts)} texts against {len(references)} references: give one text for each "
            "reference, and at least one"
        )
    bootstrap = bootstrap or Bootstrap()
    rouge = _rouge(texts, references)
    table = pl.DataFrame({"text": list(texts), "reference": list(references), **rouge})
    estimates = bootstrap_means(table.select(*_ROUGE).to_numpy(), bootstrap)
    metrics = _bleu(texts, references, bootstrap) | dict(zip(_ROUGE, estimates, strict=True))
    return table, metrics | {"Distinct": Estimate(100 * len(set(texts)) / len(texts))}


def _rouge(texts: Sequence[str], references: Sequence[str]) -> dict[str, list[float]]:
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(list(_ROUGE.values()))
    scores = [scorer.score(*pair) for pair in zip(references, texts, strict=True)]
    return {name: [100.0 * s[key].fmeasure for s in scores] for name, key in _ROUGE.items()}


def _bleu(
    texts: Sequence[str], references: Sequence[str], bootstrap: Bootstrap
) -> dict[str, Estimate]:
    counts = _ngram_counts(texts, references)
    whole, resampled = counts.sum(axis=0), bootstrap.resampled_sums(counts)

    def estimate(order: int) -> Estimate:
        scores = np.array([_corpus_bleu(row, order) for row in resampled])
        return bootstrap.estimate(_corpus_bleu(whole, order), scores)

    return {"BLEU-1": estimate(1), "BLEU-4": estimate(_MAX_ORDER)}


def _ngram_counts(texts: Sequence[str], references: Sequence[str]) -> np.ndarray:
    """Matched and written n-grams of orders 1-4, and both lengths, ``int64[N, 10]``.

    Corpus BLEU is a function of their sums, so a resample of pairs is a resample of these rows.
    """
    from sacrebleu.metrics.bleu import BLEU

    # effective_order changes a sentence's score, not its counts; without it sacrebleu warns.
    scorer = BLEU(max_ngram_order=_MAX_ORDER, effective_order=True)
    pairs = zip(texts, references, strict=True)
    scores = [scorer.sentence_score(text, [reference]) for text, reference in pairs]
    return np.array([[*s.counts, *s.totals, s.sys_len, s.ref_len] for s in scores])


def _corpus_bleu(counts: np.ndarray, order: int) -> float:
    from sacrebleu.metrics.bleu import BLEU

    numbers = [int(number) for number in counts]
    matched, written = numbers[:order], numbers[_MAX_ORDER : _MAX_ORDER + order]
    text_length, reference_length = numbers[-2:]
    return BLEU.compute_bleu(
        matched, written, text_length, reference_length, max_ngram_order=order
    ).score
