"""XSimGCL: layers, noise and contrast against plain numpy, and what it may know."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.contracts.checkerboard import checkerboard
from tests.oracles.contrast import info_nce
from tests.oracles.propagation import dense_adjacency, mean_of_powers

from edgewise.errors import ConfigError
from edgewise.models.graph_training import Pairs
from edgewise.models.xsimgcl import XSimGCL

SETTINGS = ("training.epochs=2", "training.precision=fp32")


@pytest.fixture(scope="module")
def split():
    return checkerboard().split


@pytest.fixture(scope="module")
def model(split):
    return XSimGCL.from_preset("tiny", SETTINGS).fit(split)


@pytest.fixture(scope="module")
def layers(model, split):
    """Layers 0..2 of the trained embeddings without noise, in float64."""
    rows, sizes = split.train, (split.dataset.num_users, split.dataset.num_items)
    adjacency = dense_adjacency({*zip(rows.user_index, rows.item_index, strict=True)}, *sizes)
    layer_0 = model.network.layer_0.detach().double().numpy()
    return [mean_of_powers(adjacency, layer_0, [power]) for power in range(3)]


def test_users_and_items_are_the_mean_of_layers_but_their_own(model, layers, split):
    final, everyone = (layers[1] + layers[2]) / 2, np.arange(48)
    users = model.encode(everyone, model.data.histories).detach().numpy()
    assert users == pytest.approx(final[:48], abs=1e-5)
    assert model.item_vectors().numpy() == pytest.approx(final[48:], abs=1e-5)
    outside = model.encode(everyone - 48, model.data.histories).detach().numpy()
    assert outside == pytest.approx(users, abs=1e-6), "no layer 0 of their own is in it"


def test_noise_has_one_length_and_keeps_signs(model):
    network = model.network
    quiet = network.layers()
    network.train()
    try:
        loud = network.layers()
    finally:
        network.eval()
    noise = (loud[1] - quiet[1]).detach()
    assert noise.norm(dim=-1).numpy() == pytest.approx(np.full(72, 0.2), abs=1e-5)
    assert (noise * quiet[1] >= 0).all()
    assert torch.equal(loud[0], quiet[0])


def test_the_contrast_of_layers(model, layers):
    rng = np.random.default_rng(0)
    users, items = rng.integers(48, size=9), rng.integers(24, size=9)
    batch = Pairs(*map(torch.from_numpy, (users, items, items[:, None])))
    final, view = (layers[1] + layers[2]) / 2, layers[1]
    expected = 0.0
    for nodes in (np.unique(users), 48 + np.unique(items)):
        expected += info_nce(final[nodes], view[nodes], np.arange(len(nodes)), 0.15)
    tensors = (torch.from_numpy(x).float() for x in (final, view))
    assert model.network.contrast(*tensors, batch).item() == pytest.approx(expected, rel=1e-5)


def test_a_layer_that_there_is_not_is_refused():
    with pytest.raises(ConfigError, match="contrast_layer = 3 is beyond num_layers = 2"):
        XSimGCL(contrast_layer=3)


def test_test_rows_are_not_read(model, split):
    other = replace(split.test, item_index=split.test.item_index[::-1].copy())
    again = XSimGCL.from_preset("tiny", SETTINGS).fit(replace(split, test=other))
    for name, weight in model.network.state_dict().items():
        assert torch.equal(again.network.state_dict()[name], weight), name
