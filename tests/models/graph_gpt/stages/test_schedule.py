"""Numbered batches, histories as prompts read them, and users who go unnamed."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from tests.models.graph_gpt.stages.conftest import ALL, prompts_of, stage, tiny_split

from edgewise.models.graph_gpt.config import HistoryConfig
from edgewise.models.graph_gpt.stages.schedule import (
    Latest,
    PromptHistories,
    Schedule,
    Stream,
    UserTokenDropout,
    chunks_of,
    positive_pairs,
    prompt_histories,
    share_of,
    validation_positives,
)

EVERYBODY = np.arange(1000)


def schedule(*sizes: int, batch_size: int = 4, seed: int = 0) -> Schedule:
    rng = np.random.default_rng(7)
    lengths = tuple(rng.integers(1, 60, size=size) for size in sizes)
    return Schedule(lengths, batch_size, seed, Stream.CONTENT)


def epoch_of(plan: Schedule, epoch: int) -> list[tuple[int, tuple[int, ...]]]:
    steps = range(epoch * plan.steps_per_epoch, (epoch + 1) * plan.steps_per_epoch)
    seen = [plan.at(step) for step in steps]
    assert {e for e, _, _ in seen} == {epoch}
    return [(group, tuple(rows.tolist())) for _, group, rows in seen]


def test_an_epoch_holds_every_row_of_every_group_once():
    plan = schedule(10, 5)
    assert plan.steps_per_epoch == 3 + 2
    for epoch in range(3):
        batches = epoch_of(plan, epoch)
        for group, size in enumerate((10, 5)):
            rows = [row for number, chunk in batches if number == group for row in chunk]
            assert sorted(rows) == list(range(size))
            sizes = sorted(len(chunk) for number, chunk in batches if number == group)
            assert sizes == {10: [2, 4, 4], 5: [1, 4]}[size]


def test_orders_differ_by_epoch_and_seed_and_by_nothing_else():
    plan = schedule(40, 12)
    first, second = epoch_of(plan, 0), epoch_of(plan, 1)
    assert first != second
    assert epoch_of(plan, 0) == first, "asked for again after another epoch"
    assert epoch_of(schedule(40, 12), 1) == second, "asked for first"
    assert epoch_of(schedule(40, 12, seed=1), 0) != first


def test_batches_hold_rows_of_similar_length_in_random_order():
    plan = schedule(640, batch_size=10)
    lengths = plan.lengths[0]
    batches = [np.array(rows) for _, rows in epoch_of(plan, 0)]
    spread = np.mean([np.ptp(lengths[rows]) for rows in batches])
    assert spread < 10 < np.ptp(lengths)
    means = np.array([lengths[rows].mean() for rows in batches])
    assert abs(np.corrcoef(np.arange(len(means)), means)[0, 1]) < 0.4


def test_an_empty_group_has_no_batch():
    assert schedule(0, 3).steps_per_epoch == 1
    assert epoch_of(schedule(0, 3), 0)[0][0] == 1
    assert schedule(0).steps_per_epoch == 0


def test_the_latest_epoch_is_made_once():
    made: list[int] = []
    latest = Latest(lambda epoch: made.append(epoch) or epoch)
    assert [latest(n) for n in (0, 0, 1, 1, 0)] == [0, 0, 1, 1, 0]
    assert made == [0, 1, 0]


def test_shares_of_processes_make_up_the_batch():
    rows = np.arange(5)
    parts = [share_of(rows, slice(n, None, 2)).tolist() for n in range(2)]
    assert parts == [[0, 2, 4], [1, 3]]
    assert share_of(rows[:1], slice(1, None, 2)).tolist() == [0], "none would be left"
    assert [chunk.tolist() for chunk in chunks_of(rows, 2)] == [[0, 1], [2, 3], [4]]


def histories(order: str, *, room: int = 100, seed: int = 0, max_items: int = 50):
    split = tiny_split([[0, 1, 2, 3, 4, 5], [5, 2, 5, 1], []])
    config = HistoryConfig(order=order, max_items=max_items)  # type: ignore[arg-type]
    return prompt_histories(split, config, room, seed, Stream.EVENTS)


def lists(read: PromptHistories, epoch: int = 0) -> list[list[int]]:
    return [row.tolist() for row in read.read(np.arange(3), epoch).rows()]


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


def test_validation_asks_for_new_items_of_known_users():
    split = tiny_split([[0, 1], [2], []], valid=[(0, 3), (0, 1), (0, 4), (0, 3), (1, 2), (2, 5)])
    users, items = validation_positives(split, seed=0)
    assert users.tolist() == [0], "1 has nothing new, 2 has no history"
    assert positive_pairs(items).tolist() == [[0, 3], [0, 4]]


def dropout(rate: float = 0.3, *, with_user: bool = True, seed: int = 0) -> UserTokenDropout:
    return UserTokenDropout(with_user, rate, seed, Stream.EVENTS)


def test_a_share_goes_unnamed():
    named = dropout().training(EVERYBODY, epoch=0)
    assert all(name in (user, None) for user, name in enumerate(named))
    assert 250 < named.count(None) < 350
    assert dropout(0.0).training(EVERYBODY, 0) == EVERYBODY.tolist()
    assert dropout(1.0).training(EVERYBODY, 0) == [None] * 1000


def test_draws_depend_on_user_epoch_and_seed_alone():
    some = np.array([400, 7])
    everybody = dropout().training(EVERYBODY, 3)
    assert dropout().training(some, 3) == [everybody[400], everybody[7]]
    assert dropout().training(EVERYBODY, 4) != everybody
    assert dropout(seed=1).training(EVERYBODY, 3) != everybody


def test_validation_names_all_or_nobody():
    assert dropout(0.9).validation(EVERYBODY) == EVERYBODY.tolist()
    assert dropout(0.0, with_user=False).validation(EVERYBODY) == [None] * 1000
    assert dropout(0.0, with_user=False).training(EVERYBODY, 0) == [None] * 1000


@pytest.mark.parametrize("name", ["events", "predictive"])
def test_stages_leave_some_users_out(name, by_ratio, tokens):
    data = stage(name, by_ratio, "history.user_dropout=0.5", tokens=tokens)
    steps = range(2 * data.steps_per_epoch)
    texts = [text for step in steps for text in prompts_of(tokens, data.batch(step, ALL))]
    share = np.mean(["[u" in text for text in texts])
    assert 0.25 < share < 0.75
    for batch in data.valid_batches:
        assert all("[u" in text for text in prompts_of(tokens, batch))
