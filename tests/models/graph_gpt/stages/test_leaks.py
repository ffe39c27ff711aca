"""Held-out rows, texts and their order leave no trace in what is trained on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from tests.models.graph_gpt.stages.conftest import ALL, same, stage

from edgewise.data.dataset import Interactions
from edgewise.data.splits import Split

STAGES = ("content", "events", "predictive")


def other_rows(rows: Interactions, num_items: int, seed: int) -> Interactions:
    """Other items and texts, in another order, and fewer of them."""
    rng = np.random.default_rng(seed)
    kept = rows.take(rng.permutation(len(rows))[: len(rows) - 3])
    items = rng.integers(num_items, size=len(kept)).astype(np.int32)
    texts = pl.Series([f"Forged words number {n}." for n in range(len(kept))])
    return replace(kept, item_index=items, review=texts, summary=texts.reverse())


@pytest.fixture(scope="module", params=["by_ratio", "by_time"])
def split(request) -> Split:
    return request.getfixturevalue(request.param)


def changed(split: Split, *, valid: bool) -> Split:
    num_items = split.dataset.num_items
    interactions = other_rows(split.dataset.interactions, num_items, seed=2)
    return replace(
        split,
        dataset=replace(split.dataset, interactions=interactions),
        test=other_rows(split.test, num_items, seed=1),
        valid=other_rows(split.valid, num_items, seed=3) if valid else split.valid,
    )


@pytest.mark.parametrize("order", ["set", "time"])
@pytest.mark.parametrize("name", STAGES)
def test_held_out_rows_change_no_training_batch(split, name, order):
    setting = f"history.order={order}"
    data, other = (stage(name, s, setting) for s in (split, changed(split, valid=True)))
    assert data.steps_per_epoch == other.steps_per_epoch
    for step in range(2 * data.steps_per_epoch):
        assert same(data.batch(step, ALL), other.batch(step, ALL))
    first, second = (d.validation()[name] for d in (data, other))
    assert not all(map(same, first, second)), "validation itself follows them"


@pytest.mark.parametrize("name", STAGES)
def test_test_rows_change_no_validation_batch(split, name):
    data, other = (stage(name, s) for s in (split, changed(split, valid=False)))
    first, second = data.validation()[name], other.validation()[name]
    assert len(first) == len(second) > 0
    assert all(map(same, first, second))


def test_train_rows_do_change_training(split):
    """The comparison above can fail."""
    fewer = replace(split, train=split.train.take(np.arange(1, len(split.train))))
    for name in STAGES:
        data, other = stage(name, split), stage(name, fewer)
        steps = range(min(data.steps_per_epoch, other.steps_per_epoch))
        assert not all(same(data.batch(n, ALL), other.batch(n, ALL)) for n in steps)
