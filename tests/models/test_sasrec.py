"""SASRec: its blocks against plain numpy, causality, examples and losses."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from tests.contracts.checkerboard import checkerboard
from tests.oracles.layers import array, attention, linear, normed
from torch.nn import functional as F

from edgewise.data.ragged import Ragged
from edgewise.errors import ConfigError
from edgewise.graph import transitions
from edgewise.models.item_head import sampling_shares
from edgewise.models.next_item import NextItemBatch
from edgewise.models.sasrec import SASRec, SASRecConfig, SASRecNetwork

SETTINGS = ("training.epochs=2", "training.precision=fp32")


@pytest.fixture(scope="module")
def split():
    return checkerboard().split


@pytest.fixture(scope="module")
def model(split):
    return SASRec.from_preset("tiny", [*SETTINGS, "max_items=4"]).fit(split)


def build(**settings):
    torch.manual_seed(0)
    config = SASRecConfig(hidden_size=8, num_heads=2, inner_size=12, init_std=0.5, **settings)
    return SASRecNetwork(config, np.arange(20)).eval()


@pytest.fixture
def network():
    return build()


def by_hand(network, items, scale):
    """Equations 1 to 4 for one row, block by block."""
    x = scale * array(network.items.weight)[items]
    x = x + array(network.positions.weight)[: len(items)]
    for block in network.blocks:
        x = x + attention(normed(x, block.norms[0]), block, causal=True)
        x = x + linear(np.maximum(linear(normed(x, block.norms[1]), block.inner), 0), block.outer)
    return normed(x, network.norm)


@pytest.mark.parametrize(("scaled", "scale"), [(False, 1), (True, 8**0.5)])
def test_the_equations(scaled, scale):
    network, items = build(scale_items=scaled), np.array([3, 17, 3, 0, 9])
    found = network.states(torch.from_numpy(items)[None])[0]
    assert array(found) == pytest.approx(by_hand(network, items, scale), abs=1e-5)


def test_a_later_item_changes_no_earlier_state(network):
    items = torch.tensor([[3, 17, 5, 0, 9]])
    other = items.clone()
    other[0, 3:] = torch.tensor([12, 1])
    ours, theirs = network.states(items)[0], network.states(other)[0]
    assert torch.allclose(ours[:3], theirs[:3], atol=1e-6)
    assert not torch.allclose(ours[3:], theirs[3:], atol=1e-3)


@pytest.mark.parametrize("loss", ["softmax", "sampled_softmax", "bce"])
def test_losses(loss):
    torch.manual_seed(0)
    counts = np.arange(20)
    config = SASRecConfig(hidden_size=8, loss=loss, num_negatives=3, init_std=0.5)
    network = SASRecNetwork(config, counts).eval()
    items, targets = torch.tensor([[1, 2, 3], [4, 5, 0]]), torch.tensor([[2, 3, 9], [5, 6, -1]])
    each = torch.randint(20, (2, 3, 3))
    shared = np.array([2, 7, 7])
    negatives = each if loss == "bce" else shared
    batch = NextItemBatch(items, targets, negatives, torch.zeros(2, dtype=torch.int64))
    asked = targets >= 0
    logits = network.states(items)[asked] @ network.items.weight.T
    wanted = targets[asked]
    if loss == "softmax":
        expected = F.cross_entropy(logits, wanted)
    elif loss == "bce":
        right = logits.gather(1, wanted[:, None])
        wrong = logits.gather(1, each[asked])
        expected = -(right.sigmoid().log()[:, 0] + (1 - wrong.sigmoid()).log().sum(1)).mean()
    else:
        logits = logits - torch.from_numpy(np.log(3 * sampling_shares(counts))).float()
        rows = [
            torch.stack([row[target], *(row[n] for n in shared if n != target)])
            for row, target in zip(logits, wanted, strict=True)
        ]
        expected = torch.stack([-row.log_softmax(0)[0] for row in rows]).mean()
    assert network(batch).item() == pytest.approx(expected.item(), rel=1e-5)


def test_every_item_but_the_first_is_a_target_once(model, split):
    batch = model.training_batch(np.arange(model.examples(split).size), np.random.default_rng(0))
    assert batch.items.shape[1] <= 4
    pairs = [
        (item, target)
        for row in zip(batch.items.tolist(), batch.targets.tolist(), strict=True)
        for item, target in zip(*row, strict=True)
        if target >= 0
    ]
    expected = [pair for row in model.data.histories.rows() for pair in pairwise(row.tolist())]
    assert sorted(pairs) == sorted(expected)


def test_only_the_newest_items_are_read(model):
    history = np.array([7, 1, 2, 3, 4])
    nobody = np.array([-1])
    whole = model.scores(nobody, Ragged.of_rows([history]))
    assert torch.equal(whole, model.scores(nobody, Ragged.of_rows([history[1:]])))


def test_negatives_of_bce_are_items_that_the_user_has_not(split):
    model = SASRec.from_preset("tiny", ["training.epochs=1", "loss=bce"]).fit(split)
    batch = model.training_batch(np.arange(10), np.random.default_rng(0))
    assert batch.negatives.shape == (*batch.items.shape, 1)
    for row in range(10):
        user = model._examples.windows.user[row]
        assert not set(batch.negatives[row].flatten().tolist()) & set(model.data.histories[user])


def test_heads_share_the_width():
    with pytest.raises(ConfigError, match="hidden_size = 10 is no multiple of num_heads = 4"):
        SASRec(hidden_size=10, num_heads=4)


def test_items_may_start_from_transitions(split):
    """Items of one path start close to each other, and one epoch is enough to see it."""
    start = SASRec.from_preset("tiny", ["item_init=transitions", "training.epochs=1"])
    start.fit(split)
    table = F.normalize(start.item_vectors().detach(), dim=1)
    group = torch.from_numpy(checkerboard().item_group)
    alike = (table @ table.T)[group[:, None] == group].mean()
    other = (table @ table.T)[group[:, None] != group].mean()
    assert alike > other + 0.1


def test_the_plan_is_told_before_transitions_are_counted(split, monkeypatch):
    told, count = [], transitions.transition_features

    def counted(histories, num_items, width, seed):
        told.append("transitions")
        return count(histories, num_items, width, seed)

    monkeypatch.setattr(transitions, "transition_features", counted)
    model = SASRec.from_preset("tiny", ["item_init=transitions", "training.epochs=1"])
    model.fit(split, on_plan=lambda plan: told.append("plan"))
    assert told == ["plan", "transitions"]
