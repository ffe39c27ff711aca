"""Matrices of integers: about the same answers, and the network that learned stays as it is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.models.graph_gpt.conftest import random_batch, same_weights, small_graph_gpt, small_model

from edgewise.config import updated
from edgewise.errors import ConfigError
from edgewise.models.graph_gpt import quantised as module
from edgewise.models.graph_gpt.config import AttentionConfig
from edgewise.models.graph_gpt.model import Series
from edgewise.models.graph_gpt.quantised import quantised


@torch.no_grad()
def test_products_are_those_of_rounded_matrices():
    """Within what rounding to 1 of 127 steps can change."""
    gpt = small_model().gpt
    whole, other = gpt.h[0].mlp.c_fc, quantised(gpt).h[0].mlp.c_fc
    states = torch.randn(5, 8, generator=torch.Generator().manual_seed(0))
    weight, step = whole.weight, whole.weight.abs().max() / 127
    bound = states.abs().sum(1, keepdim=True) * step
    bound = bound + (states.amax() - states.amin()) / 127 * weight.abs().sum(0)
    found = other(states)
    assert ((found - whole(states)).abs() <= bound).all() and not torch.equal(found, whole(states))


@torch.no_grad()
def test_what_is_hung_on_layers_stays():
    model, batch = small_model(AttentionConfig(gates=True)), random_batch(rows=5)
    gpt = quantised(model.gpt)
    before = model.last_hidden(batch, Series(gpt))
    torch.testing.assert_close(before, model.last_hidden(batch), atol=0.4, rtol=0.1)
    model.gates.fill_(3.0)
    assert (model.last_hidden(batch, Series(gpt)) - before).abs().max() > 0.01


def test_lists_change_a_little_and_weights_not_at_all(fitted, shop_split):
    users = np.arange(12)
    histories = fitted.data.histories.take(users)
    exact = fitted.scores(users, histories)
    config, state = fitted.config, {n: w.clone() for n, w in fitted.network.state_dict().items()}
    fitted.config = updated(config, {"decoding": {"weights": "int8"}})
    try:
        found = fitted.scores(users, histories)
    finally:
        fitted.config = config
    assert 0 < (found - exact).abs().max() < 0.2
    assert all(torch.equal(w, state[n]) for n, w in fitted.network.state_dict().items())
    assert torch.equal(fitted.scores(users, histories), exact)
    assert same_weights(fitted, fitted) and small_graph_gpt("decoding.weights=int8")


def test_where_torch_cannot(monkeypatch):
    def refuse(*_, **__):
        raise RuntimeError("no engine")

    monkeypatch.setattr(module.torch.ao.quantization, "quantize_dynamic", refuse)
    with pytest.raises(ConfigError, match=r"cannot do it \(no engine\)"):
        quantised(small_model().gpt)
