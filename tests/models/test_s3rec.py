"""S3-Rec: its pre-training against plain numpy, what is masked, and what it asks of data."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.contracts.checkerboard import checkerboard
from tests.oracles.layers import array, attention, gelu, linear, normed, sigmoid

from edgewise.data.sequences import NO_TARGET
from edgewise.errors import DataError
from edgewise.models.item_descriptions import ItemDescriptions
from edgewise.models.s3rec import MaskedBatch, S3Rec, S3RecConfig, S3RecNetwork, segments

MASK, FILLING = 9, 3
ATTRIBUTES = np.array([[0, 2], [1, 3], [3, 3], [0, 1], [2, 3], [1, 2], [0, 3], [3, 3], [1, 3]])
WEIGHTS = {"attribute": 0.3, "masked_item": 0.7, "masked_attribute": 1.1, "segment": 0.5}


def build(**weights):
    torch.manual_seed(0)
    told = {f"{name}_weight": weights.get(name, 0.0) for name in WEIGHTS}
    config = S3RecConfig(hidden_size=8, inner_size=12, init_std=0.5, **told)
    known = ItemDescriptions(torch.zeros(9, 0), torch.from_numpy(ATTRIBUTES), FILLING, {})
    return S3RecNetwork(config, np.arange(9), known).eval()


def states(network, items, *, causal):
    """What leaves the last block for one row, ``[S, D]``."""
    x = array(network.items.weight)[items] + array(network.positions.weight)[: len(items)]
    x = normed(x, network.start)
    for block in network.blocks:
        x = normed(x + attention(x, block, causal=causal), block.norms[0])
        x = normed(x + linear(gelu(linear(x, block.inner)), block.outer), block.norms[1])
    return x


def test_it_looks_back_only_when_it_predicts():
    network, items = build(), np.array([3, 7, 3, 0])
    found = network.states(torch.from_numpy(items)[None])[0]
    assert array(found) == pytest.approx(states(network, items, causal=True), abs=1e-5)


ROWS = np.array([[3, 5, 2, 0], [1, 8, NO_TARGET, NO_TARGET]])
MASKED = np.array([[0, 1, 0, 1], [1, 0, 0, 0]], dtype=bool)
NEGATIVES = np.array([[6, 7, 6, 4], [2, 6, 0, 0]])
SEGMENT = np.array([[0, 1, 1, 0], [0, 1, 0, 0]], dtype=bool)


def told_attributes(network, name, vector, item):
    """Binary cross-entropy over all attributes."""
    right = array(network.attribute_table.weight) @ linear(vector, network.matching[name])
    return -sum(
        np.log(sigmoid(right[a] if a in ATTRIBUTES[item] else -right[a])) for a in range(FILLING)
    )


def by_hand(network):
    """Each objective summed over both rows."""
    table, loss = array(network.items.weight), dict.fromkeys(WEIGHTS, 0.0)
    lasts = []
    for row, masked, negatives, segment in zip(ROWS, MASKED, NEGATIVES, SEGMENT, strict=True):
        n = (row >= 0).sum()
        row, masked, segment = row[:n], masked[:n], segment[:n]
        cloze = states(network, np.where(masked, MASK, row), causal=False)
        for t, item in enumerate(row):
            loss["attribute"] += told_attributes(network, "attribute", table[item], item)
            if masked[t]:
                asked = linear(cloze[t], network.matching["masked_item"])
                gap = asked @ (table[item] - table[negatives[t]])
                loss["masked_item"] -= np.log(sigmoid(gap))
                loss["masked_attribute"] += told_attributes(
                    network, "masked_attribute", cloze[t], item
                )
        outside = states(network, np.where(segment, MASK, row), causal=False)[-1]
        inside = states(network, np.where(segment, row, MASK), causal=False)[-1]
        lasts.append((linear(outside, network.matching["segment"]), inside))
    for n, (asked, own) in enumerate(lasts):
        loss["segment"] -= np.log(sigmoid(asked @ (own - lasts[1 - n][1])))
    return loss


@pytest.mark.parametrize("names", [*((name,) for name in WEIGHTS), tuple(WEIGHTS)])
def test_the_objectives(names):
    network = build(**{name: WEIGHTS[name] for name in names})
    batch = MaskedBatch(*map(torch.from_numpy, (ROWS, MASKED, NEGATIVES, SEGMENT)))
    loss = by_hand(network)
    expected = sum(WEIGHTS[name] * loss[name] for name in names) / 2
    assert network(batch).item() == pytest.approx(expected, rel=1e-5)


def test_segments_are_of_up_to_half_a_row():
    rng = np.random.default_rng(0)
    lengths = rng.integers(2, 9, size=2000)
    found = segments(lengths, 9, rng)
    sizes = found.sum(1)
    assert (sizes >= 1).all() and (sizes <= lengths // 2).all() and sizes.max() == 4
    assert not found[np.arange(9) >= lengths[:, None]].any()
    assert (np.abs(np.diff(np.pad(found, ((0, 0), (1, 1))).astype(int), axis=1)).sum(1) == 2).all()
    assert {*np.flatnonzero(found[lengths == 8].any(0))} == set(range(8))


@pytest.fixture(scope="module")
def model():
    few = ("training.epochs=1", "pretraining.epochs=2", "max_items=6")
    return S3Rec.from_preset("tiny", few).fit(checkerboard(described=True).split)


def test_whole_windows_are_masked(model):
    batch = model.masked_batch(np.arange(20), np.random.default_rng(0))
    users = model._examples.windows.user[:20]
    for row, user in enumerate(users):
        items, history = batch.items[row].numpy(), model.data.histories[user]
        known = items[items >= 0]
        starts = range(len(history) - len(known) + 1)
        assert any((history[n : n + len(known)] == known).all() for n in starts)
        assert batch.masked[row].any() and not batch.masked[row][items < 0].any()
        assert not {*batch.negatives[row].tolist()} & {*history.tolist()}


def test_two_stages_and_what_is_told_of_them(model):
    assert list(model.stage_curves) == ["pretraining", "training"]
    assert model.stage_curves["pretraining"].valid == []
    plain = S3Rec.from_preset("tiny", [f"{name}_weight=0.0" for name in WEIGHTS])
    plans = []
    plain.fit(checkerboard().split, on_plan=plans.append)
    assert list(plain.stage_curves) == ["training"] and len(plans[0].rows) == 1


def test_items_without_attributes_are_refused_unless_none_are_asked_for():
    split = checkerboard().split
    with pytest.raises(DataError, match=r"s3rec.*brand \(0\), categories \(0\)"):
        S3Rec.from_preset("tiny").fit(split)
    few = ("training.epochs=1", "pretraining.epochs=1")
    none = ("attribute_weight=0.0", "masked_attribute_weight=0.0")
    assert S3Rec.from_preset("tiny", [*few, *none]).fit(split).stage_curves
