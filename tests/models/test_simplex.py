"""SimpleX: users and loss against plain numpy, its examples, and what it may know."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.contracts.checkerboard import checkerboard

from edgewise.models.simplex import HistoryPairs, SimpleX

SETTINGS = ("training.epochs=2", "training.precision=fp32", "own_share=0.3", "max_items=4")


@pytest.fixture(scope="module")
def split():
    return checkerboard().split


@pytest.fixture(scope="module")
def model(split):
    return SimpleX.from_preset("tiny", SETTINGS).fit(split)


def unit(x):
    return x / np.linalg.norm(x)


@pytest.fixture(scope="module")
def weights(model):
    state = model.network.state_dict()
    return {name: weight.double().numpy() for name, weight in state.items()}


def mixed(weights, user, items):
    """``h_u`` of a user with these items; -1 is nobody."""
    own = weights["users"][user] if user >= 0 else 0
    pooled = np.mean([weights["items"][item] for item in items], axis=0)
    return unit(0.3 * own + 0.7 * weights["mix.weight"] @ pooled)


def test_users_are_their_newest_items_and_an_embedding_of_their_own(model, weights):
    histories = model.data.histories.take(np.array([3, 5, 5]))
    expected = [
        mixed(weights, user, history[-4:])
        for user, history in zip([3, 5, -1], histories.rows(), strict=True)
    ]
    found = model.encode(np.array([3, 5, -1]), histories).detach().numpy()
    assert found == pytest.approx(np.array(expected), abs=1e-5)
    items = model.item_vectors().detach().numpy()
    assert items[7] == pytest.approx(unit(weights["items"][7]), abs=1e-6)


@pytest.mark.parametrize("shared", [False, True])
def test_the_cosine_contrastive_loss(model, weights, monkeypatch, shared):
    settings = {"margin": 0.1, "negative_weight": 3.0, "l2": 0.5}
    monkeypatch.setattr(model.network, "config", model.config.model_copy(update=settings))
    users, items = np.array([3, 5]), np.array([1, 2])
    negatives = np.array([4, 2, 9]) if shared else np.array([[4, 6, 9], [8, 9, 9]])
    history, row = np.array([1, 7, 8, 2]), np.array([0, 0, 0, 1])
    pair = torch.from_numpy(users), torch.from_numpy(items)
    batch = HistoryPairs(*pair, torch.from_numpy(negatives), history, row)
    losses = []
    for place, (user, item) in enumerate(zip(users, items, strict=True)):
        h = mixed(weights, user, history[row == place])
        cosine = [
            h @ unit(weights["items"][n]) for n in (negatives if shared else negatives[place])
        ]
        near = [max(0.0, value - 0.1) for value in cosine]
        if shared and item == 2:
            near[1] = 0.0  # its own item, sampled by chance
        own = weights["users"][user], weights["items"][item]
        penalty = 0.25 * sum((x**2).sum() for x in own)
        losses.append(1 - h @ unit(weights["items"][item]) + 3 * np.mean(near) + penalty)
    assert model.network(batch).item() == pytest.approx(np.mean(losses), rel=1e-5)


@pytest.mark.parametrize("hidden", [False, True])
def test_a_pair_is_read_with_the_rest_of_the_history(split, hidden):
    settings = ["training.epochs=1", f"hide_target={str(hidden).lower()}", "max_items=50"]
    model = SimpleX.from_preset("tiny", settings).fit(split)
    batch = model.training_batch(np.arange(60), np.random.default_rng(0))
    assert batch.negatives.shape == (60, 8)
    for place, (user, item) in enumerate(zip(batch.users, batch.items, strict=True)):
        own = model.data.histories[int(user)].tolist()
        assert int(item) in own and not set(batch.negatives[place].tolist()) & set(own)
        read = batch.history[batch.row == place].tolist()
        assert read == [n for n in own if n != int(item) or not hidden]


def test_shared_negatives_are_as_many_as_asked_for(split):
    settings = ["training.epochs=1", "shared_negatives=true", "num_negatives=5"]
    model = SimpleX.from_preset("tiny", settings).fit(split)
    batch = model.training_batch(np.arange(60), np.random.default_rng(0))
    assert batch.negatives.shape == (5,) and batch.take(slice(0, 9)).negatives.shape == (5,)


def test_test_rows_are_not_read(model, split):
    other = replace(split.test, item_index=split.test.item_index[::-1].copy())
    again = SimpleX.from_preset("tiny", SETTINGS).fit(replace(split, test=other))
    for name, weight in model.network.state_dict().items():
        assert torch.equal(again.network.state_dict()[name], weight), name
