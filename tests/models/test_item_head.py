"""The loss in pieces is cross-entropy, and so are its gradients."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from edgewise.models import item_head as item_loss
from edgewise.models.item_head import item_cross_entropy


@pytest.fixture
def inputs():
    torch.manual_seed(0)
    hidden, items = torch.randn(23, 8), torch.randn(40, 8)
    return hidden.requires_grad_(), items.requires_grad_(), torch.randint(40, (23,))


def plain(hidden, items, targets):
    return F.cross_entropy(F.linear(hidden, items), targets)


def results(loss, hidden, items, targets):
    value = 3 * loss(hidden, items, targets)
    return value.detach(), *torch.autograd.grad(value, (hidden, items))


@pytest.mark.parametrize("numbers", [1, 40 * 7, 10_000])
def test_value_and_gradients(inputs, numbers, monkeypatch):
    """One row at a time, seven, all."""
    monkeypatch.setattr(item_loss, "_NUMBERS_AT_ONCE", {"cpu": numbers})
    for ours, theirs in zip(
        results(item_cross_entropy, *inputs), results(plain, *inputs), strict=True
    ):
        assert torch.allclose(ours, theirs, atol=1e-5)


def test_bf16_is_as_close_as_plain_bf16(inputs):
    exact = results(plain, *inputs)
    with torch.autocast("cpu", torch.bfloat16):
        ours = results(item_cross_entropy, *inputs)
    for mine, right in zip(ours, exact, strict=True):
        assert mine.dtype == torch.float32
        assert (mine - right).abs().max() < 0.02 * right.abs().max()


def test_large_logits_do_not_overflow():
    hidden, items = torch.tensor([[1000.0]], requires_grad=True), torch.tensor([[1.0], [-1.0]])
    loss = item_cross_entropy(hidden, items, torch.tensor([1]))
    assert loss.item() == 2000


def test_nothing_to_predict_is_no_loss(inputs):
    hidden, items, targets = inputs
    loss = item_cross_entropy(hidden[:0], items, targets[:0])
    loss.backward()
    assert loss.item() == 0 and (items.grad == 0).all()


def test_no_gradient_is_kept_where_none_is_wanted(inputs):
    with torch.no_grad():
        loss = item_cross_entropy(*inputs)
    assert not loss.requires_grad
    assert loss.item() == pytest.approx(plain(*inputs).item(), rel=1e-5)
