"""Low-rank adapters: the formula, where they sit, and what learns."""

from __future__ import annotations

import torch
from torch import nn
from transformers import T5Config, T5ForConditionalGeneration

from edgewise.models.lora import LowRankLinear, add_low_rank


def test_the_formula():
    torch.manual_seed(0)
    linear = nn.Linear(5, 3, bias=False)
    adapted = LowRankLinear(linear, 2, 6.0, torch.Generator().manual_seed(0))
    x = torch.randn(4, 5)
    assert torch.equal(adapted(x), linear(x)), "no change at the start"
    nn.init.normal_(adapted.up)
    weight = linear.weight + 3.0 * adapted.up @ adapted.down
    assert torch.allclose(adapted(x), x @ weight.T, atol=1e-5)


def test_queries_and_values_of_all_attention_learn_and_nothing_else():
    layers = {"num_layers": 2, "num_decoder_layers": 2, "decoder_start_token_id": 0}
    sizes = {"vocab_size": 20, "d_model": 8, "d_kv": 4, "d_ff": 8, "num_heads": 2}
    config = T5Config.from_dict({**layers, **sizes})
    t5 = T5ForConditionalGeneration(config)
    tokens = torch.tensor([[3, 4, 5]])
    before = t5.eval()(input_ids=tokens, labels=tokens).loss
    add_low_rank(t5, 2, 4.0, torch.Generator().manual_seed(0))
    assert torch.equal(t5.eval()(input_ids=tokens, labels=tokens).loss, before)
    learned = {name for name, part in t5.named_parameters() if part.requires_grad}
    # Two encoder layers with one attention, two decoder layers with two; q and v, two factors each.
    assert len(learned) == (2 + 2 * 2) * 2 * 2
    assert all(name.split(".")[-2] in ("q", "v") for name in learned)
