"""Networks of ours that hold the library's weights, against the library's own."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2Model, T5Config, T5ForConditionalGeneration
from transformers.models.t5.modeling_t5 import T5Attention as LibraryAttention

from edgewise.decoding.exact_scores import score_candidates
from edgewise.decoding.trie import TokenTable
from edgewise.models import saved_networks, t5_forward
from edgewise.models.graph_gpt.reading import KeyCache, read
from edgewise.models.saved_networks import GPT2, T5, T5Attention, TanhGELU, gpt2_of, t5_of

WIDTH = 24
MASK = (torch.arange(10) < torch.tensor([[10], [4], [7]])).long()


def both(library, ours):
    """A network of the library in evaluation mode, and ours with its weights."""
    assert library.state_dict().keys() == ours.state_dict().keys()
    ours.load_state_dict(library.state_dict())
    return library.eval(), ours.eval()


def both_t5(kind: str = "relu"):
    torch.manual_seed(3)
    config = T5Config(
        vocab_size=50,
        d_model=WIDTH,
        d_kv=8,
        d_ff=40,
        num_layers=2,
        num_decoder_layers=1,
        num_heads=3,
        feed_forward_proj=kind,
        decoder_start_token_id=0,  # pyright: ignore[reportCallIssue]
    )
    ours = t5_of(config.to_dict())
    assert isinstance(ours, T5) and ours.config.to_dict() == config.to_dict()
    return both(T5ForConditionalGeneration(config), ours)


def both_gpt2(activation: str = "gelu_pytorch_tanh"):
    torch.manual_seed(3)
    config = GPT2Config(
        vocab_size=50,
        n_positions=16,
        n_embd=WIDTH,
        n_layer=2,
        n_head=3,
        activation_function=activation,
        bos_token_id=1,
        eos_token_id=1,
        attn_implementation="eager",  # pyright: ignore[reportCallIssue]
    )
    ours = gpt2_of(config.to_dict())
    assert isinstance(ours, GPT2) and ours.config.to_dict() == config.to_dict()
    return both(GPT2Model(config), ours)


def close(found, expected):
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize(("buckets", "longest"), [(32, 128), (16, 64), (32, 500)])
def test_distances_have_the_librarys_buckets(bidirectional, buckets, longest):
    distance = torch.arange(-2000, 2001)
    args = distance, bidirectional, buckets, longest
    found = T5Attention._relative_position_bucket(*args)
    assert torch.equal(found, LibraryAttention._relative_position_bucket(*args))


@pytest.mark.parametrize("kind", ["relu", "gated-gelu"])
@torch.no_grad()
def test_a_t5_reads_and_writes_as_the_librarys(kind):
    library, ours = both_t5(kind)
    prompts, targets = torch.randn(3, 10, WIDTH), torch.randn(3, 4, WIDTH)
    for causal in (False, True):
        states = t5_forward.encode(library, prompts, MASK, causal)
        close(t5_forward.encode(ours, prompts, MASK, causal), states)
    written = t5_forward.decode(library, targets, states, MASK)
    close(t5_forward.decode(ours, targets, states, MASK), written)
    close(ours.lm_head(written), library.lm_head(written))
    table = TokenTable(np.array([[5, 6, 0], [5, 7, 8], [9, 0, 0]]), np.array([2, 3, 1]))
    candidates = [np.array(row) for row in ([0, 1, 2], [2], [1, 0])]
    found = (score_candidates(t5, states, MASK, table, candidates) for t5 in (ours, library))
    for own, wanted in zip(*found, strict=True):
        assert own == pytest.approx(wanted, abs=1e-6)
    labels = torch.tensor([[3, 4, -100], [5, 6, 1]])
    shifted = torch.tensor([[0, 3, 4], [0, 5, 6]])
    for t5 in (library, ours):
        assert torch.equal(t5.prepare_decoder_input_ids_from_labels(labels), shifted)


@torch.no_grad()
def test_an_encoder_reads_alike_where_the_forward_pass_of_ours_is_not_for():
    library, ours = both_t5()
    prompts, tokens = torch.randn(3, 10, WIDTH), MASK.bool()
    readable = MASK[:, None, None] * torch.ones(10, 10).tril()
    for mask in (MASK, (1 - readable) * torch.finfo(torch.float32).min):
        found, wanted = (
            t5.encoder(inputs_embeds=prompts, attention_mask=mask).last_hidden_state[tokens]
            for t5 in (ours, library)
        )
        close(found, wanted)


@pytest.mark.parametrize("activation", ["gelu_pytorch_tanh", "gelu_new"])
@torch.no_grad()
def test_a_gpt2_reads_as_the_librarys(activation):
    library, ours = both_gpt2(activation)
    input_ids = torch.randint(50, (3, 10))
    mask = torch.randn(3, 1, 10, 10).masked_fill(torch.ones(10, 10).triu(1).bool(), -1e9)
    wanted = library(input_ids, attention_mask=mask).last_hidden_state
    for gpt in (library, ours):
        close(read(gpt, input_ids, mask), wanted)
        past = KeyCache({})
        parts = [read(gpt, input_ids[:, :6], mask[:, :, :6, :6], past)]
        parts.append(read(gpt, input_ids[:, 6:], mask[:, :, 6:], past))
        close(torch.cat(parts, 1), wanted)
        assert past.num_tokens == 10


@torch.no_grad()
def test_a_gpt2_reads_alike_on_another_device(monkeypatch):
    _, ours = both_gpt2()
    states, mask = torch.randn(3, 10, WIDTH), torch.zeros(3, 1, 10, 10)
    block = ours.h[0]
    wanted = block(states, None, mask)
    elsewhere = SimpleNamespace(type="cuda")
    monkeypatch.setattr(torch.Tensor, "device", property(lambda _: elsewhere), raising=False)
    found = block(states, None, mask)
    monkeypatch.undo()
    close(found, wanted)


def test_settings_that_are_not_known_take_the_librarys():
    t5 = both_t5()[0].config.to_dict()
    gpt = both_gpt2()[0].config.to_dict()
    for changed in ({"tie_word_embeddings": False}, {"dense_act_fn": "silu"}):
        assert isinstance(t5_of({**t5, **changed}), T5ForConditionalGeneration)
    for changed in ({"scale_attn_by_inverse_layer_idx": True}, {"activation_function": "silu"}):
        assert isinstance(gpt2_of({**gpt, **changed}), GPT2Model)


def test_defaults_are_the_librarys():
    library = T5Config().to_dict()
    told = {name: library[name] for name in saved_networks.T5_DEFAULTS}
    assert told == saved_networks.T5_DEFAULTS


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_activation_and_its_gradient_are_the_librarys(dtype):
    numbers = torch.linspace(-12, 12, 70_001).to(dtype)  # more than are worked out at once
    ours, theirs = (numbers.clone().requires_grad_() for _ in range(2))
    found = TanhGELU()(ours.unflatten(0, (1, -1)).mT)
    expected = torch.nn.GELU("tanh")(theirs.unflatten(0, (1, -1)).mT)
    assert found.dtype == dtype
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)
    (found * numbers[:, None]).sum().backward()
    (expected * numbers[:, None]).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-5, rtol=1e-5)
