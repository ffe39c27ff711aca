from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from edgewise.errors import ConfigError
from edgewise.graph.bipartite import BipartiteGraph
from edgewise.graph.cross_fitting import assign_folds, cross_fit, rotation_onto
from edgewise.graph.propagation import random_features
from edgewise.graph.spectral import spectral_features


def spectral(graph: BipartiteGraph, dim: int = 8) -> np.ndarray:
    return spectral_features(graph, dim, num_iterations=3).features


raw = partial(random_features, dim=4, num_layers=2, sigma=1.0, seed=0)


def test_folds_take_equal_shares_of_every_user(taste_groups):
    folds = assign_folds(taste_groups, 3, seed=0)
    assert folds.dtype == np.int8
    counts = np.zeros((60, 3), dtype=int)
    np.add.at(counts, (taste_groups.users, folds), 1)
    assert (counts.max(axis=1) - counts.min(axis=1) <= 1).all()
    totals = counts.sum(axis=0)
    assert totals.max() - totals.min() < 0.2 * totals.mean()


def test_folds_depend_on_the_seed_alone(taste_groups):
    first, again, other = (assign_folds(taste_groups, 3, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.3


def test_each_fold_is_built_without_its_own_edges(taste_groups):
    fitted = cross_fit(taste_groups, 4, 0, raw, align=False)
    assert fitted.folds.shape == (4, 100, 4)
    np.testing.assert_array_equal(fitted.full, raw(taste_groups))
    for fold in range(4):
        expected = raw(taste_groups.without(fitted.fold_of_edge == fold))
        np.testing.assert_array_equal(fitted.folds[fold], expected)


def test_an_edge_cannot_reach_the_features_of_its_own_fold(taste_groups):
    """Removing an edge beforehand changes nothing in the fold that leaves it out."""
    fitted = cross_fit(taste_groups, 3, 0, raw, align=False)
    edge = 100
    own = fitted.fold_of_edge[edge]
    mask = fitted.fold_of_edge == own
    gone = np.zeros(taste_groups.num_edges, dtype=bool)
    gone[edge] = True
    smaller = taste_groups.without(gone)
    rebuilt = raw(smaller.without(mask[~gone]))
    np.testing.assert_array_equal(fitted.folds[own], rebuilt)
    assert np.abs(raw(smaller) - fitted.full).max() > 1e-3


def test_fold_for_finds_each_pair(taste_groups):
    fitted = cross_fit(taste_groups, 3, 0, raw)
    order = np.random.default_rng(0).permutation(taste_groups.num_edges)
    found = fitted.fold_for(taste_groups.users[order], taste_groups.items[order])
    np.testing.assert_array_equal(found, fitted.fold_of_edge[order])
    assert found.dtype == np.int8


def test_a_pair_that_is_no_edge_gets_the_full_features(chain):
    fitted = cross_fit(chain, 2, 0, raw)
    fold = fitted.fold_for(np.array([0, 3]), np.array([2, 3]))
    assert fold.tolist() == [-1, -1]
    np.testing.assert_array_equal(fitted.table[fold[0]], fitted.full)


def test_rotation_is_orthogonal_and_undoes_a_turn():
    rng = np.random.default_rng(0)
    features = rng.standard_normal((50, 6)).astype(np.float32)
    turn = np.linalg.qr(rng.standard_normal((6, 6))).Q.astype(np.float32)
    rotation = rotation_onto(features @ turn, features)
    np.testing.assert_allclose(rotation, turn.T, atol=1e-5)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(6), atol=1e-5)


def test_alignment_brings_folds_near_the_full_features(taste_groups):
    aligned = cross_fit(taste_groups, 4, 0, spectral)
    apart = cross_fit(taste_groups, 4, 0, spectral, align=False)
    near = np.linalg.norm(aligned.folds - aligned.full, axis=(1, 2))
    far = np.linalg.norm(apart.folds - apart.full, axis=(1, 2))
    assert (near < 0.8 * far).all()
    dots = [np.einsum("nd,md->nm", fitted.folds[0], fitted.folds[0]) for fitted in (aligned, apart)]
    np.testing.assert_allclose(*dots, atol=1e-3)


def test_users_who_lose_their_only_edge_stay_finite(build_graph):
    graph = build_graph([(0, 0), (1, 0), (2, 1), (3, 1), (3, 0)], 5, 2)
    fitted = cross_fit(graph, 2, 0, partial(spectral, dim=2))
    assert np.isfinite(fitted.table).all()
    for user in (0, 1, 2):
        assert not fitted.table[
            fitted.fold_for(np.array([user]), graph.items[graph.users == user]), user
        ].any()


@pytest.mark.parametrize("num_folds", [1, 128])
def test_impossible_numbers_of_folds_are_refused(chain, num_folds):
    with pytest.raises(ConfigError, match="num_folds"):
        cross_fit(chain, num_folds, 0, raw)


def test_held_out_edges_lose_the_shortcut_but_stay_above_strangers(beauty):
    graph = beauty.graph
    fitted = cross_fit(graph, 3, 0, partial(spectral, dim=48))
    edges = np.random.default_rng(0).permutation(graph.num_edges)[:20_000]
    users, items = graph.users[edges], graph.num_users + graph.items[edges]
    fold = fitted.fold_for(users, graph.items[edges])

    def mean_dot(fold_or_full, items) -> float:
        return float(
            (fitted.table[fold_or_full, users] * fitted.table[fold_or_full, items]).sum(1).mean()
        )

    seen, unseen, strangers = (
        mean_dot(-1, items),
        mean_dot(fold, items),
        mean_dot(fold, items[::-1]),
    )
    assert unseen < 0.65 * seen
    assert unseen > 4 * strangers
