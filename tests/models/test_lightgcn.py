"""LightGCN: propagation, scores and loss against plain numpy, and what it may know."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.contracts.checkerboard import checkerboard
from tests.oracles.propagation import dense_adjacency, mean_of_powers

from edgewise.data.ragged import Ragged
from edgewise.errors import DataError
from edgewise.models.graph_training import Pairs
from edgewise.models.lightgcn import LightGCN

SETTINGS = ("training.epochs=2", "training.precision=fp32")


@pytest.fixture(scope="module")
def split():
    return checkerboard().split


@pytest.fixture(scope="module")
def model(split):
    return LightGCN.from_preset("tiny", SETTINGS).fit(split)


@pytest.fixture(scope="module")
def final(model, split):
    """The mean of layers of the trained layer 0, in float64."""
    rows, sizes = split.train, (split.dataset.num_users, split.dataset.num_items)
    adjacency = dense_adjacency({*zip(rows.user_index, rows.item_index, strict=True)}, *sizes)
    layer_0 = model.network.layer_0.detach().double().numpy()
    return mean_of_powers(adjacency, layer_0, range(4))


def test_users_and_items_are_the_mean_of_layers(model, final, split):
    everyone = np.arange(split.dataset.num_users)
    users = model.encode(everyone, model.data.histories).detach().numpy()
    assert users == pytest.approx(final[: len(everyone)], abs=1e-5)
    assert model.item_vectors().numpy() == pytest.approx(final[len(everyone) :], abs=1e-5)


def test_a_newer_item_moves_a_user_and_a_person_outside_has_no_layer_0(model, split):
    histories = split.known_before("test").take(np.array([3]))
    known = split.known_before("valid").take(np.array([3]))
    grown, trained = model.encode(np.array([3]), histories), model.encode(np.array([3]), known)
    assert not torch.allclose(grown, trained)
    outside = model.encode(np.array([-1]), histories)
    own = model.network.layer_0[3] / (model.config.num_layers + 1)
    assert (outside + own).detach().numpy() == pytest.approx(grown.detach().numpy(), abs=1e-6)


def test_all_nodes_are_propagated_over_what_users_have_by_now(split):
    model = LightGCN.from_preset("tiny", SETTINGS).fit(split)
    layer_0 = model.network.layer_0.detach().double().numpy().copy()
    told, sizes = split.known_before("test"), (split.dataset.num_users, split.dataset.num_items)
    model.prepare(told)
    assert np.array_equal(model.network.layer_0.detach().numpy(), layer_0.astype(np.float32))
    edges = {*zip(told.row_of_value.tolist(), told.values.tolist(), strict=True)}
    assert len(edges) > len(split.train)
    final = mean_of_powers(dense_adjacency(edges, *sizes), layer_0, range(4))
    users = model.encode(np.arange(sizes[0]), told).detach().numpy()
    assert users == pytest.approx(final[: sizes[0]], abs=1e-5)
    assert model.item_vectors().numpy() == pytest.approx(final[sizes[0] :], abs=1e-5)


def test_a_graph_that_a_protocol_has_filled_stays(split):
    filled = replace(split, edges=split.graph_edges())
    model = LightGCN.from_preset("tiny", SETTINGS).fit(filled)
    before = model.item_vectors().clone()
    model.prepare(split.known_before("test"))
    assert torch.equal(model.item_vectors(), before)


def test_the_bpr_loss(model, final, split):
    rng, num_users = np.random.default_rng(0), split.dataset.num_users
    users, items = rng.integers(num_users, size=7), rng.integers(24, size=7)
    negatives = rng.integers(24, size=(7, 1))
    batch = Pairs(*map(torch.from_numpy, (users, items, negatives)))
    first, other = final[num_users + items], final[num_users + negatives[:, 0]]
    margin = (final[users] * (first - other)).sum(1)
    layer_0 = model.network.layer_0.detach().double().numpy()
    nodes = np.concatenate([users, num_users + items, num_users + negatives[:, 0]])
    penalty = model.config.l2 / 2 * (layer_0[nodes] ** 2).sum() / 7
    expected = np.log1p(np.exp(-margin)).mean() + penalty
    assert model.network(batch).item() == pytest.approx(expected, rel=1e-5)


def test_negatives_are_items_that_the_user_has_not(split):
    model = LightGCN.from_preset("tiny", ["training.epochs=1", "num_negatives=3"]).fit(split)
    batch = model.training_batch(np.arange(100), np.random.default_rng(0))
    assert batch.negatives.shape == (100, 3)
    for user, items in zip(batch.users.tolist(), batch.negatives.tolist(), strict=True):
        assert not set(items) & set(model.data.histories[user].tolist())


def test_test_rows_are_not_read(model, split):
    other = replace(split.test, item_index=split.test.item_index[::-1].copy())
    again = LightGCN.from_preset("tiny", SETTINGS).fit(replace(split, test=other))
    for name, weight in model.network.state_dict().items():
        assert torch.equal(again.network.state_dict()[name], weight), name


def test_no_train_row_is_told(split):
    with pytest.raises(DataError, match="no example for lightgcn"):
        LightGCN.from_preset("tiny").fit(replace(split, train=split.train.take(np.arange(0))))


def test_an_item_outside_the_graph_says_nothing(model, monkeypatch):
    monkeypatch.setattr(model.network, "item_scale", model.network.item_scale.clone())
    model.network.item_scale[5] = 0
    nobody = np.array([-1])
    with_it = model.encode(nobody, Ragged.of_rows([np.array([1, 5, 2])]))
    assert torch.equal(with_it, model.encode(nobody, Ragged.of_rows([np.array([1, 2])])))


def test_a_batch_is_propagated_without_its_own_edges(split):
    model = LightGCN.from_preset("tiny", [*SETTINGS, "hide_targets=true"]).fit(split)
    rows, sizes = split.train, (split.dataset.num_users, split.dataset.num_items)
    some = np.array([0, 7, 30])
    users, items = rows.user_index[some], rows.item_index[some]
    adjacency = dense_adjacency({*zip(rows.user_index, rows.item_index, strict=True)}, *sizes)
    for user, item in zip(users, sizes[0] + items, strict=True):
        assert adjacency[user, item] and adjacency[item, user]
        adjacency[user, item] = adjacency[item, user] = 0
    layer_0 = model.network.layer_0.detach().double().numpy()
    pair = (torch.from_numpy(x.astype(np.int64)) for x in (users, items))
    layers = model.network.layers(Pairs(*pair, None))
    for power in range(4):
        expected = mean_of_powers(adjacency, layer_0, [power])
        assert layers[power].detach().numpy() == pytest.approx(expected, abs=1e-5)


def test_a_pair_that_is_no_edge_takes_none_away(split):
    model = LightGCN.from_preset("tiny", [*SETTINGS, "hide_targets=true"]).fit(split)
    nobodys = np.setdiff1d(np.arange(24), model.data.histories[3])
    users = torch.full((len(nobodys),), 3)
    found = model.network.layers(Pairs(users, torch.from_numpy(nobodys), None))
    assert all(map(torch.equal, found, model.network.layers()))


def test_all_that_training_reads_moves_with_the_network(split):
    network = LightGCN.from_preset("tiny", [*SETTINGS, "hide_targets=true"]).fit(split).network
    network.to("meta")
    tensors = [*vars(network).values(), *vars(network.adjacency).values()]
    assert not any(isinstance(each, torch.Tensor) for each in tensors)
    assert {each.device.type for each in network.buffers()} == {"meta"}
    assert network.adjacency.without(
        torch.zeros(2, dtype=torch.int64, device="meta")
    ).values.is_meta
