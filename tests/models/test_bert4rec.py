"""BERT4Rec: its blocks and loss against plain numpy, what is masked, and how it is asked."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.contracts.checkerboard import checkerboard
from tests.oracles.layers import array, attention, gelu, linear, normed

from edgewise.models.bert4rec import BERT4Rec, BERT4RecConfig, BERT4RecNetwork, cloze
from edgewise.models.next_item import NextItemBatch

MASK = 20


@pytest.fixture
def network():
    torch.manual_seed(0)
    config = BERT4RecConfig(hidden_size=8, num_heads=2, inner_size=12, init_std=0.5)
    network = BERT4RecNetwork(config, np.arange(MASK)).eval()
    torch.nn.init.normal_(network.bias)
    return network


def scores_by_hand(network, items):
    """Equations 2 to 7 for one row: the scores of all items at every position, ``[S, I]``."""
    places = np.arange(len(items))[::-1]
    x = array(network.items.weight)[items] + array(network.positions.weight)[places]
    x = normed(x, network.start)
    for block in network.blocks:
        x = normed(x + attention(x, block, causal=False), block.norms[0])
        x = normed(x + linear(gelu(linear(x, block.inner)), block.outer), block.norms[1])
    return gelu(linear(x, network.out)) @ array(network.items.weight)[:MASK].T + array(network.bias)


def test_the_equations_in_a_row_that_is_filled_up(network):
    items, longer = np.array([3, MASK, 3, 0, 9]), np.arange(7)
    rows = np.stack([np.append(items, [-1, -1]), longer])
    found = network.states(torch.from_numpy(rows)) @ network.item_table().T
    assert array(found[0, :5]) == pytest.approx(scores_by_hand(network, items), abs=1e-4)
    assert array(found[1]) == pytest.approx(scores_by_hand(network, longer), abs=1e-4)


def test_the_loss_is_of_masked_items_among_all(network):
    rows = np.array([[3, MASK, 3, MASK], [MASK, 4, -1, -1]])
    targets = np.array([[-1, 7, -1, 9], [2, -1, -1, -1]])
    first, second = scores_by_hand(network, rows[0]), scores_by_hand(network, rows[1, :2])
    chosen = [(first[1], 7), (first[3], 9), (second[0], 2)]
    expected = np.mean([np.log(np.exp(row).sum()) - row[target] for row, target in chosen])
    tensors = torch.from_numpy(rows), torch.from_numpy(targets)
    batch = NextItemBatch(*tensors, np.empty(0, np.int64), torch.zeros(2, dtype=torch.int64))
    assert network(batch).item() == pytest.approx(expected, rel=1e-5)


def test_a_history_is_asked_about_by_a_mask_at_its_end(network):
    items = torch.tensor([[3, 7, 0], [5, 0, 0]])
    users = torch.zeros(2, dtype=torch.int64)
    found = network.last_states(items, torch.tensor([3, 1]), users) @ network.item_table().T
    for row, asked in zip(found, ([3, 7, 0, MASK], [5, MASK]), strict=True):
        assert array(row) == pytest.approx(scores_by_hand(network, np.array(asked))[-1], abs=1e-4)


def test_which_items_are_masked():
    rng = np.random.default_rng(0)
    lengths = rng.integers(2, 30, size=3000)
    items = np.where(np.arange(30) < lengths[:, None], 5, -1)
    masked = cloze(items, 0.4, 0.0, rng)
    assert masked.any(1).all() and not masked[items < 0].any()
    long = lengths >= 15
    assert masked[long].sum() / lengths[long].sum() == pytest.approx(0.4, abs=0.01)
    alone = cloze(items, 0.4, 1.0, rng)
    assert (alone.sum(1) == 1).all() and alone[np.arange(3000), lengths - 1].all()


def test_what_is_to_be_told_is_not_read():
    """Every row is its user's newest items, those that are masked told as targets alone."""
    model = BERT4Rec.from_preset("tiny", ["training.epochs=1", "max_items=6"])
    model.fit(checkerboard().split)
    rows = np.arange(len(model._examples.windows.user))
    batch = model.training_batch(rows, np.random.default_rng(0))
    items, targets = batch.items.numpy(), batch.targets.numpy()
    masked = targets >= 0
    assert items.shape[1] == 6 and ((items == model.network.mask) == masked).all()
    for row, user in enumerate(batch.users.tolist()):
        told = np.where(masked[row], targets[row], items[row])
        told, history = told[told >= 0], model.data.histories[user]
        ends = range(len(told), len(history) + 1)
        assert any((history[end - len(told) : end] == told).all() for end in ends)
