from __future__ import annotations

import numpy as np
import pytest

from edgewise.errors import ConfigError
from edgewise.graph.spectral import spectral_features


def test_dot_products_at_full_width_are_the_normalised_adjacency(random_graph):
    graph = random_graph(0)
    spectral = spectral_features(graph, dim=7)
    users, items = np.split(spectral.features, [graph.num_users])
    expected = graph.normalized_biadjacency().toarray()
    np.testing.assert_allclose(users @ items.T / spectral.scale**2, expected, atol=1e-4)


def test_dot_products_are_the_best_approximation_of_low_rank(taste_groups):
    spectral = spectral_features(taste_groups, dim=5)
    users, items = np.split(spectral.features, [taste_groups.num_users])
    left, values, right_t = np.linalg.svd(taste_groups.normalized_biadjacency().toarray())
    expected = (left[:, :5] * values[:5]) @ right_t[:5]
    np.testing.assert_allclose(users @ items.T / spectral.scale**2, expected, atol=2e-3)


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_a_user_of_the_graph_gets_his_own_vector_back(taste_groups, power):
    spectral = spectral_features(taste_groups, 6, power=power)
    for user in (0, 17, 59):
        items = taste_groups.items[taste_groups.users == user]
        vector = spectral.new_user(np.tile(items, 2), taste_groups.item_degrees)
        np.testing.assert_allclose(vector, spectral.features[user], atol=1e-4)


def test_an_empty_or_unknown_history_gives_zeros(chain):
    spectral = spectral_features(chain, 3)
    assert spectral.new_user(np.zeros(0), chain.item_degrees).tolist() == [0, 0, 0]
    assert spectral.new_user(np.array([3]), chain.item_degrees).tolist() == [0, 0, 0]


def test_entries_of_connected_nodes_have_mean_square_one(random_graph):
    graph = random_graph(1, 50, 60, 90)
    connected = graph.degrees > 0
    assert 0 < connected.sum() < graph.num_nodes
    features = spectral_features(graph, 8).features
    assert features.dtype == np.float32
    assert np.mean(np.square(features[connected])) == pytest.approx(1, rel=1e-4)
    assert np.isfinite(features).all()
    assert not features[~connected].any()


def test_a_graph_without_edges_has_zero_features(build_graph):
    spectral = spectral_features(build_graph([], 3, 2), 4)
    assert spectral.features.shape == (5, 4)
    assert not spectral.features.any()


def test_a_seed_decides_everything(taste_groups):
    first, again = (spectral_features(taste_groups, 6, seed=3).features for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_another_seed_finds_the_same_vectors(taste_groups):
    first, other = (spectral_features(taste_groups, 4, 10, seed=seed).features for seed in (3, 4))
    np.testing.assert_allclose(first, other, atol=1e-2)


def test_groups_are_told_apart(taste_groups):
    features = spectral_features(taste_groups, 4).features
    users, items = np.split(features, [taste_groups.num_users])
    scores = (users @ items.T).reshape(60, 10, 4).sum(axis=1)
    assert (scores.argmax(axis=1) == np.arange(60) % 4).mean() > 0.9


@pytest.mark.parametrize("options", [{"dim": 0}, {"dim": 2, "num_iterations": 0}])
def test_impossible_options_are_refused(chain, options):
    with pytest.raises(ConfigError, match="dim >= 1 and num_iterations >= 1"):
        spectral_features(chain, **options)


def test_spectral_dot_products_recommend_on_real_data(beauty):
    assert beauty.hit_rate(spectral_features(beauty.graph, 64).features) > 0.45
