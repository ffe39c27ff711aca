"""The T5 computed anew, against the library's own forward and backward pass."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F
from transformers import T5Config, T5ForConditionalGeneration

from edgewise.models import t5_forward
from edgewise.models.lora import add_low_rank
from edgewise.models.t5_forward import Packing, decode, encode

WIDTH, LONGEST, TARGETS = 24, 19, 4
MASKS = {
    "whole": torch.ones(5, LONGEST, dtype=torch.int64),
    "padded": (torch.arange(LONGEST) < torch.tensor([[19], [3], [1], [12], [18]])).long(),
    "with holes": (torch.arange(60).view(5, 12) % 5 > 0).long(),
}


def small_t5(kind: str = "relu", dropout: float = 0.0) -> T5ForConditionalGeneration:
    torch.manual_seed(3)
    config = T5Config(
        vocab_size=50,
        d_model=WIDTH,
        d_kv=8,
        d_ff=40,
        num_layers=2,
        num_heads=3,
        dropout_rate=dropout,
        feed_forward_proj=kind,
        decoder_start_token_id=0,  # pyright: ignore[reportCallIssue]
    )
    return T5ForConditionalGeneration(config).train()


def by_library(t5, inputs, mask, targets, causal):
    """The library's states of prompts and targets; what follows is hidden by a 4-D mask."""
    seen = mask
    if causal:
        readable = mask[:, None, None, :] * torch.ones(mask.shape[1], mask.shape[1]).tril()
        seen = (1 - readable) * torch.finfo(torch.float32).min
    states = t5.encoder(inputs_embeds=inputs, attention_mask=seen).last_hidden_state
    output = t5(
        encoder_outputs=(states,), attention_mask=mask, decoder_inputs_embeds=targets
    ).logits
    return states, output


def by_us(t5, inputs, mask, targets, causal):
    states = encode(t5, inputs, mask, causal)
    return states, t5.lm_head(decode(t5, targets, states, mask))


def run(forward, t5, mask, causal):
    """States, logits and all gradients of a loss on them."""
    torch.manual_seed(7)
    inputs = torch.randn(*mask.shape, WIDTH, requires_grad=True)
    targets = torch.randn(len(mask), TARGETS, WIDTH, requires_grad=True)
    t5.zero_grad()
    states, logits = forward(t5, inputs, mask, targets, causal)
    labels = torch.arange(len(mask) * TARGETS).view(len(mask), TARGETS)
    F.cross_entropy(logits.transpose(1, 2), labels).backward()
    grads = {name: p.grad.clone() for name, p in t5.named_parameters() if p.grad is not None}
    return states, logits, {**grads, "inputs": inputs.grad, "targets": targets.grad}


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
@pytest.mark.parametrize("kind", ["relu", "gated-gelu"])
def test_states_and_gradients_are_the_librarys(monkeypatch, kind, mask, causal):
    # Room for two prompts of full length in a block.
    monkeypatch.setattr(t5_forward, "_WEIGHTS_AT_ONCE", 2 * 3 * LONGEST**2)
    if causal and not mask[:, 0].all():
        pytest.skip("a first token that reads nothing has no right answer")
    t5 = small_t5(kind)
    states, logits, grads = run(by_library, t5, mask, causal)
    own_states, own_logits, own_grads = run(by_us, t5, mask, causal)
    tokens = mask.bool()
    assert torch.allclose(own_states[tokens], states[tokens], atol=1e-5)
    assert torch.allclose(own_logits, logits, atol=1e-5)
    assert own_grads.keys() == grads.keys()
    for name, grad in grads.items():
        assert torch.allclose(own_grads[name], grad, atol=1e-5), name


