"""eSASRec: its gated blocks against plain numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.oracles.layers import array, attention, linear, normed, sigmoid

from edgewise.models.esasrec import ESASRecConfig, ESASRecNetwork


@pytest.fixture
def network():
    torch.manual_seed(0)
    config = ESASRecConfig(hidden_size=8, num_heads=2, inner_size=12, init_std=0.5)
    return ESASRecNetwork(config, np.arange(20)).eval()


def by_hand(network, items):
    """One row, block by block."""
    x = array(network.items.weight)[items] + array(network.positions.weight)[: len(items)]
    for block in network.blocks:
        gate = sigmoid(linear(x, block.gates[0]))
        x = x + gate * attention(normed(x, block.norms[0]), block, causal=True)
        first, second = np.split(array(block.inner.weight), 2)
        y = normed(x, block.norms[1])
        opened = y @ first.T
        inside = opened * sigmoid(opened) * (y @ second.T)
        x = x + sigmoid(linear(x, block.gates[1])) * (inside @ array(block.outer.weight).T)
    return normed(x, network.norm)


def test_the_equations(network):
    items = np.array([3, 17, 3, 0, 9])
    found = network.states(torch.from_numpy(items)[None])[0]
    assert array(found) == pytest.approx(by_hand(network, items), abs=1e-5)
