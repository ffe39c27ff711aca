"""Caser: its filters and scores against plain numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.oracles.layers import array, linear

from edgewise.models.caser import CaserConfig, CaserNetwork


@pytest.fixture
def network():
    torch.manual_seed(0)
    config = CaserConfig(hidden_size=6, window=4, num_horizontal=3, num_vertical=2, init_std=0.5)
    network = CaserNetwork(config, np.arange(20), 7).eval()
    torch.nn.init.normal_(network.bias)
    return network


def by_hand(network, picture, user):
    """Equations 4 to 11 for one window, ``[L, D]``: the score of every item."""
    found = []
    for height, filters in enumerate(network.horizontal, start=1):
        weights, bias = array(filters.weight), array(filters.bias)
        for pattern, start in zip(weights, bias, strict=True):
            sums = [
                (picture[t : t + height] * pattern.T).sum() + start
                for t in range(len(picture) - height + 1)
            ]
            found.append(max(np.maximum(sums, 0)))
    for column in range(picture.shape[1]):
        for weight, start in zip(
            array(network.vertical.weight), array(network.vertical.bias), strict=True
        ):
            found.append(weight @ picture[:, column] + start)
    z = np.maximum(linear(np.array(found), network.combine), 0)
    own = np.concatenate([z, array(network.users.weight)[user]])
    return array(network.scored.weight) @ own + array(network.bias)


@pytest.mark.parametrize("items", [[3, 17, 3, 0, 9], [5, 1]])
def test_the_equations(network, items):
    """The last four items count; what a short history lacks is a row of zeros before it."""
    picture = np.zeros((4, 6))
    rows = array(network.items.weight)[items[-4:]]
    picture[4 - len(rows) :] = rows
    told = torch.tensor([items]), torch.tensor([len(items)]), torch.tensor([2])
    found = network.last_states(*told) @ network.item_table().T
    assert array(found[0]) == pytest.approx(by_hand(network, picture, 2), abs=1e-5)
