"""What holds for every stage: numbered batches, shares of processes, and no held-out row read."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch
from tests.models.graph_gpt.conftest import small_graph_gpt
from tests.models.graph_gpt.stages.conftest import (
    ALL,
    config_of,
    prompts_of,
    same,
    stage,
    tiny_split,
    token_space,
)

from edgewise.data.dataset import Interactions
from edgewise.data.splits import Split
from edgewise.errors import ConfigError
from edgewise.models.graph_gpt.stages import build_stage, build_stages

STAGES = ("content", "events", "predictive")
# The whole batch, and the rows of each of two processes.
PARTS = slice(None), slice(0, None, 2), slice(1, None, 2)


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
    first, second = (d.valid_batches for d in (data, other))
    assert not all(map(same, first, second)), "validation itself follows them"


@pytest.mark.parametrize("name", STAGES)
def test_test_rows_change_no_validation_batch(split, name):
    data, other = (stage(name, s) for s in (split, changed(split, valid=False)))
    first, second = data.valid_batches, other.valid_batches
    assert len(first) == len(second) > 0
    assert all(map(same, first, second))


def test_train_rows_do_change_training(split):
    """The comparison above can fail."""
    fewer = replace(split, train=split.train.take(np.arange(1, len(split.train))))
    for name in STAGES:
        data, other = stage(name, split), stage(name, fewer)
        steps = range(min(data.steps_per_epoch, other.steps_per_epoch))
        assert not all(same(data.batch(n, ALL), other.batch(n, ALL)) for n in steps)


@pytest.mark.parametrize("name", ["content", "events", "predictive"])
def test_batches_depend_on_seed_and_step_alone_and_parts_share_them(name, by_ratio, tokens):
    data, again = (stage(name, by_ratio, tokens=tokens) for _ in range(2))
    late = 2 * data.steps_per_epoch + 1
    assert same(data.batch(late, ALL), again.batch(late, ALL)), "asked for out of turn"
    data.batch(0, ALL)
    assert same(data.batch(late, ALL), again.batch(late, ALL))
    whole = prompts_of(tokens, again.batch(late, ALL))
    parts = [prompts_of(tokens, data.batch(late, slice(n, None, 2))) for n in range(2)]
    assert sorted(parts[0] + parts[1]) == sorted(whole) and parts[0] == whole[::2]
    other = stage(name, by_ratio, "seed=1", tokens=tokens)
    assert not same(other.batch(late, ALL), data.batch(late, ALL))


@pytest.mark.parametrize("name", ["content", "events", "predictive"])
def test_distances_are_there_where_attention_reads_the_graph(name, by_ratio, tokens):
    batch = stage(name, by_ratio, tokens=tokens).batch(0, ALL)
    assert batch.distance is not None
    assert batch.distance.shape == (len(batch), *[batch.input_ids.shape[1]] * 2)
    for kind in ("meaningless", "none"):
        data = stage(name, by_ratio, f"attention.kind={kind}", tokens=tokens)
        assert data.batch(0, ALL).distance is None
    (valid, *_) = stage(name, by_ratio, tokens=tokens).valid_batches
    assert valid.distance is not None


def test_no_train_row_is_nothing_to_learn_from(caplog):
    empty = tiny_split([[], []], valid=[(0, 1)])
    tokens = token_space(empty)
    for name in ("events", "predictive", "content"):
        caplog.clear()
        with caplog.at_level(logging.WARNING, "edgewise"):
            assert build_stage(name, config_of(), empty, tokens, None) is None
        assert f"the {name} stage is left out" in caplog.records[-1].message


def test_prompts_never_exceed_the_longest_input(caplog):
    split = tiny_split([list(range(40))], valid=[(0, 45)], num_items=50)
    tokens = token_space(split)
    for name in ("events", "predictive"):
        data = stage(name, split, "backbone.max_tokens=30", tokens=tokens)
        for batch in (data.batch(0, ALL), *data.valid_batches):
            assert batch.input_ids.shape[1] <= 30
        (valid,) = data.valid_batches
        assert valid.input_ids.shape[1] == 30, "the room is used"
        items = sorted((valid.node[0][valid.node[0] >= 1] - 1).tolist())
        assert items == list(range(40))[-len(items) :]
    assert "newest of which are read" in caplog.text


def test_too_short_inputs_are_errors():
    split = tiny_split([[0, 3, 2], [5]])
    with pytest.raises(ConfigError, match=r"backbone\.max_tokens = 16"):
        build_stage("content", config_of("backbone.max_tokens=16"), split, token_space(split), None)


@pytest.mark.parametrize(
    ("name", "order", "times"),
    [
        ("sequence", "set", 1),
        ("events", "time", 1),
        ("predictive", "time", 1),
        ("events", "set", 0),
        ("predictive", "set", 0),
    ],
)
def test_order_without_times_is_told_once(shop_split, fitted, caplog, name, order, times):
    caplog.set_level(logging.WARNING)
    config = small_graph_gpt(f"stages={name}", f"history.order={order}").config
    timeless = replace(shop_split, train=replace(shop_split.train, timestamp=None))
    build_stages(config, timeless, fitted.tokens, None, fitted.network)
    assert caplog.text.count("no timestamps: the order of its rows") == times


def test_parts_of_a_batch_have_the_loss_of_the_whole(shop_split, fitted):
    """Two processes' losses, weighed by their rows, in every stage."""
    config = small_graph_gpt(
        "stages=content,events,predictive,sequence", "content.events=true"
    ).config
    given = fitted.tokens, fitted.distances, fitted.network
    for name, data in ((s.name, s.data) for s in build_stages(config, shop_split, *given)):
        uneven = 0
        for step in range(data.steps_per_epoch):
            whole, *parts = (data.batch(step, part) for part in PARTS)
            with torch.no_grad():
                expected = float(fitted.network(whole))
                losses = [float(fitted.network(part)) for part in parts]
            rows = [len(part) for part in parts]
            assert np.average(losses, weights=rows) == pytest.approx(expected, rel=1e-4)
            counts = [int((part.targets >= 0).sum()) / len(part) for part in parts]
            uneven += counts[0] != counts[1]
        assert uneven or name == "predictive"
