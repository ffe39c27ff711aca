"""Candidate lists: the positive, distinct untouched negatives, uniform and seeded."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise.data import negatives
from edgewise.data.dataset import Catalog, Dataset, Interactions, Vocabulary
from edgewise.data.negatives import uniform_candidates
from edgewise.data.splits import Split, leave_one_out, ratio_split
from edgewise.errors import ConfigError


def dataset_of(histories: list[list[int]], num_items: int) -> Dataset:
    users = np.repeat(np.arange(len(histories)), [len(row) for row in histories])
    return Dataset(
        "toy",
        Vocabulary(tuple(f"u{u}" for u in range(len(histories))), "user"),
        Vocabulary(tuple(f"i{i}" for i in range(num_items))),
        Interactions(users.astype(np.int32), np.concatenate(histories).astype(np.int32)),
        Catalog.empty(num_items),
    )


def touched_by(split: Split) -> list[set[int]]:
    rows = split.dataset.interactions
    touched: list[set[int]] = [set() for _ in range(split.dataset.num_users)]
    for user, item in zip(rows.user_index, rows.item_index, strict=True):
        touched[user].add(int(item))
    return touched


@given(seed=st.integers(0, 10**6), num_items=st.integers(6, 40), num_negatives=st.integers(1, 45))
@pytest.mark.parametrize("part", ["valid", "test"])
def test_lists_against_sets(part: str, seed: int, num_items: int, num_negatives: int) -> None:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, num_items + 3, size=8)
    # Repeated items in a history are allowed, and so are users who touched everything.
    histories = [rng.integers(num_items, size=length).tolist() for length in lengths]
    split = ratio_split(dataset_of(histories, num_items), seed)
    touched, rows = touched_by(split), split.held_out(part)
    lists = uniform_candidates(split, part, num_negatives, seed)
    assert lists.user_index.tolist() == rows.user_index.tolist()
    for row, (user, positive) in enumerate(zip(rows.user_index, rows.item_index, strict=True)):
        items = lists[row].tolist()
        assert len(set(items)) == len(items)
        negatives = set(items) - {positive}
        assert positive in items
        assert negatives.isdisjoint(touched[user])
        assert negatives <= set(range(num_items))
        assert len(negatives) == min(num_negatives, num_items - len(touched[user]))


def test_short_lists_hold_every_untouched_item() -> None:
    split = leave_one_out(dataset_of([[0, 2, 4, 6], [1, 2, 3]], num_items=8))
    lists = uniform_candidates(split, "test", num_negatives=99)
    assert sorted(lists[0].tolist()) == [1, 3, 5, 6, 7]
    assert sorted(lists[1].tolist()) == [0, 3, 4, 5, 6, 7]


def test_negatives_and_places_are_uniform() -> None:
    num_users, num_items, num_negatives = 8000, 20, 6
    histories = [[3, 7, 8, 15]] * num_users
    split = leave_one_out(dataset_of(histories, num_items))
    lists = uniform_candidates(split, "test", num_negatives, seed=1)
    table = lists.items.reshape(num_users, 1 + num_negatives)
    counts = np.bincount(table.ravel(), minlength=num_items)
    assert counts[[3, 7, 8]].tolist() == [0, 0, 0]
    assert counts[15] == num_users
    # 16 untouched items, each in 6 of 16 lists: mean 3000, standard deviation 43.
    others = np.delete(counts, [3, 7, 8, 15])
    assert np.abs(others - 3000).max() < 5 * 43
    # The positive at each of 7 places: mean 1143, standard deviation 31.
    places = np.bincount(np.argmax(table == 15, axis=1), minlength=7)
    assert np.abs(places - num_users / 7).max() < 5 * 31
    # A negative at each of 7 places, given that it is in the list.
    place_of_zero = np.nonzero(table == 0)[1]
    assert np.abs(np.bincount(place_of_zero, minlength=7) - len(place_of_zero) / 7).max() < 5 * 20


def test_pairs_of_negatives_are_uniform() -> None:
    split = leave_one_out(dataset_of([[0, 1, 2]] * 10_000, num_items=7))
    table = uniform_candidates(split, "test", 2, seed=9).items.reshape(10_000, 3)
    negatives = np.sort(np.where(table == 2, -1, table), axis=1)[:, 1:]
    _, counts = np.unique(negatives, axis=0, return_counts=True)
    # Six pairs of the four untouched items: mean 1667, standard deviation 37.
    assert len(counts) == 6
    assert np.abs(counts - 10_000 / 6).max() < 5 * 37


def test_seed_part_and_user_change_the_list() -> None:
    split = leave_one_out(dataset_of([[0, 1, 2, 3]] * 2, num_items=200))
    lists = uniform_candidates(split, "test", 50, seed=0)
    again = uniform_candidates(split, "test", 50, seed=0)
    assert lists.items.tolist() == again.items.tolist()
    others = [
        uniform_candidates(split, "test", 50, seed=1)[0],
        uniform_candidates(split, "valid", 50, seed=0)[0],
        lists[1],
    ]
    for other in others:
        assert set(other.tolist()) != set(lists[0].tolist())


def test_a_list_does_not_depend_on_other_users() -> None:
    split = leave_one_out(dataset_of([[5, 6, 7], [0, 1, 2, 3]], num_items=60))
    changed = leave_one_out(dataset_of([[9, 8, 30, 31, 2], [0, 1, 2, 3]], num_items=60))
    first, second = (uniform_candidates(s, "test", 20, seed=4)[1] for s in (split, changed))
    assert first.tolist() == second.tolist()


def test_blocks_join_seamlessly(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    histories = [rng.permutation(30)[: rng.integers(3, 29)].tolist() for _ in range(50)]
    split = leave_one_out(dataset_of(histories, num_items=30))
    whole = uniform_candidates(split, "test", 9)
    monkeypatch.setattr("edgewise.data.negatives._BLOCK", 7)
    pieces = uniform_candidates(split, "test", 9)
    assert whole.items.tolist() == pieces.items.tolist()


def test_no_held_out_rows_gives_no_lists() -> None:
    split = leave_one_out(dataset_of([[0], [1, 2]], num_items=5))
    lists = uniform_candidates(split, "test")
    assert len(lists) == 0
    assert lists.offsets.tolist() == [0]


def test_bad_options() -> None:
    split = leave_one_out(dataset_of([[0, 1, 2]], num_items=5))
    with pytest.raises(ConfigError, match="choose one of valid, test"):
        uniform_candidates(split, "train")
    with pytest.raises(ConfigError, match="at least 1"):
        uniform_candidates(split, "test", num_negatives=0)


@pytest.mark.parametrize("num_negatives", [3, 20, 36])
def test_many_draws_are_looked_up_and_stay_the_same(monkeypatch, num_negatives):
    rng = np.random.default_rng(2)
    histories = [rng.choice(40, size, replace=False).tolist() for size in (3, 4, 9, 30, 5)]
    split = leave_one_out(dataset_of(histories, 40))
    compared = uniform_candidates(split, "test", num_negatives, seed=4)
    monkeypatch.setattr(negatives, "_FEW_DRAWS", 2)
    monkeypatch.setattr(negatives, "_CELLS", 80)
    looked_up = uniform_candidates(split, "test", num_negatives, seed=4)
    assert np.array_equal(compared.items, looked_up.items)
    assert np.array_equal(compared.offsets, looked_up.offsets)
