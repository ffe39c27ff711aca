"""Multi-VAE: codes, scores and loss against plain numpy, annealing, and what it may know."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.contracts.checkerboard import checkerboard

from edgewise.data.ragged import Ragged
from edgewise.models.multi_vae import HistoryBatch, MultiVAE

SETTINGS = ("training.epochs=2", "training.precision=fp32")
ITEMS = [[3, 1, 8], [5, 2]]


@pytest.fixture(scope="module")
def split():
    return checkerboard().split


@pytest.fixture(scope="module")
def model(split):
    return MultiVAE.from_preset("tiny", SETTINGS).fit(split)


@pytest.fixture(scope="module")
def weights(model):
    state = model.network.state_dict()
    return {name: weight.double().numpy() for name, weight in state.items()}


def gaussian(weights, items):
    """Mean and log variance of z of a history."""
    x = np.zeros(24)
    x[items] = 1 / np.sqrt(len(items))
    hidden = np.tanh(x @ weights["read"] + weights["read_bias"])
    both = weights["gaussian.weight"] @ hidden + weights["gaussian.bias"]
    return both[:8], both[8:]


def logits(weights, z):
    hidden = np.tanh(weights["widen.weight"] @ z + weights["widen.bias"])
    return weights["items"] @ hidden + weights["items_bias"]


def test_scores_are_those_of_the_mean(model, weights):
    histories = Ragged.of_rows([np.array([*ITEMS[0], 3]), np.array(ITEMS[1])])
    expected = np.array([logits(weights, gaussian(weights, items)[0]) for items in ITEMS])
    assert model.score_items(np.array([0, -1]), histories) == pytest.approx(expected, abs=1e-5)


def test_the_negative_elbo(model, weights):
    model.network.steps.fill_(60)  # of 400
    losses = []
    for items in ITEMS:
        mean, log_variance = gaussian(weights, items)
        scores = logits(weights, mean)
        shares = np.exp(scores) / np.exp(scores).sum()
        kl = sum(
            (np.exp(log_var) + mu**2 - 1 - log_var) / 2
            for mu, log_var in zip(mean, log_variance, strict=True)
        )
        losses.append(-np.log(shares[items]).sum() + 60 / 400 * kl)
    batch = HistoryBatch(torch.tensor([0, 1]), torch.tensor([ITEMS[0], [*ITEMS[1], -1]]))
    assert model.network(batch).item() == pytest.approx(np.mean(losses), rel=1e-5)


def test_beta_rises_with_steps_of_training_to_its_cap(split):
    network = MultiVAE.from_preset("tiny", [*SETTINGS, "anneal_steps=10"]).fit(split).network
    network.steps.zero_()
    assert [round(float(network.beta()), 6) for _ in range(2)] == [0, 0], "no training, no step"
    torch.nn.Module.train(network)
    found = [round(float(network.beta()), 6) for _ in range(5)]
    assert found == [0, 0.1, 0.2, 0.2, 0.2]


def test_an_item_is_read_and_wanted_once_however_often_it_was_taken(split):
    twice = Ragged.of_rows([np.append(row, row[:1]) for row in split.known_before("valid").rows()])
    model = MultiVAE.from_preset("tiny", SETTINGS).fit(split)
    assert model._distinct(twice).shape[1] == twice.lengths.max() - 1
    for row, items in zip(model._distinct(twice), twice.rows(), strict=True):
        assert sorted(row[row >= 0].tolist()) == sorted(set(items.tolist()))


def test_dropout_leaves_items_out_in_training_alone(model):
    items = torch.tensor([ITEMS[0]])
    still = model.network.encode(items)[0]
    assert torch.equal(model.network.encode(items)[0], still)
    model.network.train()
    try:
        moved = [model.network.encode(items)[0] for _ in range(4)]
    finally:
        model.network.eval()
    assert any(not torch.allclose(each, still) for each in moved)


def test_test_rows_are_not_read(model, split):
    other = replace(split.test, item_index=split.test.item_index[::-1].copy())
    again = MultiVAE.from_preset("tiny", SETTINGS).fit(replace(split, test=other))
    for name, weight in model.network.named_parameters():
        assert torch.equal(again.network.get_parameter(name), weight), name
