from __future__ import annotations

import pytest
import torch
from torch import Tensor

from edgewise.decoding.t5_tree import NodeBatch, NodeCache, TreeDecoder

LENGTH = 45


def line_batch(tokens: Tensor, start: int, stop: int) -> NodeBatch:
    """Places ``start..stop`` of one line a prompt, ``tokens[B, T]``, as nodes of a tree."""
    num_prompts, width = len(tokens), stop - start
    place = torch.arange(start, stop)
    steps = torch.arange(stop)
    prompt = torch.arange(num_prompts).repeat_interleave(width)
    place_of = place.repeat(num_prompts)
    before = (place_of[:, None] - steps).clamp(min=0)
    # Cached nodes come call by call; this helper is only used with calls of ``start`` and the rest.
    cached = prompt[:, None] * start + before
    new = num_prompts * start + prompt[:, None] * width + before - start
    rows = torch.where(before < start, cached, new)
    slots = prompt * width + place_of - start
    return NodeBatch(tokens[:, start:stop].flatten(), rows, place_of, slots, width)


def library_logits(t5, prompts, tokens: Tensor) -> Tensor:
    return t5(
        encoder_outputs=(prompts.hidden,), attention_mask=prompts.mask, decoder_input_ids=tokens
    ).logits


@pytest.fixture
def tokens(prompts) -> Tensor:
    generator = torch.Generator().manual_seed(4)
    return torch.randint(0, 40, (len(prompts.hidden), LENGTH), generator=generator)


@pytest.mark.parametrize("feed_forward", ["relu", "gated-gelu"])
@pytest.mark.parametrize("tied", [True, False])
@torch.no_grad()
def test_a_line_equals_the_library(make_model, encode, tokens, feed_forward, tied) -> None:
    # 45 tokens reach into the logarithmic buckets of the position bias.
    t5 = make_model(feed_forward, tied)
    prompts = encode(t5)
    decoder = TreeDecoder(t5)
    hidden = decoder.decode(
        line_batch(tokens, 0, LENGTH), decoder.remember(prompts.hidden, prompts.mask)
    )
    found = decoder.logits(hidden).view(*tokens.shape, -1)
    torch.testing.assert_close(found, library_logits(t5, prompts, tokens), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_cached_nodes_are_attended_as_if_decoded_together(t5, prompts, tokens) -> None:
    decoder, cache = TreeDecoder(t5), NodeCache()
    memory = decoder.remember(prompts.hidden, prompts.mask)
    first = decoder.decode(line_batch(tokens, 0, 10), memory, cache)
    rest = decoder.decode(line_batch(tokens, 10, LENGTH), memory, cache)
    together = decoder.decode(line_batch(tokens, 0, LENGTH), memory)
    together = together.view(len(tokens), LENGTH, -1)
    torch.testing.assert_close(first, together[:, :10].flatten(0, 1), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(rest, together[:, 10:].flatten(0, 1), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_siblings_do_not_see_each_other(t5, prompts) -> None:
    decoder = TreeDecoder(t5)
    memory = decoder.remember(prompts.hidden, prompts.mask).part(slice(0, 1))

    def child_of_root(tokens: list[int]) -> Tensor:
        count = len(tokens)
        ancestors = torch.tensor([[0, 0], *([row, 0] for row in range(1, count))])
        depths = torch.tensor([0] + [1] * (count - 1))
        batch = NodeBatch(torch.tensor(tokens), ancestors, depths, torch.arange(count), count)
        return decoder.decode(batch, memory)

    torch.testing.assert_close(child_of_root([0, 5, 6])[:2], child_of_root([0, 5]))


@torch.no_grad()
def test_dropout_is_off_in_training_mode_too(t5, prompts, tokens) -> None:
    decoder = TreeDecoder(t5)
    batch = line_batch(tokens, 0, 8)
    calm = decoder.decode(batch, decoder.remember(prompts.hidden, prompts.mask))
    t5.train()
    torch.testing.assert_close(
        decoder.decode(batch, decoder.remember(prompts.hidden, prompts.mask)), calm
    )


@torch.no_grad()
def test_half_precision_stays_close(t5, prompts, tokens) -> None:
    batch = line_batch(tokens, 0, 8)
    exact = TreeDecoder(t5).decode(batch, TreeDecoder(t5).remember(prompts.hidden, prompts.mask))
    half = TreeDecoder(t5.to(torch.bfloat16))
    found = half.decode(batch, half.remember(prompts.hidden.bfloat16(), prompts.mask))
    assert torch.nn.functional.cosine_similarity(found.float(), exact).min() > 0.98
