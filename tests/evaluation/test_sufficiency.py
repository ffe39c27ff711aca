"""Data with nothing to learn or to measure are refused or told of before training."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgewise.data.splits import leave_one_out, split_by_name, time_split
from edgewise.errors import DataError
from edgewise.evaluation.protocols import HONEST
from edgewise.evaluation.sufficiency import check_learnable, shortages

FEW_NEGATIVES = replace(HONEST, num_negatives=2)


@pytest.mark.parametrize("kind", ["leave-one-out", "ratio"])
@pytest.mark.parametrize(
    ("sequences", "num_items", "message"),
    [
        ([[0], [1], [2], [0]], 3, "each of its 4 users has a single row"),
        ([[0, 0, 0], [0]], 1, "has 1 item: there is nothing to rank"),
    ],
)
def test_nothing_to_learn_is_refused(make_dataset, kind, sequences, num_items, message):
    with pytest.raises(DataError, match=message):
        check_learnable(split_by_name(make_dataset(sequences, num_items), kind))


def test_two_rows_of_a_user_are_something_to_learn_and_nothing_to_measure(make_dataset):
    split = leave_one_out(make_dataset([[0, 1], [1, 2], [2]], 3))
    check_learnable(split)
    told = shortages(split, FEW_NEGATIVES)
    assert [words.split(":")[0] for words in told] == [
        "3 of 3 users have fewer than 3 rows",
        "no row is held out for validation",
        "no row is held out for the test",
    ]


@pytest.mark.parametrize(
    ("sequences", "num_items", "expected"),
    [
        ([[0, 1, 2], [2, 3, 4]], 6, []),
        ([[0, 1, 2], [2, 3]], 6, ["1 of 2 users have fewer than 3 rows"]),
        ([[0, 1, 2], [0, 1, 2]], 3, ["every user has all 3 items"]),
        ([[0, 1, 2], [0, 1, 2, 3]], 4, ["1 of 2 users have all 4 items", "the catalogue has 4"]),
        ([[0, 1, 0], [1, 0, 1]], 2, ["every user has all 2 items"]),
        ([[0, 1, 2], [2, 3, 4]], 5, []),
        ([[0, 1, 2, 3], [2, 3, 4]], 5, ["the catalogue has 5 items: for 1 of 2 measured users"]),
    ],
)
def test_what_is_said(make_dataset, sequences, num_items, expected):
    told = shortages(leave_one_out(make_dataset(sequences, num_items)), FEW_NEGATIVES)
    assert len(told) == len(expected)
    assert all(words.startswith(start) for words, start in zip(told, expected, strict=True))


def test_new_users_of_a_split_by_time_are_counted(make_dataset):
    dataset = make_dataset([[0, 1, 2, 3, 4, 5, 6, 7, 0], [4]], 20)
    rows = replace(dataset.interactions, timestamp=np.arange(10, dtype=np.int64))
    told = shortages(time_split(replace(dataset, interactions=rows)), FEW_NEGATIVES)
    assert told == ["1 users of the test part have no train row: nothing is known of them"]