def test_low_rank_updates_are_part_of_the_forward_pass():
    t5 = small_t5()
    add_low_rank(t5, 2, 4.0, torch.Generator().manual_seed(1))
    for name, parameter in t5.named_parameters():
        if name.endswith("up"):
            parameter.data.normal_()
    _, logits, grads = run(by_library, t5, MASKS["padded"], False)
    _, own_logits, own_grads = run(by_us, t5, MASKS["padded"], False)
    assert torch.allclose(own_logits, logits, atol=1e-5)
    updates = [name for name in grads if name.endswith(("up", "down"))]
    assert len(updates) == 2 * 2 * 6
    assert all(torch.allclose(own_grads[name], grads[name], atol=1e-5) for name in updates)


def test_bf16_autocast_gives_about_the_same():
    t5, mask = small_t5(), MASKS["padded"]
    _, logits, _ = run(by_us, t5, mask, False)
    with torch.autocast("cpu", torch.bfloat16):
        _, rounded, grads = run(by_us, t5, mask, False)
    assert (rounded.float() - logits).abs().mean() < 0.02 * logits.abs().mean()
    assert all(grad.isfinite().all() for grad in grads.values())


def test_prompts_are_laid_out_with_little_padding():
    mask = (torch.arange(100) < torch.tensor([[100], [7], [98], [7], [91]])).long()
    packing = Packing.of(mask, num_heads=1)
    assert [(block.count, block.length) for block in packing.blocks] == [(3, 100), (2, 7)]
    grid = torch.randn(5, 100, 2)
    back = packing.grid(packing.rows(grid))
    assert torch.equal(back[mask.bool()], grid[mask.bool()])
    assert not back[1, 7:].any() and not back[3, 7:].any()


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_dropout_keeps_as_many_as_it_should_and_their_mean(rate):
    torch.manual_seed(0)
    layer = torch.nn.Dropout(rate)
    found = t5_forward._dropout(torch.ones(1001, 999), layer)
    assert (found == 0).float().mean() == pytest.approx(rate, abs=2e-3)
    assert found.mean() == pytest.approx(1.0, abs=5e-3)
    assert found.unique().tolist() == pytest.approx([0.0, 1 / (1 - rate)])
    neighbours = (found[:, 1:] == 0) & (found[:, :-1] == 0)
    assert neighbours.float().mean() == pytest.approx(rate**2, abs=2e-3)
    assert t5_forward._dropout(found, layer.eval()) is found


def test_gradients_with_dropout_are_those_of_the_entries_that_were_drawn():
    torch.manual_seed(0)
    states, first, second = (
        torch.randn(*shape, dtype=torch.float64, requires_grad=True)
        for shape in ((6, 4), (5, 4), (4, 5))
    )
    bias = torch.randn(2, 3, 3, dtype=torch.float64, requires_grad=True)
    blocks = Packing.of(torch.tensor([[1, 1, 1], [1, 1, 0]]), num_heads=2).blocks
    assert len(blocks) == 2

    def layers(states, first, second, bias):
        torch.manual_seed(5)
        rows = states[:5]
        found = t5_forward._Attention.apply(rows, 2 * rows, rows, bias, blocks, 0.3)
        found = t5_forward._Dropout.apply(found, 0.2)
        return t5_forward._FeedForward.apply(found, first, second, 0.4)

    assert torch.autograd.gradcheck(layers, (states, first, second, bias))


def test_training_with_dropout_repeats_and_differs_by_seed():
    t5, mask = small_t5(dropout=0.3), MASKS["padded"]
    (_, first, _), (_, again, _) = run(by_us, t5, mask, False), run(by_us, t5, mask, False)
    assert torch.equal(first, again)
    assert not torch.allclose(first, run(by_us, t5.eval(), mask, False)[1], atol=1e-3)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
@torch.no_grad()
def test_what_is_only_read_equals_the_library(mask, causal):
    t5 = small_t5(dropout=0.5).eval()
    inputs = torch.randn(*mask.shape, WIDTH, generator=torch.Generator().manual_seed(1))
    targets = torch.randn(len(mask), TARGETS, WIDTH)
    expected, _ = by_library(t5, inputs, mask, targets, causal)
    shown = mask.bool()
    found = encode(t5, inputs, mask, causal)[shown]
    torch.testing.assert_close(found, expected[shown], atol=1e-5, rtol=0)
