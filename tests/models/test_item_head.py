"""Each loss is what plain torch makes of its definition, and so are its gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from edgewise.errors import ConfigError
from edgewise.models import item_head
from edgewise.models.item_head import (
    LOSSES,
    MANY_ITEMS,
    OWN_SAMPLE,
    SHARED_SAMPLE,
    ItemLoss,
    ItemSampler,
    binary_cross_entropy,
    bpr,
    calibrated_cross_entropy,
    has_sparse_gradients,
    item_cross_entropy,
    others_than,
    sampled_cross_entropy,
    top1,
)


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
    monkeypatch.setattr(item_head, "_NUMBERS_AT_ONCE", {"cpu": numbers})
    for ours, theirs in zip(
        results(item_cross_entropy, *inputs), results(plain, *inputs), strict=True
    ):
        assert torch.allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
@pytest.mark.parametrize("with_bonus", [False, True])
def test_smoothed_labels_and_a_bonus(inputs, smoothing, with_bonus):
    bonus = torch.randn(23, 40) if with_bonus else None

    def plainly(hidden, items, targets):
        logits = F.linear(hidden, items) + (0 if bonus is None else bonus)
        return F.cross_entropy(logits, targets, label_smoothing=smoothing)

    def ours(hidden, items, targets):
        return item_cross_entropy(hidden, items, targets, smoothing, bonus)

    for mine, right in zip(results(ours, *inputs), results(plainly, *inputs), strict=True):
        assert torch.allclose(mine, right, atol=1e-5)


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


class TestSampledSoftmax:
    NEGATIVES = torch.tensor([3, 8, 8, 21])

    def test_each_target_is_told_among_itself_and_the_sample(self, inputs):
        """One softmax a position, over logits less log Q, without the target among the sample."""
        inputs[2][:2] = torch.tensor([8, 3])
        log_q = torch.linspace(-6, -1, 40)

        def plainly(hidden, items, targets):
            logits = hidden @ items.T - log_q
            losses = []
            for row, target in zip(logits, targets.tolist(), strict=True):
                others = [n for n in self.NEGATIVES.tolist() if n != target]
                losses.append(-row[[target, *others]].log_softmax(0)[0])
            return torch.stack(losses).mean()

        def ours(hidden, items, targets):
            return sampled_cross_entropy(hidden, items, targets, self.NEGATIVES, log_q)

        for mine, right in zip(results(ours, *inputs), results(plainly, *inputs), strict=True):
            assert torch.allclose(mine, right, atol=1e-5)

    def test_with_every_item_sampled_alike_it_is_the_full_softmax(self, inputs):
        everything, evenly = torch.arange(40), torch.full((40,), 0.025).log()
        loss = sampled_cross_entropy(*inputs, everything, evenly)
        assert loss.item() == pytest.approx(plain(*inputs).item(), rel=1e-5)

    def test_frequent_items_are_not_pushed_down_for_being_sampled_often(self, inputs):
        """An item twice in the sample at twice the rate counts as one at the simple rate."""
        hidden, items, targets = inputs
        targets[:] = 0
        rate = torch.zeros(40)
        once = sampled_cross_entropy(hidden, items, targets, torch.tensor([5]), rate)
        rate[5] = torch.tensor(2.0).log()
        twice = sampled_cross_entropy(hidden, items, targets, torch.tensor([5, 5]), rate)
        assert once.item() == pytest.approx(twice.item(), rel=1e-5)


def test_binary_cross_entropy_is_torchs(inputs):
    negatives = torch.randint(40, (23, 3))

    def plainly(hidden, items, targets):
        logits = (hidden[:, None] * items[torch.cat([targets[:, None], negatives], 1)]).sum(-1)
        wanted = torch.zeros_like(logits)
        wanted[:, 0] = 1
        return F.binary_cross_entropy_with_logits(logits, wanted, reduction="sum") / len(logits)

    def ours(hidden, items, targets):
        return binary_cross_entropy(hidden, items, targets, negatives)

    for mine, right in zip(results(ours, *inputs), results(plainly, *inputs), strict=True):
        assert torch.allclose(mine, right, atol=1e-5)


def test_bpr_is_the_probability_of_the_right_order():
    positive, negative = torch.tensor([2.0, 0.0, -1.0]), torch.tensor([1.0, 0.0, 3.0])
    expected = -torch.sigmoid(positive - negative).log().mean()
    assert bpr(positive, negative).item() == pytest.approx(expected.item(), rel=1e-6)
    assert bpr(torch.tensor([-1e4]), torch.tensor([0.0])).item() == pytest.approx(1e4)


class TestCalibrated:
    """gBCE: at t = 0 plain bce, at t = 1 s(score) is the probability of the item."""

    def test_each_position_by_the_formula(self, inputs):
        hidden, items, targets = (each.detach().double() for each in inputs)
        negatives = torch.randint(40, (23, 3))
        alpha = 3 / 39
        beta = alpha * (0.6 * (1 - 1 / alpha) + 1 / alpha)
        losses = []
        for state, target, row in zip(hidden, targets.long(), negatives, strict=True):
            right = 1 / (1 + np.exp(-(state @ items[target]).item()))
            wrong = [1 / (1 + np.exp(-(state @ items[n]).item())) for n in row]
            losses.append(-(np.log(right**beta) + sum(np.log(1 - p) for p in wrong)) / 4)
        found = calibrated_cross_entropy(hidden, items, targets.long(), negatives, 0.6)
        assert found.item() == pytest.approx(np.mean(losses), rel=1e-9)

    def test_without_calibration_it_is_bce(self, inputs):
        negatives = torch.randint(40, (23, 3))
        plain_loss = binary_cross_entropy(*inputs, negatives)
        found = calibrated_cross_entropy(*inputs, negatives, 0.0)
        assert found.item() == pytest.approx(plain_loss.item() / 4, rel=1e-5)

    def test_the_best_score_of_a_sampled_target_is_its_probability(self):
        """One state, targets by known shares, 1 of 4 other items sampled."""
        shares, (state, others) = torch.tensor([0.4, 0.3, 0.15, 0.1, 0.05]), (torch.eye(1), 4)
        table = torch.zeros(5, 1, requires_grad=True)
        targets = torch.arange(5).repeat_interleave((shares * 100).long())
        optimizer = torch.optim.LBFGS([table], max_iter=100, line_search_fn="strong_wolfe")
        every = torch.stack([others_of(target) for target in targets.tolist()])
        repeated, rows = targets.repeat(others), every.T.reshape(-1, 1)  # all draws, once each

        def loss():
            optimizer.zero_grad()
            value = calibrated_cross_entropy(
                state.expand(len(rows), 1), table, repeated, rows, calibration=1.0
            )
            value.backward()
            return value

        optimizer.step(loss)
        assert torch.allclose(table.detach()[:, 0].sigmoid(), shares, atol=0.01)


def others_of(target):
    return torch.tensor([n for n in range(5) if n != target])


def test_other_items_are_drawn_evenly():
    torch.manual_seed(0)
    drawn = others_than(torch.tensor([0, 3, 4]), 5, 4000)
    for row, target in zip(drawn, (0, 3, 4), strict=True):
        counts = torch.bincount(row, minlength=5)
        assert counts[target] == 0
        assert counts[counts > 0].tolist() == pytest.approx([1000] * 4, abs=120)


def test_top1_by_the_formula():
    positive, negative = torch.tensor([[1.0], [-0.5]]), torch.tensor([[0.5, 2.0], [1.0, -1.0]])
    counted = torch.tensor([[True, True], [True, False]])

    def s(x):
        return 1 / (1 + np.exp(-x))

    positions = [(1.0, (0.5, 2.0)), (-0.5, (1.0,))]
    expected = np.mean([np.mean([s(n - p) + s(n**2) for n in others]) for p, others in positions])
    assert top1(positive, negative, counted).item() == pytest.approx(expected, rel=1e-6)


def test_smoothing_is_of_training_and_of_softmax(inputs):
    smooth, plain = (ItemLoss("softmax", np.arange(40), 1, 0.5, rate) for rate in (0.2, 0.0))
    none = np.empty(0, np.int64)
    expected = F.cross_entropy(inputs[0] @ inputs[1].T, inputs[2], label_smoothing=0.2)
    assert smooth(*inputs, none).item() == pytest.approx(expected.item(), rel=1e-5)
    assert smooth.eval()(*inputs, none).item() == plain(*inputs, none).item()
    with pytest.raises(ConfigError, match="smooths loss = softmax alone, not bce"):
        ItemLoss("bce", np.arange(40), 1, 0.5, 0.2)


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_by_its_name_falls_along_its_gradient(inputs, name):
    hidden, items, targets = inputs
    loss = ItemLoss(name, np.arange(40), 6, 0.5)
    negatives = np.empty(0, np.int64)
    if name in SHARED_SAMPLE:
        negatives = np.arange(6)
    elif name in OWN_SAMPLE:
        negatives = torch.randint(40, (23, 6))

    def value(states):
        torch.manual_seed(1)
        return loss(states, items, targets, negatives)

    (slope,) = torch.autograd.grad(value(hidden), hidden)
    assert slope.abs().sum() > 0
    assert value(hidden - 0.05 * slope / slope.norm()) < value(hidden)
    assert not loss.state_dict(), "nothing of it is saved"


@pytest.mark.parametrize("name", [name for name in LOSSES if name != "softmax"])
def test_sparse_gradients_are_the_rows_of_dense_ones(inputs, name):
    hidden, items, targets = inputs
    negatives = np.arange(6) if name in SHARED_SAMPLE else torch.randint(40, (23, 6))
    table, found = torch.nn.Parameter(items.detach().clone()), []
    for sparse in (False, True):
        loss = ItemLoss(name, np.arange(40), 6, 0.5, sparse=sparse)
        torch.manual_seed(1)
        (slope,) = torch.autograd.grad(loss(hidden, table, targets, negatives), table)
        assert slope.is_sparse == sparse
        found.append(slope.to_dense() if sparse else slope)
    torch.testing.assert_close(*found)


def test_in_batch_softmax_is_among_the_targets_of_the_batch():
    generator = torch.Generator().manual_seed(0)
    hidden, items = (torch.randn(n, 4, generator=generator) for n in (5, 7))
    targets, counts = torch.tensor([3, 1, 3, 6, 0]), np.array([9, 3, 0, 5, 1, 1, 2])
    logits = hidden @ items.T - torch.tensor((counts + 1) / (counts + 1).sum()).log().float()
    expected = []
    for row, target in zip(logits, targets.tolist(), strict=True):
        others = [row[n] for n in targets.tolist() if n != target]
        expected.append(-torch.stack([row[target], *others]).log_softmax(0)[0])
    found = ItemLoss("in_batch_softmax", counts, 1)(hidden, items, targets, None)
    assert found.item() == pytest.approx(torch.stack(expected).mean().item(), rel=1e-5)
    # Rows of a longer table, behind those of others.
    longer = torch.cat([torch.randn(3, 4, generator=generator), items])
    again = ItemLoss("in_batch_softmax", counts, 1)(hidden, longer, targets, None, 3)
    assert again.item() == pytest.approx(found.item(), rel=1e-6)


def test_items_are_drawn_as_often_as_they_are_taken():
    counts = np.array([0, 9, 4, 1])
    drawn = ItemSampler(counts).draw(20_000, np.random.default_rng(0))
    shares = np.bincount(drawn, minlength=4) / 20_000
    np.testing.assert_allclose(shares, [1 / 18, 10 / 18, 5 / 18, 2 / 18], atol=0.01)


def test_gradients_are_sparse_where_the_catalogue_is_large_and_the_loss_samples():
    assert has_sparse_gradients("auto", "sampled_softmax", MANY_ITEMS + 1)
    assert not has_sparse_gradients("auto", "sampled_softmax", MANY_ITEMS)
    assert not has_sparse_gradients("auto", "softmax", MANY_ITEMS + 1)
    assert not has_sparse_gradients("dense", "bpr", MANY_ITEMS + 1)
    assert has_sparse_gradients("sparse", "bpr", 10)
    with pytest.raises(ConfigError, match="softmax reads all"):
        has_sparse_gradients("sparse", "softmax", 10)
