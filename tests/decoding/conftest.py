"""Tiny random models, padded prompts and a ragged catalogue for the decoding tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import T5Config, T5ForConditionalGeneration

from edgewise.decoding import TokenTable

EOS, VOCAB_SIZE, NUM_PROMPTS = 1, 40, 5


class Prompts(NamedTuple):
    hidden: Tensor
    mask: Tensor


def make_t5(feed_forward: str = "relu", tied: bool = True, seed: int = 0):
    """A tiny T5 whose weights are large enough for probabilities to be far from even."""
    torch.manual_seed(seed)
    config = T5Config(
        vocab_size=VOCAB_SIZE,
        d_model=32,
        d_kv=8,
        d_ff=64,
        num_layers=2,
        num_heads=4,
        feed_forward_proj=feed_forward,
        **{"tie_word_embeddings": tied, "decoder_start_token_id": 0},
    )
    model = T5ForConditionalGeneration(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(1.3)
        if not tied:
            model.lm_head.weight.div_(8)
    return model


@pytest.fixture
def t5() -> T5ForConditionalGeneration:
    return make_t5()


@pytest.fixture
def encode() -> Callable[[T5ForConditionalGeneration], Prompts]:
    """Encodes five random prompts, two of them padded on the right."""

    @torch.no_grad()
    def run(model: T5ForConditionalGeneration) -> Prompts:
        generator = torch.Generator().manual_seed(3)
        ids = torch.randint(2, VOCAB_SIZE, (NUM_PROMPTS, 9), generator=generator)
        mask = torch.ones_like(ids)
        mask[1, 5:] = 0
        mask[3, 7:] = 0
        hidden = model.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        # Whatever stands behind a prompt's end must not matter.
        return Prompts(hidden + 100.0 * (1 - mask[..., None]), mask)

    return run


@pytest.fixture
def prompts(t5: T5ForConditionalGeneration, encode: Callable) -> Prompts:
    return encode(t5)


@pytest.fixture
def table() -> TokenTable:
    """About 60 items spelled in one to four tokens, many with common beginnings."""
    rng = np.random.default_rng(0)
    rows = {tuple(rng.integers(2, 10, rng.integers(1, 5)).tolist()) for _ in range(70)}
    return TokenTable.from_lists([[*row, EOS] for row in sorted(rows)])


@pytest.fixture
def lists(table) -> list[np.ndarray]:
    """Candidates of every prompt, one of them without any."""
    rng = np.random.default_rng(1)
    return [rng.choice(len(table), size, replace=False) for size in (7, 3, 0, 20, 1)]


@pytest.fixture
def library_score() -> Callable[..., float]:
    """The log-likelihood of one target, by the library's own forward pass on one prompt."""

    @torch.no_grad()
    def score(model: T5ForConditionalGeneration, prompts: Prompts, row: int, target) -> float:
        labels = torch.as_tensor(np.asarray(target))[None]
        logits = model(
            encoder_outputs=(prompts.hidden[row : row + 1],),
            attention_mask=prompts.mask[row : row + 1],
            labels=labels,
        ).logits
        return float(logits.log_softmax(-1).gather(-1, labels[..., None]).sum())

    return score


@pytest.fixture
def library_next(library_score: Callable) -> Callable[..., np.ndarray]:
    """Log-probabilities of the token after a prefix, by the library's forward pass."""

    @torch.no_grad()
    def following(model, prompts: Prompts, row: int, prefix: list[int]) -> np.ndarray:
        logits = model(
            encoder_outputs=(prompts.hidden[row : row + 1],),
            attention_mask=prompts.mask[row : row + 1],
            decoder_input_ids=torch.tensor([[0, *prefix]]),
        ).logits
        return logits[0, -1].log_softmax(-1).numpy()

    return following


@pytest.fixture
def make_model() -> Callable[..., T5ForConditionalGeneration]:
    return make_t5
