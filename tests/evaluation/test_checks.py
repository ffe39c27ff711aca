"""Lists that break the contract of a recommender are refused, each for its own reason."""

from __future__ import annotations

import numpy as np
import pytest

from edgewise.data.item_lists import Recommendations
from edgewise.data.ragged import Ragged
from edgewise.errors import EdgewiseError
from edgewise.evaluation.evaluate import check_lists

NUM_ITEMS = 10
KNOWN = Ragged(np.array([0, 2, 2, 3]), np.array([8, 9, 7], dtype=np.int32))


def check(items: dict[int, list[int]], **columns) -> None:
    users = np.array(list(items))
    rows = [np.array(row) for row in items.values()]
    scores = [-np.arange(len(row), dtype=float) for row in rows]
    lists = Recommendations.from_lists(users, rows, scores)
    lists = Recommendations(**{**vars(lists), **{k: np.array(v) for k, v in columns.items()}})
    check_lists(lists, np.array([0, 2]), KNOWN, NUM_ITEMS, 3)


def test_honest_lists_pass():
    check({0: [1, 2, 7], 2: [8, 1]})
    check({2: [0], 0: [0]}, score=[1.0, 5.0])
    check({0: [1, 2]}, score=[3.0, 3.0])
    check({0: [], 2: []})


@pytest.mark.parametrize(
    ("items", "columns", "reason"),
    [
        ({0: [1, 9]}, {}, "a seen item: user_index 0, item_index 9"),
        ({2: [7]}, {}, "a seen item: user_index 2, item_index 7"),
        ({0: [1, 2, 1]}, {}, "a repeated item: user_index 0, item_index 1"),
        ({0: [1, 10]}, {}, "an item outside the catalogue"),
        ({0: [-1]}, {}, "an item outside the catalogue"),
        ({1: [1]}, {}, "a user who was not asked for: user_index 1"),
        ({0: [1, 2, 3, 4]}, {}, "more than k=3 items"),
        ({0: [1, 2]}, {"score": [1.0, 2.0]}, "not descending"),
        ({0: [1, 2]}, {"score": [1.0, np.nan]}, "not descending"),
        ({0: [1]}, {"score": [np.nan]}, "not descending"),
        ({0: [1, 2]}, {"rank": [1, 1]}, "ranks that are not"),
        ({0: [1], 2: [2]}, {"rank": [1, 2]}, "ranks that are not"),
        ({0: [1], 2: [2, 3]}, {"user_index": [0, 2, 0], "rank": [1, 1, 1]}, "two lists"),
    ],
)
def test_dishonest_lists_are_refused(items, columns, reason):
    with pytest.raises(EdgewiseError, match=reason):
        check(items, **columns)


def test_seen_items_pass_where_they_are_allowed():
    lists = Recommendations.from_lists(np.array([0]), [np.array([9, 1])], [np.array([1.0, 0.5])])
    check_lists(lists, np.array([0]), KNOWN, NUM_ITEMS, 3, allow_seen=True)
    with pytest.raises(EdgewiseError, match="a seen item"):
        check_lists(lists, np.array([0]), KNOWN, NUM_ITEMS, 3)
