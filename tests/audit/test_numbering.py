"""Item numbers that give the next item away."""

from __future__ import annotations

import numpy as np
import pytest

from edgewise.audit.split_checks import next_numbers, telling_numbers
from edgewise.data.dataset import Dataset, Interactions
from edgewise.data.importing import ImportOptions, read_dataset
from edgewise.data.ragged import Ragged
from edgewise.data.splits import leave_one_out


def check(split):
    return telling_numbers(split.test, split.known_before("test"), split.dataset.num_items)


def histories(*rows: list[int]) -> Ragged:
    offsets = np.cumsum([0, *map(len, rows)])
    return Ragged(offsets, np.concatenate([np.array(row) for row in rows]).astype(np.int32))


def by_first_appearance(num_users: int, num_items: int, own: int) -> list[list[int]]:
    """Each user takes ``own`` new items in turn, as files with thin histories do."""
    starts = np.arange(num_users) * own % (num_items - own)
    return [list(range(start, start + own)) for start in starts]


def test_the_rule_by_hand():
    lists = next_numbers(histories([7, 2, 3], [1, 5]), np.array([0, 1]), k=4)
    # User 0: 7 + 1, then 3 + 1, 3 + 2, 3 + 3; 7 is seen. User 1: 5 + 1, and once only.
    assert lists.item_index.tolist() == [8, 4, 5, 6, 6, 7, 8, 9]
    assert lists.rank.tolist() == [1, 2, 3, 4] * 2
    assert lists.user_index.tolist() == [0] * 4 + [1] * 4


def test_the_rule_passes_over_seen_numbers():
    lists = next_numbers(histories([4, 5, 6, 3]), np.array([0]), k=3)
    assert lists.item_index.tolist() == [7, 8, 9]


def test_numbers_by_first_appearance_are_found(make_split):
    finding = check(make_split(by_first_appearance(200, 1000, 5), 1000))
    assert finding.verdict == "leak" and "shuffled" in finding.repair
    figures = {figure.name: figure.value for figure in finding.figures}
    assert figures["HR@10"] == figures["NDCG@5"] == 1
    assert figures["HR@10 by chance"] < 0.05


def test_the_same_rows_with_shuffled_numbers_are_clean(make_split):
    numbers = np.random.default_rng(2).permutation(1000)
    rows = [numbers[row] for row in by_first_appearance(200, 1000, 5)]
    assert check(make_split(rows, 1000)).verdict == "ok"


def test_the_shop_is_clean(shop):
    assert check(shop).verdict == "ok"


def test_nobody_to_ask(make_split):
    split = make_split([[0, 1], [2]], 3)
    assert check(split).verdict == "not applicable"


def test_a_history_may_be_missing():
    held_out = Interactions(np.array([0, 1]), np.array([3, 4]))
    assert telling_numbers(held_out, histories([2], []), 9).verdict == "ok"


@pytest.mark.parametrize(
    ("name", "expected"),
    [("beauty", [0.0551, 0.0500, 0.0532, 0.0493]), ("toys", [0.0779, 0.0723, 0.0765, 0.0719])],
)
def test_the_numbers_of_published_files_compete_with_models(real_data, name, expected):
    dataset: Dataset = read_dataset(real_data / name, ImportOptions(item_numbers="source"))
    finding = check(leave_one_out(dataset))
    assert finding.verdict == "leak"
    assert [round(figure.value, 4) for figure in finding.figures[:4]] == expected
