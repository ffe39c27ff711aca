"""Time, ties and rows that stand twice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgewise.audit.split_checks import later_events, repeated_rows, tie_order
from edgewise.data.splits import ratio_split, time_split

DAY = 86_400


def shares(finding):
    return [figure.value for figure in finding.figures]


def test_a_split_by_time_learns_nothing_from_later(shop):
    finding = later_events(time_split(shop.dataset))
    assert finding.verdict == "ok" and shares(finding) == [0, 0]


def test_a_split_by_time_that_is_none_is_found(shop):
    wrong = replace(ratio_split(shop.dataset), kind="time")
    finding = later_events(wrong)
    assert finding.verdict == "leak" and shares(finding)[0] > 0.2


def test_leave_one_out_comes_with_later_events_of_others(make_split):
    # Test rows at 3 and 30; train rows at 0, 1 (user 0) and 0, 10 (user 1).
    split = make_split([[0, 1, 2, 3], [1, 2, 0, 4]], 5, [0, 1, 2, 3, 0, 10, 20, 30])
    finding = later_events(split)
    assert finding.verdict == "warning"
    assert shares(finding) == [pytest.approx(1 / 8), 0]  # 1 of 4 is newer than 3, none than 30


def test_own_later_rows_are_a_leak_of_leave_one_out(make_split):
    split = make_split([[0, 1, 2, 3], [1, 2, 0, 4]], 5, [0, 9, 2, 3, 0, 1, 2, 30])
    finding = later_events(split)
    assert finding.verdict == "leak" and shares(finding)[1] == 0.5


def test_a_ratio_split_is_warned_about(shop):
    assert later_events(ratio_split(shop.dataset)).verdict == "warning"


def tied(rows: np.ndarray, make_split, ids=None):
    """Users who take all items of a row on one day."""
    times = np.repeat(np.arange(len(rows)) * DAY, rows.shape[1])
    return make_split(rows.tolist(), 100, times, ids)


def some_rows(sort: bool) -> np.ndarray:
    rng = np.random.default_rng(4)
    rows = np.stack([rng.choice(100, 5, replace=False) for _ in range(60)])
    return np.sort(rows) if sort else rows


def test_ties_in_order_of_the_numbers_are_a_leak(make_split):
    finding = tie_order(tied(some_rows(sort=True), make_split))
    assert finding.verdict == "leak" and shares(finding) == [1, 1, 1, 240]


def test_ties_in_order_of_the_ids_alone_are_a_warning(make_split):
    # Item n bears the id of item order[n]: rows ascend by id, numbers are shuffled.
    order = np.random.default_rng(5).permutation(100)
    rows = np.argsort(order)[some_rows(sort=True)]
    finding = tie_order(tied(rows, make_split, [f"i{place:03d}" for place in order]))
    assert finding.verdict == "warning" and shares(finding)[0] == 1


def test_ties_in_no_order_are_clean(make_split, shop):
    assert tie_order(tied(some_rows(sort=False), make_split)).verdict == "ok"
    assert tie_order(shop).verdict == "ok"


def test_ties_that_decide_what_is_held_out_are_counted(make_split):
    # User 0 ends with a tie, user 1 begins with one: 1 of 2 users, 2 pairs of rows.
    split = make_split([[0, 1, 2, 3], [4, 5, 6, 7]], 8, [0, 1, 2, 2, 5, 5, 6, 7])
    assert shares(tie_order(split))[2:] == [0.5, 2]


def test_without_ties_or_times_there_is_nothing_to_see(make_split):
    assert tie_order(make_split([[0, 1, 2]], 3, [1, 2, 3])).verdict == "not applicable"
    assert tie_order(make_split([[0, 1, 2]], 3)).verdict == "not applicable"
    assert later_events(make_split([[0, 1, 2]], 3)).verdict == "not applicable"


def test_different_rows_are_clean(make_split):
    assert repeated_rows(make_split([[0, 1, 2, 3], [3, 2, 1, 0]], 4)).verdict == "ok"


def test_the_same_row_in_two_parts_is_a_leak(make_split):
    split = make_split([[0, 1, 2, 2], [3, 2, 1, 0]], 4, [0, 1, 2, 2, 0, 1, 2, 3])
    finding = repeated_rows(split)
    assert finding.verdict == "leak" and shares(finding) == [0.25, 0.25]
    assert "--duplicates last" in finding.repair


def test_taking_it_again_later_is_a_warning(make_split):
    split = make_split([[0, 1, 2, 0], [3, 2, 1, 0]], 4, [0, 1, 2, 3, 0, 1, 2, 3])
    finding = repeated_rows(split)
    assert finding.verdict == "warning" and shares(finding) == [0.25, 0]


def test_without_times_a_repetition_cannot_be_told_from_a_copy(make_split):
    assert repeated_rows(make_split([[0, 1, 2, 0]], 3)).verdict == "leak"


def test_train_alone_repeats_nothing(make_split):
    assert repeated_rows(make_split([[0, 0]], 1)).verdict == "not applicable"
