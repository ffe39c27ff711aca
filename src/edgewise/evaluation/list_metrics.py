"""What lists show of the catalogue, whoever takes what: coverage, popularity, novelty, diversity.

:data:`LIST_METRICS` names the functions, and one that is added there under a new name is measured
like the rest. None of them is good or bad by itself: lists drawn at random cover, renew and vary
most.

Shapes: U measured users, N rows of their lists, I items, L labels of items.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from edgewise.data.dataset import Catalog, Dataset, Interactions
from edgewise.data.item_lists import Recommendations
from edgewise.data.pairs import distinct, num_distinct, pair_keys
from edgewise.errors import DataError

if TYPE_CHECKING:
    import scipy.sparse as sp


@dataclass(frozen=True, eq=False)
class ShownLists:
    """The lists of the measured users, and what is known of items without any held-out row.

    Attributes:
        user: the place of each row's user among the measured users, ``int64[N]``.
        item, rank: of each row, ``int64[N]``; rank 1 is best.
        num_users: U; users without a list count too.
        num_train_users: users with train rows.
        train_counts: train users of every item, ``int64[I]``.
        catalog: titles, categories and brands.
    """

    user: np.ndarray
    item: np.ndarray
    rank: np.ndarray
    num_users: int
    num_train_users: int
    train_counts: np.ndarray
    catalog: Catalog

    @classmethod
    def of(
        cls, lists: Recommendations, users: np.ndarray, train: Interactions, dataset: Dataset
    ) -> ShownLists:
        """Lists as a model returned them.

        Args:
            lists: of some or all of the users; those of others are left out.
            users: who is measured, ascending, ``int[U]``.
            train: the train rows; a user's repeated rows of an item count once.
            dataset: gives the number of items, and their catalogue.
        """
        kept = np.isin(lists.user_index, users)
        user = np.searchsorted(users, lists.user_index[kept])
        item, rank = (column[kept].astype(np.int64) for column in (lists.item_index, lists.rank))
        keys = distinct(pair_keys(train, dataset.num_items))
        counts = np.bincount(keys % dataset.num_items, minlength=dataset.num_items)
        num_train_users = num_distinct(train.user_index)
        return cls(user, item, rank, len(users), num_train_users, counts, dataset.catalog)

    @property
    def num_items(self) -> int:
        """I."""
        return len(self.train_counts)

    @cached_property
    def lengths(self) -> np.ndarray:
        """Rows of every user's list, ``int64[U]``."""
        return np.bincount(self.user, minlength=self.num_users)

    def first(self, k: int) -> ShownLists:
        """The first k rows of every list."""
        kept = self.rank <= k
        return replace(self, user=self.user[kept], item=self.item[kept], rank=self.rank[kept])

    def mean(self, values: np.ndarray) -> np.ndarray:
        """Each user's mean of a value of every row, ``float64[U]``; 0 without a list."""
        total = np.bincount(self.user, values, minlength=self.num_users)
        return total / np.maximum(self.lengths, 1)


def coverage(lists: ShownLists) -> float:
    """Share of the catalogue that stands in at least one list."""
    return np.count_nonzero(np.bincount(lists.item)) / lists.num_items


def gini(lists: ShownLists) -> float:
    """How unevenly places are dealt to the items: 0 for all alike, near 1 for few items.

    The Gini index of how often every item of the catalogue is shown, x in rising order:
    ``sum_n (2 n - I - 1) x_n / (I sum x)``.
    """
    shown = np.sort(np.bincount(lists.item, minlength=lists.num_items))
    weights = 2 * np.arange(1, lists.num_items + 1) - lists.num_items - 1
    return float(weights @ shown / (lists.num_items * max(shown.sum(), 1)))


def popular_share(lists: ShownLists) -> np.ndarray:
    """Share of each list's items that are among the most popular fifth, ``float64[U]``."""
    return lists.mean(popular_items(lists.train_counts)[lists.item])


def average_popularity(lists: ShownLists) -> np.ndarray:
    """Mean number of train users of each list's items, ``float64[U]``."""
    return lists.mean(lists.train_counts[lists.item])


