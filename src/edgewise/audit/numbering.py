"""Item numbers that give the next item away.

A file that numbers its items in order of first appearance, test rows included, gives a user's next
item often the number after his last one. A rule without any learning then competes with models.
"""

from __future__ import annotations

import numpy as np

from edgewise.audit.findings import Figure, Finding, Subject
from edgewise.data.interactions import Histories, Interactions
from edgewise.data.recommendations import Recommendations
from edgewise.evaluation.ranking import hit_rate, hits_from_recommendations, ndcg

_NUMBERS = Subject("item-numbers", "ids")
_K = 10
# Fresh numberings by which chance is measured, on how many users, and how far beyond it a rule
# must lead before it is called a leak.
_SHUFFLES, _USERS, _SIGMAS = 20, 4000, 5.0


def telling_numbers(held_out: Interactions, known: Histories, num_items: int) -> Finding:
    """How often the rule of :func:`next_numbers` finds the held-out item, against chance.

    Chance is the rule's own hit rate when the items are numbered anew at random, 20 times, on a
    seeded sample of the users.

    Args:
        held_out: rows to be found.
        known: what each user had before.
        num_items: I.
    """
    if not len(held_out) or num_items < 2:
        return _NUMBERS.not_applicable("no held-out row, nothing to guess")
    numbers = np.arange(num_items)
    found = _accuracy(held_out, known, numbers)
    chance, spread = _by_chance(held_out, known, num_items)
    figures = [Figure(name, value, name) for name, value in found.items()]
    figures.append(Figure("HR@10 by chance", chance, "HR@10"))
    if found["HR@10"] <= chance + _SIGMAS * spread:
        return _NUMBERS.ok("an item's number says nothing about when it was taken", *figures)
    return _NUMBERS.leak(
        "guessing 'largest number so far + 1, then last number + 1, 2, ...' finds held-out items: "
        "the items are numbered in the order in which they were taken, test rows included",
        *figures,
        repair="number the items by a shuffle: import with --item-numbers shuffled",
    )


def next_numbers(known: Histories, users: np.ndarray, k: int = _K) -> Recommendations:
    """Largest number of the history + 1, then last number + 1, + 2, ...; seen items left out.

    Args:
        known: item numbers by user, in order of time.
        users: distinct, each with a history.
        k: places of a list. Numbers beyond the catalogue are listed as well, and are never right.
    """
    last = known.items[known.offsets[users + 1] - 1].astype(np.int64)
    filled = np.flatnonzero(known.lengths)
    largest = np.zeros(len(known), dtype=np.int64)
    largest[filled] = np.maximum.reduceat(known.items, known.offsets[filled])
    guesses = np.column_stack([largest[users] + 1, last[:, None] + np.arange(1, 3 * k)])
    stride = int(guesses.max(initial=0)) + 1
    asked = np.repeat(np.isin(np.arange(len(known)), users), known.lengths)
    seen = (np.repeat(np.arange(len(known)), known.lengths) * stride + known.items)[asked]
    usable = ~np.isin(users[:, None].astype(np.int64) * stride + guesses, seen)
    usable[:, 1:] &= guesses[:, 1:] != guesses[:, :1]
    usable &= usable.cumsum(axis=1) <= k
    rank = usable.cumsum(axis=1)[usable]
    owners = np.repeat(users, usable.sum(axis=1)).astype(np.int32)
    return Recommendations(
        owners, guesses[usable].astype(np.int32), rank.astype(np.int32), -rank.astype(np.float32)
    )


def _accuracy(held_out: Interactions, known: Histories, numbers: np.ndarray) -> dict[str, float]:
    """The rule's metrics when item ``i`` bears ``numbers[i]``."""
    users = np.unique(held_out.user_index)
    renamed = Histories(known.offsets, numbers[known.items])
    wanted = Interactions(held_out.user_index, numbers[held_out.item_index])
    lists = next_numbers(renamed, users[known.lengths[users] > 0])
    hits = hits_from_recommendations(lists, wanted)
    # The longest list first: the headline quotes the first figure.
    metrics = {"HR": hit_rate, "NDCG": ndcg}
    return {
        f"{name}@{k}": float(metrics[name](hits, k).mean()) for k in (10, 5) for name in metrics
    }


def _by_chance(held_out: Interactions, known: Histories, num_items: int) -> tuple[float, float]:
    """HR@10 of the rule under random numbers, and its standard deviation."""
    rng = np.random.default_rng(0)
    rows = np.flatnonzero(np.isin(held_out.user_index, _some(held_out.user_index, rng)))
    sample = held_out.take(rows)
    rates = [
        _accuracy(sample, known, rng.permutation(num_items))["HR@10"] for _ in range(_SHUFFLES)
    ]
    chance = float(np.mean(rates))
    # Popular items beside each other hit for many users at once, few users hit in whole numbers:
    # the spread between numberings knows the first, the binomial the second.
    binomial = np.sqrt(max(chance, 1 / len(rows)) / len(rows))
    return chance, float(max(np.std(rates), binomial))


def _some(users: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    distinct = np.unique(users)
    return rng.permutation(distinct)[:_USERS]
