"""Batches are numbered: each epoch holds every row once, in an order of its own."""

from __future__ import annotations

import numpy as np

from edgewise.models.graph_gpt.stages.schedule import (
    LatestEpoch,
    Schedule,
    Stream,
    chunks_of,
    share_of,
)


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
    latest = LatestEpoch(lambda epoch: made.append(epoch) or epoch)
    assert [latest(n) for n in (0, 0, 1, 1, 0)] == [0, 0, 1, 1, 0]
    assert made == [0, 1, 0]


def test_shares_of_processes_make_up_the_batch():
    rows = np.arange(5)
    parts = [share_of(rows, slice(n, None, 2)).tolist() for n in range(2)]
    assert parts == [[0, 2, 4], [1, 3]]
    assert share_of(rows[:1], slice(1, None, 2)).tolist() == [0], "none would be left"
    assert [chunk.tolist() for chunk in chunks_of(rows, 2)] == [[0, 1], [2, 3], [4]]
