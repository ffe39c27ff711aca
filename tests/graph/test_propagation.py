from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from tests.graphs import pairs_of
from tests.oracles.propagation import dense_adjacency, mean_of_powers

from edgewise.data.dataset import Interactions
from edgewise.errors import ConfigError
from edgewise.graph.bipartite import BipartiteGraph
from edgewise.graph.products import FactoredAdjacency
from edgewise.graph.propagation import (
    initial_features,
    new_user_features,
    propagate,
    propagate_new_user,
    random_features,
)


def test_a_step_is_the_sum_of_eq_5(random_graph):
    """Neighbours' features over the roots of both degrees, written as loops."""
    graph = random_graph(6)
    features = np.random.default_rng(0).standard_normal((graph.num_nodes, 3)).astype(np.float32)
    expected = np.zeros_like(features)
    for user, item in zip(graph.users, graph.items + graph.num_users, strict=True):
        weight = (graph.degrees[user] * graph.degrees[item]) ** -0.5
        expected[user] += weight * features[item]
        expected[item] += weight * features[user]
    found = propagate(graph.normalized_adjacency(), features)
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(("variant", "first"), [("mean", 0), ("shifted", 1)])
@pytest.mark.parametrize("num_layers", [0, 1, 4])
def test_equals_the_mean_of_dense_powers(random_graph, variant, first, num_layers):
    graph = random_graph(3)
    features = random_features(graph, 5, num_layers, 2.0, seed=7, variant=variant)
    assert features.dtype == np.float32
    expected = mean_of_powers(
        dense_adjacency(pairs_of(graph), graph.num_users, graph.num_items),
        initial_features(graph.num_nodes, 5, 2.0, seed=7),
        range(first, first + num_layers + 1),
    )
    np.testing.assert_allclose(features, expected, atol=1e-5)


def test_no_layers_are_the_raw_features(chain):
    raw = initial_features(chain.num_nodes, 3, 5.0, seed=0)
    np.testing.assert_array_equal(random_features(chain, 3, 0, 5.0, seed=0), raw)


def test_layer_0_has_the_asked_spread():
    raw = initial_features(2000, 50, 6.0, seed=1)
    assert raw.std() == pytest.approx(6, rel=0.01)
    assert raw.mean() == pytest.approx(0, abs=0.1)


def test_an_isolated_node_keeps_only_its_share_of_layer_0(chain):
    raw = initial_features(chain.num_nodes, 3, 1.0, seed=0)
    mean = random_features(chain, 3, 4, 1.0, seed=0)
    np.testing.assert_allclose(mean[[3, 7]], raw[[3, 7]] / 5, rtol=1e-6)
    shifted = random_features(chain, 3, 4, 1.0, seed=0, variant="shifted")
    assert not shifted[[3, 7]].any()
    assert np.isfinite(mean).all()


def test_a_seed_decides_everything(chain):
    first, again, other = (random_features(chain, 3, 2, 1.0, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.1


def test_a_new_user_is_one_row_of_the_propagation(chain):
    features = np.arange(12, dtype=np.float32).reshape(4, 3)
    expected = (chain.normalized_biadjacency() @ features)[1]
    np.testing.assert_allclose(
        propagate_new_user(features[[1, 2]], np.array([2, 2])), expected, 1e-6
    )


def test_items_nobody_took_say_nothing_about_a_new_user():
    features = np.array([[4.0, 8.0], [99.0, 99.0]])
    assert propagate_new_user(features, np.array([4, 0])).tolist() == [2.0, 4.0]
    assert propagate_new_user(np.zeros((0, 2)), np.zeros(0, dtype=int)).tolist() == [0.0, 0.0]


def test_a_new_user_with_a_known_history_gets_the_shifted_vector(random_graph):
    graph = random_graph(5)
    mean = random_features(graph, 6, 3, 1.0, seed=0)
    shifted = random_features(graph, 6, 3, 1.0, seed=0, variant="shifted")
    user = int(graph.user_degrees.argmax())
    items = graph.items[graph.users == user]
    vector = new_user_features(mean[graph.num_users + items], graph.item_degrees[items])
    np.testing.assert_allclose(vector, shifted[user], rtol=1e-4, atol=1e-6)


def test_a_new_user_may_bring_noise_of_his_own():
    items = np.zeros((2, 400), dtype=np.float32)
    vector = new_user_features(items, np.array([1, 3]), num_layers=4, sigma=10.0, seed=3)
    assert vector.std() == pytest.approx(2, rel=0.1)
    again = new_user_features(items, np.array([1, 3]), num_layers=4, sigma=10.0, seed=3)
    np.testing.assert_array_equal(vector, again)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dim": 0}, "dim is 0"),
        ({"num_layers": -1}, "num_propagation_layers is -1"),
        ({"variant": "mena"}, "'mean'.*'shifted'"),
    ],
)
def test_impossible_options_are_named(chain, options, message):
    good = {"dim": 2, "num_layers": 1, "sigma": 1.0, "seed": 0, "variant": "mean"}
    with pytest.raises(ConfigError, match=message):
        random_features(chain, **(good | options))


def test_frozen_features_need_no_torch():
    code = (
        "import sys, edgewise.graph.propagation, edgewise.graph.cross_fitting, "
        "edgewise.graph.spectral, edgewise.graph.influence, edgewise.graph.plots; "
        "sys.exit(any(name in sys.modules for name in ('torch', 'matplotlib', 'sklearn')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_random_dot_products_barely_beat_chance_on_real_data(beauty):
    assert 0.08 < beauty.hit_rate(random_features(beauty.graph, 512, 4, 5.0, seed=0)) < 0.2


def test_the_two_blocks_of_the_adjacency_are_the_adjacency():
    rng = np.random.default_rng(0)
    rows = Interactions(rng.integers(0, 9, 40), rng.integers(0, 7, 40))
    graph = BipartiteGraph.from_interactions(rows, 10, 8)
    features = rng.standard_normal((18, 5)).astype(np.float32)
    dense = graph.normalized_adjacency().toarray() @ features
    assert np.allclose(FactoredAdjacency.of(graph) @ features, dense, atol=1e-6)
