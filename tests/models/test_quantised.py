"""Matrices of integers: about the same answers, and the network that learned stays as it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tests.decoding.conftest import VOCAB_SIZE, make_t5
from tests.models.graph_gpt.conftest import random_batch, small_model

from edgewise.decoding import TokenTable, score_candidates
from edgewise.errors import ConfigError
from edgewise.models import quantised as module
from edgewise.models.graph_gpt.config import AttentionConfig
from edgewise.models.graph_gpt.model import Series
from edgewise.models.lora import add_low_rank
from edgewise.models.quantised import quantised, with_integers
from edgewise.models.t5_forward import encode


def assert_rounded(whole, other, weight: torch.Tensor, width: int) -> None:
    """Within what rounding to 1 of 127 steps can change, and not the same."""
    states = torch.randn(5, width, generator=torch.Generator().manual_seed(0))
    step = weight.abs().amax(dim=1) / 127
    bound = states.abs().sum(1, keepdim=True) * step
    bound = bound + (states.amax() - states.amin()) / 127 * weight.abs().sum(1)
    found = other(states)
    assert ((found - whole(states)).abs() <= bound).all() and not torch.equal(found, whole(states))


@torch.no_grad()
def test_products_are_those_of_rounded_matrices():
    gpt = small_model().gpt
    layers: Any = gpt.h[0], quantised(gpt).h[0]
    whole, other = (layer.mlp.c_fc for layer in layers)
    assert_rounded(whole, other, whole.weight.T, 8)


@torch.no_grad()
def test_a_t5_with_low_rank_updates():
    t5: Any = make_t5()
    add_low_rank(t5, 2, 4.0, torch.Generator().manual_seed(1))
    query = t5.encoder.block[1].layer[0].SelfAttention.q
    query.up.normal_(generator=torch.Generator().manual_seed(2))
    weight = query(torch.eye(32)).T
    assert_rounded(query, quantised(t5).encoder.block[1].layer[0].SelfAttention.q, weight, 32)


@torch.no_grad()
def test_what_is_hung_on_layers_stays():
    model, batch = small_model(AttentionConfig(gates=True)), random_batch(rows=5)
    gpt = quantised(model.gpt)
    before = model.last_hidden(batch, Series(gpt))
    torch.testing.assert_close(before, model.last_hidden(batch), atol=0.4, rtol=0.1)
    model.gates.fill_(3.0)
    assert (model.last_hidden(batch, Series(gpt)) - before).abs().max() > 0.01


@pytest.mark.parametrize("feed_forward", ["relu", "gated-gelu"])
@torch.no_grad()
def test_a_t5_answers_about_the_same(feed_forward):
    t5 = make_t5(feed_forward)
    state = {name: weight.clone() for name, weight in t5.state_dict().items()}
    mask = (torch.arange(9) < torch.tensor([[9], [4], [7]])).long()
    inputs = torch.randn(3, 9, 32, generator=torch.Generator().manual_seed(0))
    items = [[2 + n // 6, 10 + n % 6, 1] for n in range(36)]
    asked = (TokenTable.from_lists(items), [np.arange(36)] * 3)

    def scores(network):
        return np.array(score_candidates(network, encode(t5, inputs, mask, False), mask, *asked))

    exact, rounded = scores(t5), scores(quantised(t5))
    assert 0 < np.abs(rounded - exact).max() < 1.0
    assert np.corrcoef(exact.ravel(), rounded.ravel())[0, 1] > 0.99
    states = encode(quantised(t5), inputs, mask, False)
    torch.testing.assert_close(states, encode(t5, inputs, mask, False), atol=0.6, rtol=0)
    assert all(torch.equal(weight, state[name]) for name, weight in t5.state_dict().items())


@torch.no_grad()
def test_single_words_keep_their_floats_and_all_words_are_there(monkeypatch):
    monkeypatch.setattr(module, "WORDS_AT_ONCE", 7)
    t5 = make_t5()
    head: Any = quantised(t5).lm_head
    assert head.weight is t5.lm_head.weight and len(head.parts) == 6
    states = torch.randn(4, 32, generator=torch.Generator().manual_seed(0))
    found = torch.cat([part(states) for part in head.parts], dim=1)
    assert found.shape == (4, VOCAB_SIZE)
    torch.testing.assert_close(found, t5.lm_head(states), atol=0.3, rtol=0)


@torch.no_grad()
def test_made_once_until_weights_change():
    t5 = make_t5()
    first = with_integers(t5)
    assert with_integers(t5) is first and with_integers(make_t5()) is not first
    t5.encoder.final_layer_norm.weight.mul_(2)
    assert with_integers(t5) is not first


def test_where_torch_cannot(monkeypatch):
    def refuse(*_, **__):
        raise RuntimeError("no engine")

    library: Any = module.torch.ao
    monkeypatch.setattr(library.nn.quantized.dynamic.Linear, "from_float", refuse)
    with pytest.raises(ConfigError, match=r"cannot do it \(no engine\)"):
        quantised(small_model().gpt)