def novelty(lists: ShownLists) -> np.ndarray:
    """Mean of ``-log2(train users of the item / train users)``, in bits, ``float64[U]``.

    The self-information of Zhou et al., PNAS 2010. An item without train users counts as if it had
    one.
    """
    share = np.maximum(lists.train_counts, 1) / max(lists.num_train_users, 1)
    return lists.mean(-np.log2(share)[lists.item])


def diversity(lists: ShownLists) -> np.ndarray:
    """Mean of one minus the cosine of two items' labels, over a list's pairs, ``float64[U]``.

    The intra-list diversity of Smyth and McClave, ICCBR 2001. Labels are categories, or words of
    titles where no item has categories; those that all items share are left out, and an item
    without any is unlike all others. Lists of fewer than two items have 0.

    Raises:
        DataError: the catalogue has neither categories nor titles.
    """
    import scipy.sparse as sp

    labels = item_labels(lists.catalog)
    rows = np.ones(len(lists.item), dtype=np.float32), (lists.user, lists.item)
    shown = sp.csr_array(rows, shape=(lists.num_users, lists.num_items))
    squares = labels.power(2).sum(axis=1)
    # The cosines of all ordered pairs are the square of the sum, less each item with itself.
    whole = sp.csr_array(shown @ labels).power(2).sum(axis=1) - shown @ squares
    pairs = lists.lengths * (lists.lengths - 1)
    return np.where(pairs > 0, 1 - whole / np.maximum(pairs, 1), 0.0)


def item_labels(catalog: Catalog) -> sp.csr_array:
    """Each item's labels as a vector of length 1, or 0 without any, ``float64[I, L]``."""
    import scipy.sparse as sp

    labels: Sequence[set[str]] = [set(each) for each in catalog.categories]
    if not any(labels):
        labels = [set(title.casefold().split()) for title in catalog.title]
    if not any(labels):
        raise DataError(
            "Diversity: items have neither categories nor titles to be told apart by; import the "
            "data with them, or measure another metric"
        )
    shared = set.intersection(*labels)
    numbers = {name: place for place, name in enumerate(sorted(set().union(*labels) - shared))}
    rows = [[numbers[name] for name in sorted(each - shared)] for each in labels]
    lengths = np.array([len(row) for row in rows])
    values = np.repeat(np.maximum(lengths, 1) ** -0.5, lengths)
    columns = np.array([place for row in rows for place in row], dtype=np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return sp.csr_array((values, columns, offsets), shape=(len(rows), len(numbers)))


def popular_items(counts: np.ndarray, share: float = 0.2) -> np.ndarray:
    """Marks the ``share`` of the catalogue with the highest counts, ``bool[I]``.

    The number of items is rounded up; where equal counts straddle the border, lower indices are in.
    """
    is_popular = np.zeros(len(counts), dtype=bool)
    is_popular[np.argsort(-counts, kind="stable")[: int(np.ceil(share * len(counts)))]] = True
    return is_popular


ListMetric = Callable[[ShownLists], "np.ndarray | float"]

LIST_METRICS: dict[str, ListMetric] = {
    "PopularShare": popular_share,
    "Coverage": coverage,
    "Gini": gini,
    "Novelty": novelty,
    "Diversity": diversity,
    "AveragePopularity": average_popularity,
}
"""Metrics of the first k rows of lists by name: a value a user, or one number of all lists.

Add a function of your own to have it measured.
"""

ALWAYS = ("PopularShare", "Coverage")
"""Measured wherever there are lists."""


def measure_lists(
    lists: ShownLists, ks: Sequence[int], metrics: Sequence[str]
) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Values of each user, and numbers of all lists, by ``Metric@k``.

    Args:
        lists: at least as long as the largest k.
        ks: list lengths.
        metrics: names; those that are not of lists are left to others. :data:`ALWAYS` join them.
    """
    per_user: dict[str, np.ndarray] = {}
    overall: dict[str, float] = {}
    for name in dict.fromkeys((*ALWAYS, *(each for each in metrics if each in LIST_METRICS))):
        for k in ks:
            value = LIST_METRICS[name](lists.first(k))
            place = overall if np.ndim(value) == 0 else per_user
            place[f"{name}@{k}"] = value  # type: ignore[assignment]
    return per_user, overall
