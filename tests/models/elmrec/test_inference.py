"""Prompts are encoded in bounded parts, whatever their lengths."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise.models.elmrec.recommender import bounded_rows


@given(
    st.lists(st.integers(1, 50), max_size=60),
    st.integers(1, 200),
    st.none() | st.integers(1, 9),
)
def test_parts_cover_all_rows_within_the_budget(lengths, budget, max_rows):
    parts = list(bounded_rows(lengths, budget, max_rows))
    assert [row for part in parts for row in part] == list(range(len(lengths)))
    for part in parts:
        padded = len(part) * max(lengths[row] for row in part)
        assert len(part) == 1 or padded <= budget
        assert max_rows is None or len(part) <= max_rows


def test_parts_are_as_large_as_fits():
    assert list(bounded_rows([2, 2, 2, 9, 1], 9, None)) == [range(0, 3), range(3, 4), range(4, 5)]
    assert list(bounded_rows([1] * 5, 100, 2)) == [range(0, 2), range(2, 4), range(4, 5)]


def test_many_prompts_are_answered_as_few(fitted, monkeypatch):
    users = np.arange(12)
    together = fitted.recommend(users, 4)
    monkeypatch.setattr("edgewise.models.elmrec.recommender._TOKENS_AT_ONCE", 1)
    alone = fitted.recommend(users, 4)
    assert np.array_equal(together.item_index, alone.item_index)
    assert alone.score == pytest.approx(together.score, abs=1e-4)
