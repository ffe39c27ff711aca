"""Losses over items against their definitions."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from edgewise.models.item_head import binary_cross_entropy, bpr, sampled_cross_entropy


@pytest.fixture
def hidden():
    return torch.randn(6, 5, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def items():
    return torch.randn(9, 5, generator=torch.Generator().manual_seed(1))


TARGETS = torch.tensor([0, 3, 8, 3, 1, 7])


def test_all_items_sampled_once_is_the_softmax(hidden, items):
    equal = torch.zeros(9)
    found = sampled_cross_entropy(hidden, items, TARGETS, torch.arange(9), equal)
    assert torch.allclose(found, F.cross_entropy(hidden @ items.T, TARGETS))


def test_an_item_sampled_twice_as_often_counts_half(hidden, items):
    """With the correction, repeated samples sum up to the plain softmax."""
    negatives = torch.cat([torch.arange(9), torch.arange(4, 9)])
    log_q = torch.where(torch.arange(9) < 4, 1.0, 2.0).log()
    logits = hidden @ items.T
    own = logits.gather(1, TARGETS[:, None])[:, 0] - log_q[TARGETS]
    others = logits.exp() * (torch.arange(9) != TARGETS[:, None])
    expected = -(own - (own.exp() + others.sum(1)).log()).mean()
    found = sampled_cross_entropy(hidden, items, TARGETS, negatives, log_q)
    assert torch.allclose(found, expected)


def test_binary_cross_entropy_is_that_of_torch(hidden, items):
    negatives = torch.tensor([[4, 5], [1, 2], [0, 0], [6, 8], [2, 3], [5, 4]])
    logits = hidden @ items.T
    chosen = torch.cat([logits.gather(1, TARGETS[:, None]), logits.gather(1, negatives)], 1)
    truth = torch.tensor([1.0, 0, 0]).expand(6, 3)
    expected = F.binary_cross_entropy_with_logits(chosen, truth, reduction="none").sum(1).mean()
    assert torch.allclose(binary_cross_entropy(hidden, items, TARGETS, negatives), expected)


def test_bpr():
    assert bpr(torch.zeros(3), torch.zeros(3)).item() == pytest.approx(0.693147, abs=1e-6)
    assert bpr(torch.tensor([30.0]), torch.tensor([-30.0])).item() == pytest.approx(0, abs=1e-6)
