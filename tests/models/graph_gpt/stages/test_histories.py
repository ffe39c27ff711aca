"""Which items a prompt reads, and in which order."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from tests.models.graph_gpt.stages.conftest import tiny_split

from edgewise.models.graph_gpt.config import HistoryConfig
from edgewise.models.graph_gpt.stages.schedule import (
    PromptHistories,
    Stream,
    positive_pairs,
    prompt_histories,
    train_items,
    validation_positives,
)

EVERYBODY = np.arange(3)


def histories(order: str, *, room: int = 100, seed: int = 0, max_items: int = 50):
    split = tiny_split([[0, 1, 2, 3, 4, 5], [5, 2, 5, 1], []])
    config = HistoryConfig(order=order, max_items=max_items)  # type: ignore[arg-type]
    return prompt_histories(split, config, room, seed, Stream.EVENTS)


def lists(read: PromptHistories, epoch: int = 0) -> list[list[int]]:
    return [row.tolist() for row in read.read(EVERYBODY, epoch).rows()]


def test_time_order_keeps_repeats_and_the_newest_items():
    assert lists(histories("time")) == [[0, 1, 2, 3, 4, 5], [5, 2, 5, 1], []]
    assert lists(histories("time", max_items=3)) == [[3, 4, 5], [2, 5, 1], []]
    assert lists(histories("time", room=2)) == [[4, 5], [5, 1], []]


def test_sets_hold_each_item_once_and_the_newest_ones():
    rows = lists(histories("set"))
    assert [sorted(row) for row in rows] == [[0, 1, 2, 3, 4, 5], [1, 2, 5], []]
    assert [sorted(row) for row in lists(histories("set", max_items=2))] == [[4, 5], [1, 5], []]


def test_sets_are_shuffled_anew_each_epoch_from_the_seed():
    read = histories("set")
    orders = {tuple(lists(read, epoch)[0]) for epoch in range(20)}
    assert len(orders) >= 18
    assert lists(read, 3) == lists(histories("set"), 3)
    assert any(lists(read, n) != lists(histories("set", seed=1), n) for n in range(3))


def test_an_order_does_not_depend_on_the_rest_of_the_batch():
    read = histories("set")
    alone = read.read(np.array([1]), epoch=5).rows()[0]
    beside = read.read(np.array([2, 0, 1]), epoch=5).rows()[2]
    assert alone.tolist() == beside.tolist()


def test_every_place_is_equally_likely():
    read = histories("set")
    first = [lists(read, epoch)[0][0] for epoch in range(600)]
    counts = np.bincount(first, minlength=6)
    assert (np.abs(counts - 100) < 45).all(), counts


@pytest.mark.parametrize(("room", "max_items", "level"), [(2, 50, "WARNING"), (9, 3, "INFO")])
def test_cuts_are_said_once(caplog, room, max_items, level):
    caplog.set_level(logging.INFO, "edgewise")
    histories("time", room=room, max_items=max_items)
    (record,) = caplog.records
    assert record.levelname == level
    assert f"2 histories of tiny are longer than {min(room, max_items)} items" in record.message
    caplog.clear()
    histories("time")
    assert not caplog.records


def test_newest_of_repeats():
    split = tiny_split([[5, 2, 5, 1, 2]])
    assert train_items(split, distinct=True)[0].tolist() == [5, 1, 2]
    assert train_items(split, distinct=False)[0].tolist() == [5, 2, 5, 1, 2]


def test_validation_asks_for_new_items_of_known_users():
    split = tiny_split([[0, 1], [2], []], valid=[(0, 3), (0, 1), (0, 4), (0, 3), (1, 2), (2, 5)])
    users, items = validation_positives(split, seed=0)
    assert users.tolist() == [0], "1 has nothing new, 2 has no history"
    assert positive_pairs(items).tolist() == [[0, 3], [0, 4]]
