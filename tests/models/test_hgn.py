"""HGN: its gates and scores against plain numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.oracles.layers import array, linear, sigmoid

from edgewise.models.hgn import HGNConfig, HGNNetwork


@pytest.fixture
def network():
    torch.manual_seed(0)
    config = HGNConfig(hidden_size=6, window=4, init_std=0.5)
    network = HGNNetwork(config, np.arange(20), 7).eval()
    torch.nn.init.normal_(network.bias)
    return network


def by_hand(network, items, user):
    """Equations 2 to 6, item by item, for items that fill the window or its end."""
    user = array(network.users.weight)[user]
    of_user = linear(user, network.instance_gate_of_user)[-len(items) :]
    union, gates, vectors = np.zeros(6), 0.0, array(network.items.weight)[items]
    for x, place in zip(vectors, of_user, strict=True):
        matters = linear(x, network.feature_gate) + linear(user, network.feature_gate_of_user)
        feature = x * sigmoid(matters)
        gate = sigmoid(array(network.instance_gate.weight)[0] @ feature + place)
        union, gates = union + gate * feature, gates + gate
    scored = array(network.scored.weight)
    related = sum(scored @ x for x in vectors)  # item to item
    return scored @ user + scored @ (union / gates) + related + array(network.bias)


@pytest.mark.parametrize("items", [[3, 17, 3, 0, 9], [5, 1]])
def test_the_equations(network, items):
    told = torch.tensor([items]), torch.tensor([len(items)]), torch.tensor([2])
    found = network.last_states(*told) @ network.item_table().T
    assert array(found[0]) == pytest.approx(by_hand(network, items[-4:], 2), abs=1e-5)
