"""Splits: the right rows in the right parts, and nothing of the held-out rows in train."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise.data.dataset import Catalog, Dataset, Interactions, Vocabulary
from edgewise.data.splits import (
    Split,
    TextRows,
    cold_items,
    leave_one_out,
    ratio_split,
    split_by_name,
    time_split,
    with_cold_items,
    with_first_events,
)
from edgewise.errors import ConfigError, DataError

NUM_ITEMS = 50


def dataset_of(lengths: list[int], times: np.ndarray | None = None) -> Dataset:
    """Users with the given numbers of rows; row ``r`` of the table has item ``r`` modulo 50."""
    users = np.repeat(np.arange(len(lengths)), lengths).astype(np.int32)
    items = (np.arange(len(users)) % NUM_ITEMS).astype(np.int32)
    return Dataset(
        "toy",
        Vocabulary(tuple(f"u{u}" for u in range(len(lengths))), "user"),
        Vocabulary(tuple(f"i{i}" for i in range(NUM_ITEMS))),
        Interactions(users, items, times),
        Catalog.empty(NUM_ITEMS),
    )


def with_rows(dataset: Dataset, items: np.ndarray, times: np.ndarray | None = None) -> Dataset:
    users = dataset.interactions.user_index
    interactions = Interactions(users, items.astype(np.int32), times)
    return Dataset(dataset.name, dataset.users, dataset.items, interactions, dataset.catalog)


def pairs(part: Interactions) -> list[tuple[int, int]]:
    return [*zip(part.user_index.tolist(), part.item_index.tolist(), strict=True)]


def sizes_by_user(split: Split) -> np.ndarray:
    """Rows of each part and user, ``[3, U]``."""
    num_users = split.dataset.num_users
    parts = (split.train, split.valid, split.test)
    return np.array([np.bincount(p.user_index, minlength=num_users) for p in parts])


def times_of(part: Interactions) -> np.ndarray:
    assert part.timestamp is not None
    return part.timestamp


def numbered(lengths: list[int]) -> Dataset:
    """The time of a row is its number, which tells where it went."""
    return dataset_of(lengths, np.arange(sum(lengths)))


def test_leave_one_out_by_hand() -> None:
    split = leave_one_out(dataset_of([4, 2, 3, 0, 1]))
    assert pairs(split.train) == [(0, 0), (0, 1), (1, 4), (1, 5), (2, 6), (4, 9)]
    assert pairs(split.valid) == [(0, 2), (2, 7)]
    assert pairs(split.test) == [(0, 3), (2, 8)]
    assert split.kind == "leave-one-out"


@pytest.mark.parametrize("kind", ["leave-one-out", "ratio"])
@given(lengths=st.lists(st.integers(0, 40), min_size=1, max_size=15), seed=st.integers(-5, 2**40))
def test_parts_are_a_partition_in_order_of_time(kind: str, lengths: list[int], seed: int) -> None:
    split = split_by_name(numbered(lengths), kind, seed)
    rows = [times_of(part) for part in (split.train, split.valid, split.test)]
    assert sorted(np.concatenate(rows)) == list(range(sum(lengths)))
    for row in rows:
        assert (np.diff(row) > 0).all()


@given(lengths=st.lists(st.integers(0, 60), min_size=1, max_size=15), seed=st.integers(0, 99))
def test_ratio_sizes_are_max_of_one_and_a_tenth(lengths: list[int], seed: int) -> None:
    sizes = sizes_by_user(ratio_split(dataset_of(lengths), seed))
    for user, length in enumerate(lengths):
        held_out = max(1, length // 10) if length >= 3 else 0
        assert sizes[:, user].tolist() == [length - 2 * held_out, held_out, held_out]


@pytest.mark.parametrize("fractions", [(0.01, 0.01, 0.98), (0.01, 0.98, 0.01), (0.02, 0.49, 0.49)])
@pytest.mark.parametrize("length", [3, 4, 5, 40])
def test_every_part_keeps_a_row_at_extreme_fractions(
    length: int, fractions: tuple[float, float, float]
) -> None:
    assert sizes_by_user(ratio_split(dataset_of([length]), 0, fractions)).min() >= 1


def test_ratio_draws_every_place_equally_often() -> None:
    split = ratio_split(dataset_of([10] * 5000), seed=3)
    # Items 0..49 repeat with period 50, so the place among ten rows is the item modulo 10.
    for part in (split.valid, split.test):
        counts = np.bincount(part.item_index % 10, minlength=10)
        assert counts.sum() == 5000
        # Each count is binomial(5000, 0.1): standard deviation 21.
        assert np.abs(counts - 500).max() < 5 * 21


def test_ratio_seed_matters_and_repeats() -> None:
    dataset = numbered([12] * 30)
    first = ratio_split(dataset, 1)
    assert times_of(first.test).tolist() == times_of(ratio_split(dataset, 1).test).tolist()
    assert times_of(first.test).tolist() != times_of(ratio_split(dataset, 2).test).tolist()
    assert first.seed == 1


def test_ratio_of_one_user_ignores_the_others() -> None:
    alone = ratio_split(numbered([9, 15]), 5)
    # The second user now has another index, other neighbours and other items.
    users = np.repeat([0, 1, 2], [4, 7, 15]).astype(np.int32)
    crowd = Dataset(
        "crowd",
        Vocabulary(("zoe", "adam", "u1"), "user"),
        Vocabulary(tuple(f"i{i}" for i in range(NUM_ITEMS))),
        Interactions(users, np.full(26, 7, np.int32), np.arange(26)),
        Catalog.empty(NUM_ITEMS),
    )
    among = ratio_split(crowd, 5)
    for before, after in ((alone.valid, among.valid), (alone.test, among.test)):
        first = times_of(before)[before.user_index == 1] - 9
        second = times_of(after)[after.user_index == 2] - 11
        assert first.tolist() == second.tolist()


def test_time_by_hand_with_ties_in_the_earlier_part() -> None:
    # Rows in user order, not in time order. Sorted: 1 2 3 4 5 6 7 8 8 9.
    times = np.array([1, 8, 9, 2, 3, 8, 4, 5, 6, 7])
    split = time_split(dataset_of([3, 3, 4], times), (0.6, 0.2, 0.2))
    assert times_of(split.train).tolist() == [1, 2, 3, 4, 5, 6]
    assert times_of(split.valid).tolist() == [8, 8, 7]
    assert times_of(split.test).tolist() == [9]


@given(
    times=st.lists(st.integers(0, 30), min_size=10, max_size=60),
    seed=st.integers(0, 99),
)
def test_time_parts_never_overlap(times: list[int], seed: int) -> None:
    dataset = dataset_of([len(times)], np.sort(times))
    try:
        split = time_split(dataset)
    except DataError as error:
        assert "share a time" in str(error)
        return
    assert times_of(split.train).max() < times_of(split.valid).min()
    assert times_of(split.valid).max() < times_of(split.test).min()
    assert len(split.train) >= 0.8 * len(times)
    assert len(split.train) + len(split.valid) + len(split.test) == len(times)


def test_time_of_a_data_set_without_times() -> None:
    with pytest.raises(DataError, match=r"'toy' has no timestamps.*leave-one-out"):
        time_split(dataset_of([5]))


@pytest.mark.parametrize("times", [np.full(10, 7), np.empty(0, np.int64)])
def test_time_with_too_few_different_times(times: np.ndarray) -> None:
    with pytest.raises(DataError, match="share a time"):
        time_split(dataset_of([len(times)], times))


@pytest.mark.parametrize("fractions", [(0.8, 0.1, 0.2), (1.0, 0.0, 0.0), (0.9, -0.1, 0.2)])
def test_impossible_fractions(fractions: tuple[float, float, float]) -> None:
    dataset = numbered([10])
    for split in (
        lambda: ratio_split(dataset, 0, fractions),
        lambda: time_split(dataset, fractions),
    ):
        with pytest.raises(ConfigError, match="sum to 1"):
            split()


def test_unknown_name_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'leave-one-out'"):
        split_by_name(numbered([5]), "leave_one_out")


@pytest.mark.parametrize("kind", ["leave-one-out", "ratio", "time"])
@given(seed=st.integers(0, 10**6))
def test_held_out_rows_do_not_reach_train(kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 20, size=12).tolist()
    num_rows = sum(lengths)
    times = np.concatenate([np.sort(rng.permutation(10 * num_rows)[:n]) for n in lengths])
    dataset = dataset_of(lengths, times)
    try:
        split = split_by_name(dataset, kind, 4)
    except DataError:
        return
    held_out = np.isin(times, np.concatenate([times_of(split.valid), times_of(split.test)]))
    # Where two rows share a time and only one is held out, leave both alone.
    held_out &= ~np.isin(times, times_of(split.train))
    items = dataset.interactions.item_index.copy()
    items[held_out] = rng.integers(NUM_ITEMS, size=held_out.sum())
    later = times.copy()
    if kind != "ratio":
        # Later still, by amounts that keep each user's order.
        later[held_out] += np.arange(num_rows)[held_out]
    changed = split_by_name(with_rows(dataset, items, later), kind, 4)
    assert pairs(changed.train) == pairs(split.train)
    assert times_of(changed.train).tolist() == times_of(split.train).tolist()
    assert held_out.any()


def test_train_rows_become_the_edges_of_an_honest_split() -> None:
    split = leave_one_out(dataset_of([4, 2, 3, 0, 1]))
    assert split.graph_edges() is split.train
    histories = split.graph_histories()
    assert len(histories) == split.dataset.num_users
    assert [row.tolist() for row in histories.rows()] == [
        row.tolist() for row in split.known_before("valid").rows()
    ]


def test_some_users_keep_their_rows_and_all_numbers() -> None:
    split = leave_one_out(dataset_of([3, 4, 2, 5]))
    edges, texts = split.dataset.interactions, TextRows(split.test, split.valid, split.train)
    some = replace(split, edges=edges, text_rows=texts).of_users(
        np.array([True, False, False, True])
    )
    assert some.train.user_index.tolist() == [0, 3, 3, 3]
    assert some.test.user_index.tolist() == some.valid.user_index.tolist() == [0, 3]
    assert some.dataset.interactions.item_index.tolist() == [0, 1, 2, 9, 10, 11, 12, 13]
    assert some.graph_edges().item_index.tolist() == [0, 1, 2, 9, 10, 11, 12, 13]
    assert some.text_rows is not None and some.text_rows.train.item_index.tolist() == [2, 13]
    assert some.dataset.num_users == 4 and some.dataset.num_items == NUM_ITEMS


# Items that are kept out of training.


def cold_world(num_users: int = 30, times: bool = True) -> Dataset:
    """Users with five different items each, row r at time r."""
    rng = np.random.default_rng(5)
    items = np.concatenate([rng.permutation(NUM_ITEMS)[:5] for _ in range(num_users)])
    dataset = dataset_of([5] * num_users)
    return with_rows(dataset, items, np.arange(len(items)) if times else None)


def test_cold_items_have_rows_in_the_test_part_alone():
    dataset = cold_world()
    whole, split = leave_one_out(dataset), with_cold_items(leave_one_out(dataset), 0.3, seed=4)
    is_cold = split.cold_items()
    assert 0.1 < is_cold.mean() < 0.5 and split.cold_share == 0.3 and split.seed == 4
    for before, after in ((whole.train, split.train), (whole.valid, split.valid)):
        kept = [pair for pair in pairs(before) if not is_cold[pair[1]]]
        assert pairs(after) == kept and len(kept) < len(before)
    assert pairs(split.test) == pairs(whole.test)
    known = split.known_before("test")
    assert not is_cold[known.values].any() and known.lengths.sum() == len(split.train) + len(
        split.valid
    )


def test_which_items_are_cold_depends_on_seed_and_spelling_alone():
    dataset = cold_world()
    drawn = cold_items(dataset, 0.3, 1)
    assert (drawn <= cold_items(dataset, 0.6, 1)).all(), "a larger share has them all"
    assert (drawn != cold_items(dataset, 0.3, 2)).any()
    order = np.random.default_rng(0).permutation(NUM_ITEMS)
    renamed = replace(dataset, items=Vocabulary(tuple(dataset.items.ids[n] for n in order)))
    np.testing.assert_array_equal(cold_items(renamed, 0.3, 1), drawn[order])


@pytest.mark.parametrize("times", [True, False])
@pytest.mark.parametrize("most", [1, 2, 100])
def test_first_events_are_told_after_training(most, times):
    dataset = cold_world(60, times)
    bare = with_cold_items(leave_one_out(dataset), 0.3)
    split = with_first_events(bare, most)
    assert split.first_events is not None
    is_cold, whole = bare.cold_items(), leave_one_out(dataset)
    away = [p for p in pairs(dataset.interactions) if is_cold[p[1]] and p not in pairs(whole.test)]
    expected: dict[int, list[tuple[int, int]]] = {}
    for pair in away:  # rows stand in order of time
        expected.setdefault(pair[1], []).append(pair)
    told = pairs(split.first_events)
    for item, rows in expected.items():
        mine = [pair for pair in told if pair[1] == item]
        assert len(mine) == min(most, len(rows)) and set(mine) <= set(rows)
        if times:
            assert mine == rows[:most]
    assert len(told) == sum(min(most, len(rows)) for rows in expected.values())
    for user, row in enumerate(split.known_before("test").rows()):
        taken = [pair[1] for pair in pairs(dataset.interactions) if pair[0] == user]
        mine = [item for item in taken[:-1] if not is_cold[item] or (user, item) in told]
        assert row.tolist() == mine, "in the order in which they were taken"
    assert split.known_before("valid").values.tolist() == bare.known_before("valid").values.tolist()


def test_a_test_row_is_no_first_event():
    """Item 1 was taken twice by one user; the second time is the test row."""
    base = dataset_of([4, 4])
    dataset = with_rows(base, np.array([1, 2, 3, 1, 4, 1, 5, 6]), np.arange(8))
    whole = leave_one_out(dataset)
    is_cold = np.arange(NUM_ITEMS) == 1
    cold = replace(whole, cold_share=0.5)
    cold = replace(cold, train=whole.train.take(np.flatnonzero(~is_cold[whole.train.item_index])))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Split, "cold_items", lambda self: is_cold)
        split = with_first_events(cold, 9)
    assert split.first_events is not None and pairs(split.first_events) == [(1, 1)]


def test_what_no_cold_split_can_be():
    split = leave_one_out(cold_world())
    for share in (0.0, 1.0, -0.1):
        with pytest.raises(ConfigError, match="share above 0 and below 1"):
            with_cold_items(split, share)
    with pytest.raises(DataError, match=r"leaves no train row of 90"):
        with_cold_items(split, 1 - 1e-9)
    with pytest.raises(ConfigError, match="protocol that does not leak"):
        with_cold_items(replace(split, edges=split.train), 0.1)
    with pytest.raises(ConfigError, match="those of cold items"):
        with_first_events(split, 1)
