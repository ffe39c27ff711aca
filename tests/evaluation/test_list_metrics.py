"""What lists show of the catalogue, against fractions worked by hand and plain loops."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from edgewise.data.dataset import Catalog, Dataset, Interactions, Vocabulary
from edgewise.data.item_lists import Recommendations
from edgewise.errors import DataError
from edgewise.evaluation.list_metrics import (
    LIST_METRICS,
    ShownLists,
    diversity,
    item_labels,
    measure_lists,
    popular_items,
)

# Items 0 to 9 of which 0 has three train users, 1 two (and a repeated row), 2 and 3 one each.
TRAIN = Interactions(
    np.array([0, 0, 0, 1, 1, 2, 2, 3], dtype=np.int32),
    np.array([0, 1, 1, 0, 1, 0, 2, 3], dtype=np.int32),
)
CATEGORIES = (("All", "a"), ("All", "a"), ("All", "b"), ("All", "a", "b"), *[("All",)] * 6)


def dataset(catalog: Catalog | None = None) -> Dataset:
    users, items = (Vocabulary(tuple(map(str, range(10))), kind) for kind in ("user", "item"))
    return Dataset("shop", users, items, TRAIN, catalog or Catalog.empty(10))


def shown(catalog: Catalog | None = None) -> ShownLists:
    """User 4 is shown 0, 1, 2, user 5 nothing, user 7 0, 3; user 8 is not measured."""
    items = [np.array([0, 1, 2]), np.array([0, 3]), np.array([9])]
    scores = [np.zeros(len(row)) for row in items]
    lists = Recommendations.from_lists(np.array([4, 7, 8]), items, scores)
    return ShownLists.of(lists, np.array([4, 5, 7]), TRAIN, dataset(catalog))


def categorised() -> Catalog:
    return replace(Catalog.empty(10), categories=CATEGORIES)


@pytest.mark.parametrize(
    ("name", "k", "expected"),
    [
        ("Coverage", 3, 4 / 10),
        ("Coverage", 1, 1 / 10),
        # The most popular fifth of ten items: 0 and 1.
        ("PopularShare", 3, [2 / 3, 0, 1 / 2]),
        ("PopularShare", 1, [1, 0, 1]),
        ("AveragePopularity", 3, [(3 + 2 + 1) / 3, 0, (3 + 1) / 2]),
        # Four train users: shares 3/4, 2/4, 1/4 and 1/4.
        ("Novelty", 3, [(np.log2(4 / 3) + 1 + 2) / 3, 0, (np.log2(4 / 3) + 2) / 2]),
        # Six items are never shown, 1, 2 and 3 once, 0 twice.
        ("Gini", 3, (1 * (7 * 2 - 11 + 8 * 2 - 11 + 9 * 2 - 11) + 2 * 9) / (10 * 5)),
        ("Gini", 1, 9 / 10),
    ],
)
def test_fractions_worked_by_hand(name, k, expected):
    assert LIST_METRICS[name](shown().first(k)) == pytest.approx(expected)


def test_equal_exposure_has_no_inequality():
    items = [np.array([0, 1]), np.array([2, 3])]
    lists = Recommendations.from_lists(np.arange(2), items, [np.zeros(2)] * 2)
    whole = ShownLists.of(lists, np.arange(2), TRAIN, dataset())
    assert LIST_METRICS["Gini"](replace(whole, train_counts=np.ones(4))) == 0


def test_gini_is_the_mean_difference_of_two_items():
    rows = np.random.default_rng(0).integers(0, 10, 40)
    lists = replace(shown(), user=np.zeros(40, int), item=rows, rank=np.ones(40, int))
    counts = np.bincount(rows, minlength=10).astype(float)
    expected = np.abs(np.subtract.outer(counts, counts)).sum() / (2 * 10 * counts.sum())
    assert LIST_METRICS["Gini"](lists) == pytest.approx(expected)


def test_diversity_of_categories_by_hand():
    """All items share one category, which tells nothing; items 0 and 1 are alike, 3 is between."""
    found = diversity(shown(categorised()))
    pair = {(0, 1): 1.0, (0, 2): 0.0, (1, 2): 0.0}
    assert found == pytest.approx([1 - sum(pair.values()) / 3, 0, 1 - 0.5**0.5])
    assert not np.any(diversity(shown(categorised()).first(1)))


def test_diversity_is_the_mean_over_pairs():
    rng = np.random.default_rng(1)
    names = np.array(list("abcdef"))
    categories = tuple(tuple(names[rng.random(6) < 0.4]) for _ in range(10))
    lists = shown(replace(Catalog.empty(10), categories=categories))
    lists = replace(lists, user=np.zeros(6, int), item=rng.permutation(10)[:6], rank=np.arange(6))

    def cosine(a, b):
        return len({*a} & {*b}) / max(len(a) * len(b), 1) ** 0.5

    chosen = [categories[item] for item in lists.item]
    expected = np.mean([1 - cosine(a, b) for a, b in combinations(chosen, 2)])
    assert diversity(lists)[0] == pytest.approx(expected)


def test_without_categories_the_words_of_titles_tell():
    titles = ("red lipstick", "Red polish", "brush", *[""] * 7)
    labels = item_labels(replace(Catalog.empty(10), title=titles))
    assert (labels @ labels.T).toarray()[0, :3] == pytest.approx([1, 1 / 2, 0])
    with pytest.raises(DataError, match="neither categories nor titles"):
        item_labels(Catalog.empty(10))


def test_popular_items_are_the_top_fifth():
    counts = np.bincount([5, 5, 5, 2, 2, 0, 9], minlength=10)
    assert np.flatnonzero(popular_items(counts)).tolist() == [2, 5]
    # 0.2 * 11 is rounded up; items 0 and 9 are equally popular.
    assert np.flatnonzero(popular_items(np.append(counts, 0))).tolist() == [0, 2, 5]


def test_values_of_users_and_numbers_of_all_lists_are_told_apart():
    per_user, overall = measure_lists(shown(), (1, 3), ("NDCG", "Gini", "Novelty", "Coverage"))
    assert set(per_user) == {f"{name}@{k}" for name in ("PopularShare", "Novelty") for k in (1, 3)}
    assert set(overall) == {f"{name}@{k}" for name in ("Coverage", "Gini") for k in (1, 3)}
