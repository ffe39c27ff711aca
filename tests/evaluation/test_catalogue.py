"""Coverage and popularity of lists, worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from edgewise.data.dataset import Interactions
from edgewise.data.item_lists import Recommendations
from edgewise.evaluation.metrics import catalogue_coverage, popular_items, popular_share


@pytest.fixture
def lists() -> Recommendations:
    items = [np.array([0, 1, 2]), np.array([0, 3])]
    return Recommendations.from_lists(np.array([4, 7]), items, [np.zeros(3), np.zeros(2)])


def test_coverage_counts_each_item_once(lists):
    assert catalogue_coverage(lists, 10, 3) == 4 / 10
    assert catalogue_coverage(lists, 10, 1) == 1 / 10


def test_popular_items_are_the_top_fifth_by_train_rows():
    items = np.array([5, 5, 5, 2, 2, 0, 9], dtype=np.int32)
    train = Interactions(np.zeros(7, np.int32), items)
    assert np.flatnonzero(popular_items(train, 10)).tolist() == [2, 5]
    # 0.2 * 11 is rounded up; items 0 and 9 are equally popular.
    assert np.flatnonzero(popular_items(train, 11)).tolist() == [0, 2, 5]


def test_popular_share_per_user(lists):
    is_popular = np.isin(np.arange(10), [0, 2])
    users = np.array([4, 5, 7])
    assert popular_share(lists, is_popular, users, 3) == pytest.approx([2 / 3, 0, 1 / 2])
    assert popular_share(lists, is_popular, users, 1) == pytest.approx([1, 0, 1])
    assert popular_share(lists, is_popular, np.array([7]), 3) == pytest.approx([1 / 2])
