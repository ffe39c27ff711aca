"""GRU4Rec: its recurrence against plain numpy, and its two tables."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.oracles.layers import array, linear, sigmoid

from edgewise.models.gru4rec import GRU4RecConfig, GRU4RecNetwork


def build(**settings):
    torch.manual_seed(0)
    config = GRU4RecConfig(hidden_size=6, inner_size=5, init_std=0.5, **settings)
    return GRU4RecNetwork(config, np.arange(20)).eval()


def by_hand(network, items):
    """Equations 2 to 5, item by item; torch stacks the weights of r, z and the candidate."""
    gru, state, states = network.gru, np.zeros(5), []
    for x in array(network.items.weight)[items]:
        told = np.split(array(gru.weight_ih_l0) @ x + array(gru.bias_ih_l0), 3)
        kept = np.split(array(gru.weight_hh_l0) @ state + array(gru.bias_hh_l0), 3)
        r, z = sigmoid(told[0] + kept[0]), sigmoid(told[1] + kept[1])
        state = (1 - z) * np.tanh(told[2] + r * kept[2]) + z * state
        states.append(linear(state, network.out))
    return np.stack(states)


def test_the_equations():
    network, items = build(), np.array([3, 17, 3, 0, 9])
    expected = pytest.approx(by_hand(network, items), abs=1e-5)
    assert array(network.states(torch.from_numpy(items)[None])[0]) == expected
    rows, asked = torch.from_numpy(np.tile(items, (5, 1))), torch.arange(5)
    assert array(network.states_at(rows, asked)) == expected


@pytest.mark.parametrize("tied", [True, False])
def test_items_are_scored_by_one_table_or_by_another(tied):
    network = build(tied=tied)
    assert (network.item_table() is network.items.weight) == tied
    assert len(network.embedding_parameters()) == (1 if tied else 2)
    network.start_items(torch.ones(20, 6))
    assert (network.items.weight == 1).all() and (network.item_table() == 1).all()
