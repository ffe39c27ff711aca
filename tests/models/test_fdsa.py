"""FDSA: both streams and the attention over features against plain numpy, what it asks of data."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.contracts.checkerboard import checkerboard
from tests.oracles.layers import array, attention, gelu, linear, normed

from edgewise.errors import DataError
from edgewise.models.fdsa import FDSA, FDSAConfig, FDSANetwork
from edgewise.models.item_descriptions import ItemDescriptions

NONE = 3
ATTRIBUTES = np.array([[0, 2], [1, NONE], [NONE, NONE], [0, 1], [NONE, NONE]])
TEXTS = np.array([[1, 0], [0.6, 0.8], [0, 1], [0, 0], [0, 0]], dtype=np.float32)


def build(texts):
    torch.manual_seed(0)
    config = FDSAConfig(hidden_size=8, num_heads=2, inner_size=12, num_layers=2, init_std=0.5)
    known = ItemDescriptions(torch.from_numpy(texts), torch.from_numpy(ATTRIBUTES), NONE, {})
    return FDSANetwork(config, np.arange(5), known).eval()


def feature(network, item, texts):
    """Attention over the attributes and the text that an item has, each dimension by itself."""
    vectors = [array(network.attribute_table.weight)[a] for a in ATTRIBUTES[item] if a != NONE]
    if texts.shape[1] and texts[item].any():
        vectors.append(linear(texts[item].astype(float), network.read_text))
    if not vectors:
        return array(network.attribute_table.weight)[NONE]
    weights = np.exp(np.stack([linear(vector, network.weigh) for vector in vectors]))
    return (weights / weights.sum(0) * vectors).sum(0)


def through(stream, x):
    x = normed(x + array(stream.positions.weight)[: len(x)], stream.start)
    for block in stream.blocks:
        x = normed(x + attention(x, block, causal=True), block.norms[0])
        x = normed(x + linear(gelu(linear(x, block.inner)), block.outer), block.norms[1])
    return x


@pytest.mark.parametrize("texts", [TEXTS, np.zeros((5, 0), np.float32)])
def test_the_equations(texts):
    network, items = build(texts), np.array([3, 1, 2, 0, 4])
    features = np.stack([feature(network, item, texts) for item in items])
    found = network.features(torch.from_numpy(items))
    assert array(found) == pytest.approx(features, abs=1e-5)
    streams = (
        through(network.item_stream, array(network.items.weight)[items]),
        through(network.feature_stream, features),
    )
    expected = linear(np.concatenate(streams, axis=1), network.join)
    assert array(network.states(torch.from_numpy(items)[None])[0]) == pytest.approx(
        expected, abs=1e-5
    )


def test_items_without_anything_learn():
    network = build(TEXTS)
    network.features(torch.tensor([[4, 0]])).sum().backward()
    gradient = network.attribute_table.weight.grad
    assert gradient.isfinite().all() and gradient[NONE].any()


def test_items_without_attributes_are_refused_before_training():
    with pytest.raises(DataError, match=r"fdsa.*title \(0\)"):
        FDSA.from_preset("tiny").fit(checkerboard().split)
    with pytest.raises(DataError, match=r"fdsa.*brand \(0\), categories \(0\)"):
        FDSA.from_preset("tiny", ["read_texts=false"]).fit(checkerboard().split)
