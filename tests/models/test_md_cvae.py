"""MD-CVAE: its loss against plain numpy, what it may know, and items that nobody has taken."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.contracts.checkerboard import checkerboard
from tests.oracles.layers import array, linear

from edgewise.errors import DataError
from edgewise.models.item_descriptions import ItemDescriptions
from edgewise.models.md_cvae import MDCVAE, DualBatch, MDCVAEConfig, MDCVAENetwork

TEXTS = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
FEW = ("training.epochs=2", "training.precision=fp32")


@pytest.fixture
def network():
    torch.manual_seed(0)
    config = MDCVAEConfig(
        item_size=5, latent_size=3, text_hidden_size=7, beta=0.3, anneal_steps=10, lambda_v=2.0
    )
    known = ItemDescriptions(torch.from_numpy(TEXTS), torch.zeros(6, 1), 0, {})
    network = MDCVAENetwork(config, known, num_users=4).eval()
    for bias in (network.items_bias, network.read_bias):
        torch.nn.init.normal_(bias)
    return network


def kl(mean, log_variance):
    return (np.exp(log_variance) + mean**2 - 1 - log_variance).sum() / 2


def logits(network, history):
    """Scores of all items, and the Gaussian of the user."""
    table = array(network.items)
    read = table[history].sum(0) / np.sqrt(len(history))
    mean, log_variance = np.split(
        linear(np.tanh(read + array(network.read_bias)), network.gaussian), 2
    )
    decoded = np.tanh(linear(mean, network.widen))
    return decoded @ table.T + array(network.items_bias), mean, log_variance


def of_text(network, item):
    """The Gaussian of an item's text, and the text of its mean."""
    content, text = network.content, 2 * TEXTS[item].astype(float)  # times sqrt(T)
    mean, log_variance = np.split(linear(np.tanh(linear(text, content.inner)), content.gaussian), 2)
    again = linear(np.tanh(linear(mean, content.outer)), content.text)
    return mean, log_variance, ((again - text) ** 2).sum() / 2


def test_the_loss(network):
    network.steps.fill_(2)
    histories, sampled = [[0, 3, 5], [2]], [1, 3, 4]
    users = []
    for history in histories:
        scores, mean, log_variance = logits(network, history)
        shares = scores - np.log(np.exp(scores).sum())
        users.append(0.2 * kl(mean, log_variance) - shares[history].sum())
    items = []
    for item in sampled:
        mean, log_variance, wrong = of_text(network, item)
        apart = ((array(network.items)[item] - mean) ** 2).sum()
        items.append(wrong + kl(mean, log_variance) + 2.0 * apart / 2)
    expected = np.mean(users) + 6 / 4 * np.mean(items)
    batch = DualBatch(torch.tensor([[0, 3, 5], [2, -1, -1]]), np.array(sampled))
    assert network(batch).item() == pytest.approx(expected, rel=1e-5)
    network.steps.fill_(1000)
    assert network.beta().item() == pytest.approx(0.3), "it stops at beta"


def test_each_side_pulls_the_other(network):
    network.items_loss(torch.tensor([1, 3])).backward()
    assert network.items.grad[1].any() and not network.items.grad[0].any()
    assert network.content.inner.weight.grad.any()


@pytest.fixture(scope="module")
def split():
    return checkerboard(described=True).split


def test_scores_of_a_history(split):
    model = MDCVAE.from_preset("tiny", FEW).fit(split)
    histories = model.data.histories.take(np.array([2, 7]))
    found = model.score_items(np.array([2, 7]), histories)
    for row, user in zip(found, (2, 7), strict=True):
        expected = logits(model.network, np.unique(model.data.histories[user]))[0]
        assert row == pytest.approx(expected, abs=1e-4)


def test_held_out_rows_are_not_learned(split):
    def turned(rows):
        return replace(rows, item_index=rows.item_index[::-1].copy())

    few = ("training.epochs=1", "training.precision=fp32")
    ours = MDCVAE.from_preset("tiny", few).fit(split)
    world = replace(split, test=turned(split.test), valid=turned(split.valid))
    theirs = MDCVAE.from_preset("tiny", few).fit(world)
    pairs = zip(
        ours.network.state_dict().values(), theirs.network.state_dict().values(), strict=True
    )
    assert all(torch.equal(a, b) for a, b in pairs)


def test_an_item_that_nobody_has_taken_is_placed_by_its_text(split):
    """Its group's users are offered it before those of the other group."""
    world, cold = checkerboard(described=True), 5
    rows = split.train.take(np.flatnonzero(split.train.item_index != cold))
    model = MDCVAE.from_preset("tiny", ["lambda_v=10.0"]).fit(replace(split, train=rows))
    mean = model.network.content.encode(model.network.texts)[0][cold]
    assert torch.allclose(model.network.items[cold], mean, atol=1e-6)
    warm = np.arange(24) != cold
    bias = model.network.items_bias.detach().numpy()
    assert bias[cold] == pytest.approx(bias[warm].mean(), abs=1e-5)
    everyone = np.arange(48)
    scores = model.score_items(everyone, model.data.histories)[:, cold]
    own = world.user_group == world.item_group[cold]
    assert scores[own].mean() > scores[~own].mean()


def test_data_without_texts_are_refused_before_training():
    with pytest.raises(DataError, match=r"no text.*md-cvae.*title \(0\)"):
        MDCVAE.from_preset("tiny").fit(checkerboard().split)
