"""Pairs as numbers, against Python's own sets."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edgewise.data.dataset import Interactions
from edgewise.data.pairs import among, distinct, num_distinct, pair_keys

numbers = st.lists(st.integers(0, 12), max_size=20)


def of(values: list[int]) -> np.ndarray:
    return np.array(values, dtype=np.int64)


@given(numbers, numbers)
def test_numbers_are_compared_as_sets_are(mine, others):
    assert distinct(of(mine)).tolist() == sorted(set(mine))
    assert num_distinct(of(mine)) == len(set(mine))
    assert among(of(mine), np.sort(of(others))).tolist() == [n in others for n in mine]


def test_a_pair_is_one_number_however_many_there_are():
    rows = Interactions(np.array([0, 1, 2**31 - 1], np.int32), np.array([3, 4, 5], np.int32))
    assert pair_keys(rows, 100_000).tolist() == [3, 100_004, (2**31 - 1) * 100_000 + 5]


def test_whole_tables_are_looked_up_too():
    table = of([1, 5, 2, 9]).reshape(2, 2)
    assert among(table, of([2, 5])).tolist() == [[False, True], [True, False]]
    assert not among(table, of([])).any()
