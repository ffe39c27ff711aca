"""Filters at import, against hand-worked tables and slow oracles."""

from __future__ import annotations

from collections import Counter

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise.data.filters import (
    Counts,
    Filters,
    FilterStep,
    apply_filters,
    drop_duplicates,
    k_core,
    keep_rated,
    sample_users,
)
from edgewise.errors import ConfigError, DataError

PAIRS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=40)


def table(*pairs: tuple[int, int], **columns: list) -> pl.DataFrame:
    schema = {"user_id": pl.UInt32, "item_id": pl.UInt32}
    frame = pl.DataFrame(list(pairs), schema=schema, orient="row")
    return frame.with_columns(pl.Series(name, values) for name, values in columns.items())


def slow_k_core(pairs: list[tuple[int, int]], k: int) -> list[tuple[int, int]]:
    while True:
        users, items = Counter(u for u, _ in pairs), Counter(i for _, i in pairs)
        left = [(u, i) for u, i in pairs if users[u] >= k and items[i] >= k]
        if len(left) == len(pairs):
            return left
        pairs = left


def test_min_rating_keeps_the_value_itself_and_drops_the_unrated() -> None:
    rows = table((0, 0), (0, 1), (0, 2), (0, 3), rating=[4.0, 3.9, float("nan"), 5.0])
    assert keep_rated(rows, 4)["item_id"].to_list() == [0, 3]


def test_min_rating_without_ratings() -> None:
    with pytest.raises(DataError, match=r"--min-rating 4: the source has no ratings"):
        apply_filters(table((0, 0)), Filters(min_rating=4))


@settings(deadline=None)
@given(PAIRS)
def test_duplicates_against_a_dictionary(pairs: list[tuple[int, int]]) -> None:
    rows = table(*pairs, place=list(range(len(pairs))))
    last = {pair: place for place, pair in enumerate(pairs)}
    first = {pair: place for place, pair in reversed(list(enumerate(pairs)))}
    assert drop_duplicates(rows, "last")["place"].to_list() == sorted(last.values())
    assert drop_duplicates(rows, "first")["place"].to_list() == sorted(first.values())


def test_k_core_needs_a_second_round() -> None:
    # Item 2 has one row; without it user 2 has one row, and without that item 1 still has two.
    rows = table((0, 0), (0, 1), (1, 0), (1, 1), (2, 1), (2, 2))
    assert k_core(rows, 2).rows() == [(0, 0), (0, 1), (1, 0), (1, 1)]


@settings(deadline=None)
@given(PAIRS, st.integers(1, 4))
def test_k_core_against_the_definition(pairs: list[tuple[int, int]], k: int) -> None:
    assert k_core(table(*pairs), k).rows() == slow_k_core(pairs, k)


def test_sampled_users_do_not_depend_on_row_order() -> None:
    rows = table(*((user, item) for user in range(50) for item in range(2)))
    some = sample_users(rows, 7, seed=3)
    assert some.height == 14
    assert some["user_id"].n_unique() == 7
    other = sample_users(rows.reverse(), 7, seed=3)
    assert set(other["user_id"]) == set(some["user_id"])
    assert set(sample_users(rows, 7, seed=4)["user_id"]) != set(some["user_id"])
    assert sample_users(rows, 50, seed=3).equals(rows)


def test_order_and_report() -> None:
    # The low rating goes first: had duplicates gone first, user 0 would have lost item 0.
    rows = table(
        *((0, 0), (0, 0), (0, 1), (1, 0), (1, 1), (2, 0)),
        rating=[5.0, 1.0, 5.0, 4.0, 4.0, 4.0],
    )
    left, steps = apply_filters(rows, Filters(min_rating=4, duplicates="last", k_core=2))
    assert left.select("user_id", "item_id").rows() == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert steps == [
        FilterStep("min-rating", 4, Counts(6, 3, 2), Counts(5, 3, 2)),
        FilterStep("duplicates", "last", Counts(5, 3, 2), Counts(5, 3, 2)),
        FilterStep("k-core", 2, Counts(5, 3, 2), Counts(4, 2, 2)),
    ]


def test_no_filter_is_no_step() -> None:
    rows = table((0, 0), (0, 0))
    assert apply_filters(rows, Filters(duplicates="keep")) == (rows, [])


def test_nothing_left() -> None:
    with pytest.raises(DataError, match="--k-core 3 leaves none of 2 rows"):
        apply_filters(table((0, 0), (1, 1)), Filters(k_core=3))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"duplicates": "some"}, "--duplicates some: must be keep, first or last"),
        ({"k_core": 0}, "--k-core 0: must be at least 1"),
        ({"max_users": -1}, "--max-users -1: must be at least 1"),
    ],
)
def test_impossible_settings(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Filters(**settings)
