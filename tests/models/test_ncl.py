"""NCL: both contrasts and k-means against plain numpy, its epochs, and what it may know."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.contracts.checkerboard import checkerboard
from tests.oracles.contrast import info_nce
from tests.oracles.propagation import dense_adjacency, mean_of_powers

from edgewise.errors import ConfigError
from edgewise.models.lightgcn import LightGCN
from edgewise.models.ncl import NCL, ContrastedPairs, NCLNetwork, k_means

SETTINGS = ("training.epochs=3", "training.precision=fp32")


@pytest.fixture(scope="module")
def split():
    return checkerboard().split


@pytest.fixture(scope="module")
def model(split):
    return NCL.from_preset("tiny", SETTINGS).fit(split)


@pytest.fixture(scope="module")
def layers(model, split):
    """Layers 0 and 2 of the trained embeddings, in float64."""
    rows, sizes = split.train, (split.dataset.num_users, split.dataset.num_items)
    adjacency = dense_adjacency({*zip(rows.user_index, rows.item_index, strict=True)}, *sizes)
    near = model.network.layer_0.detach().double().numpy()
    return near, mean_of_powers(adjacency, near, [2])


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    users, items = rng.integers(48, size=7), rng.integers(24, size=7)
    return ContrastedPairs(*map(torch.from_numpy, (users, items, rng.integers(24, size=(7, 1)))))


def test_the_structural_contrast(model, layers, batch):
    near, far = layers
    users, items = batch.users.numpy(), batch.items.numpy()
    of_users = info_nce(far[users], near[:48], users, 0.2)
    of_items = info_nce(far[48 + items], near[48:], items, 0.2)
    found = model.network.structural(torch.from_numpy(far).float(), batch)
    assert found.item() == pytest.approx(of_users + 0.8 * of_items, rel=1e-5)


def test_a_sampled_contrast_is_among_the_node_and_the_sampled(model, layers, batch):
    near, far = layers
    sampled = np.array([3, 4, 5, 6])
    some = replace(batch, other_users=sampled, other_items=sampled)
    total = 0.0
    for start, nodes, weight in ((0, some.users, 1), (48, some.items, 0.8)):
        rows = []
        for node in nodes.tolist():
            others = start + np.array([node, *(n for n in sampled if n != node)])
            rows.append(info_nce(far[[start + node]], near[others], np.array([0]), 0.2))
        total += weight * np.mean(rows)
    found = model.network.structural(torch.from_numpy(far).float(), some)
    assert found.item() == pytest.approx(total, rel=1e-5)


def test_the_contrast_of_prototypes(model, layers, batch):
    near, network = layers[0], model.network
    users, items = batch.users.numpy(), batch.items.numpy()
    cluster = network.cluster.numpy()
    expected = info_nce(
        near[users], network.user_prototypes.double().numpy(), cluster[users], 0.2
    ) + info_nce(
        near[48 + items], network.item_prototypes.double().numpy(), cluster[48 + items], 0.2
    )
    assert network.semantic(batch).item() == pytest.approx(expected, rel=1e-5)


def test_without_contrasts_it_is_lightgcn(split):
    off = ("structure_weight=0", "prototype_weight=0")
    plain = LightGCN.from_preset("tiny", SETTINGS).fit(split)
    found = NCL.from_preset("tiny", [*SETTINGS, *off]).fit(split)
    torch.testing.assert_close(found.network.layer_0, plain.network.layer_0)
    assert found.network.clustered == -1


def test_k_means_finds_groups_and_its_centres_are_their_means():
    rng = np.random.default_rng(0)
    group = rng.integers(3, size=90)
    points = (np.eye(3)[group] * 10 + rng.normal(size=(90, 3))).astype(np.float32)
    best = None
    for seed in range(5):  # Lloyd's may start with two centres in one group
        generator = torch.Generator().manual_seed(seed)
        centres, nearest = (x.numpy() for x in k_means(torch.from_numpy(points), 3, generator))
        distance = ((points[:, None] - centres) ** 2).sum(-1)
        assert np.array_equal(nearest, distance.argmin(1))
        if best is None or distance.min(1).sum() < best[0]:
            best = distance.min(1).sum(), centres, nearest
    _, centres, nearest = best
    pairs = {*zip(group.tolist(), nearest.tolist(), strict=True)}
    assert len(pairs) == 3
    for own, found in pairs:
        assert centres[found] == pytest.approx(points[group == own].mean(0), abs=1e-5)


def test_a_centre_that_loses_its_points_stays():
    points = torch.zeros(4, 2)
    centres, nearest = k_means(points, 2, torch.Generator().manual_seed(0))
    assert torch.equal(centres, torch.zeros(2, 2)) and torch.equal(nearest, torch.zeros(4).long())


def test_when_prototypes_are_made(split, monkeypatch):
    asked = []
    monkeypatch.setattr(NCLNetwork, "find_prototypes", lambda _, epoch: asked.append(epoch))
    settings = ["warmup_epochs=2", "epochs_per_clustering=3", "training.epochs=10"]
    NCL.from_preset("tiny", settings).fit(split)
    assert asked == [2, 5, 8]


def test_prototypes_of_an_epoch_are_made_once(split):
    model = NCL.from_preset("tiny", ["training.epochs=3"]).fit(split)
    before = model.network.user_prototypes.clone()
    assert model.network.clustered == 2
    model.network.find_prototypes(2)
    assert torch.equal(model.network.user_prototypes, before)
    model.network.find_prototypes(3)
    assert not torch.equal(model.network.user_prototypes, before)


def test_an_interrupted_training_ends_alike(split, tmp_path):
    settings = ["epochs_per_clustering=2", "training.epochs=5", "training.patience=0"]
    whole = NCL.from_preset("tiny", settings).fit(split)
    NCL.from_preset("tiny", [*settings, "training.epochs=4"]).fit(split, folder=tmp_path / "run")
    resumed = NCL.from_preset("tiny", settings).fit(split, folder=tmp_path / "run", resume=True)
    assert torch.equal(resumed.network.layer_0, whole.network.layer_0)
    assert torch.equal(resumed.network.user_prototypes, whole.network.user_prototypes)


def test_a_layer_that_there_is_not_is_refused():
    with pytest.raises(ConfigError, match=r"contrasts layer 4, and num_layers = 3"):
        NCL(structure_layers=2)


def test_test_rows_are_not_read(model, split):
    other = replace(split.test, item_index=split.test.item_index[::-1].copy())
    again = NCL.from_preset("tiny", SETTINGS).fit(replace(split, test=other))
    for name, weight in model.network.state_dict().items():
        assert torch.equal(again.network.state_dict()[name], weight), name
