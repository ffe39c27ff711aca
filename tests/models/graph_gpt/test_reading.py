"""Only the ends of prompts are read, and equal beginnings once: equal to reading everything."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tests.models.graph_gpt.conftest import NUM_TEXT, random_batch, small_model

from edgewise.models.graph_gpt.config import AttentionConfig
from edgewise.models.graph_gpt.model import Series
from edgewise.models.graph_gpt.reading import last_states, shared_words


def batch_of(rows: int = 6, words: int = 3):
    """Prompts that begin with the same words; rows of different lengths."""
    batch = random_batch(seed=1, rows=rows)
    input_ids, node, distance = (
        each.clone() for each in (batch.input_ids, batch.node, batch.distance)
    )
    input_ids[:, :words] = torch.arange(words)
    input_ids[:, words] = NUM_TEXT + torch.arange(rows)
    node[:, :words], node[:, words] = -1, torch.arange(rows)
    distance[:, :words], distance[:, :, :words] = 6, 6
    present = torch.ones_like(batch.attention_mask)
    for row in range(rows):
        present[row, 4 + row % 5 :] = 0
    return replace(batch, input_ids=input_ids, node=node, distance=distance, attention_mask=present)


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@pytest.mark.parametrize(
    "config",
    [
        AttentionConfig(),
        AttentionConfig(gates=True),
        AttentionConfig(kind="meaningless"),
        AttentionConfig(kind="none"),
    ],
)
@torch.no_grad()
def test_ends_are_those_of_a_whole_reading(config, implementation):
    model, batch = small_model(config, implementation), batch_of()
    if config.gates:
        model.gates.copy_(torch.rand(model.gates.shape) * 3)
    whole = model.hidden(batch)[torch.arange(6), batch.last]
    assert shared_words(batch.input_ids, batch.node, batch.last) == 3
    torch.testing.assert_close(model.last_hidden(batch), whole, atol=1e-5, rtol=1e-5)
    for shared in range(4):
        mask = model.mask(batch)
        found = last_states(model.gpt, batch.input_ids, mask, batch.last, shared)
        torch.testing.assert_close(found, whole, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_words_that_were_read_before_are_not_read_again():
    model, batch = small_model(), batch_of()
    whole, series = model.last_hidden(batch), Series(model.gpt)
    for _ in range(2):
        torch.testing.assert_close(model.last_hidden(batch, series), whole, atol=1e-5, rtol=1e-5)
    assert list(series.words) == [(0, 1, 2)]
    one, other = batch_of(rows=1), batch_of(words=2)
    for each in (one, other):
        wanted = model.last_hidden(each)
        torch.testing.assert_close(model.last_hidden(each, series), wanted, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_one_prompt_alone():
    model, batch = small_model(), batch_of(rows=1)
    whole = model.hidden(batch)[[0], batch.last]
    torch.testing.assert_close(model.last_hidden(batch), whole, atol=1e-5, rtol=1e-5)


def test_gradients_flow_through_the_ends():
    model, batch = small_model(), batch_of()
    found = [
        torch.autograd.grad(states.square().sum(), [model.gpt.wte.weight])[0]
        for states in (
            model.last_hidden(batch),
            model.hidden(batch)[torch.arange(6), batch.last],
        )
    ]
    torch.testing.assert_close(*found, atol=1e-3, rtol=1e-3)


def test_shared_words_are_words_that_come_before_every_last_token():
    batch = batch_of()
    ids, node = batch.input_ids.clone(), batch.node.clone()
    assert shared_words(ids, node, torch.tensor([3, 2, 4, 5, 3, 3])) == 2
    node[0, 1] = 5
    assert shared_words(ids, node, batch.last) == 1, "users and items are not shared"
    ids[2, 0] = 7
    assert shared_words(ids, batch.node, batch.last) == 0
