"""Rows of different lengths, against lists."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edgewise.data.ragged import Ragged

tables = st.lists(st.lists(st.integers(0, 9), max_size=4), max_size=6)


def ragged(rows: list[list[int]]) -> Ragged:
    return Ragged.of_rows([np.array(row, dtype=np.int64) for row in rows])


def lists(table: Ragged) -> list[list[int]]:
    return [row.tolist() for row in table.rows()]


@given(tables)
def test_rows_come_back(rows):
    table = ragged(rows)
    assert lists(table) == rows == [table[n].tolist() for n in range(len(table))]
    assert table.row_of_value.tolist() == [n for n, row in enumerate(rows) for _ in row]
    assert table.place_of_value.tolist() == [n for row in rows for n in range(len(row))]


@given(tables.filter(len), st.data())
def test_taking_rows(rows, data):
    chosen = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=5))
    taken = ragged(rows).take(np.array(chosen, dtype=np.int64))
    assert lists(taken) == [rows[n] for n in chosen]


@given(tables)
def test_keeping_values(rows):
    table = ragged(rows)
    kept = table.keep(table.values % 2 == 0)
    assert lists(kept) == [[value for value in row if value % 2 == 0] for row in rows]


@given(tables)
def test_ranking_stays_within_rows(rows):
    table = ragged(rows)
    ranked = Ragged(table.offsets, table.values[table.ranked(table.values)])
    assert lists(ranked) == [sorted(row) for row in rows]


@given(st.lists(st.integers(0, 4), max_size=6))
def test_without_values_they_are_positions(lengths):
    table = Ragged.of_lengths(np.array(lengths, dtype=np.int64))
    assert table.lengths.tolist() == lengths
    assert table.values.tolist() == list(range(sum(lengths)))


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), max_size=12))
def test_grouping_keeps_the_order_within_rows(pairs):
    row, values = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    expected = [[value for own, value in pairs if own == n] for n in range(5)]
    assert lists(Ragged.grouped(row, values, 5)) == expected


@given(tables.filter(len), st.data())
def test_rows_that_follow_each_other(rows, data):
    start = data.draw(st.integers(0, len(rows)))
    stop = data.draw(st.integers(start, len(rows)))
    table = ragged(rows)
    assert lists(table.part(start, stop)) == rows[start:stop]
    assert table.part(start, stop).values.base is not None, "a view, no copy"
