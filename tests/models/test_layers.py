from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.graphs import chain_graph, random_graph

from edgewise.graph.propagation import mean_of_layers, propagate, random_features
from edgewise.models.layers import SparseAdjacency, TrainedPropagation, light_gcn


@pytest.mark.parametrize("variant", ["mean", "shifted"])
def test_starts_as_the_frozen_features(variant):
    graph = random_graph(2)
    module = TrainedPropagation(graph, 4, 3, 2.0, seed=5, variant=variant)
    frozen = random_features(graph, 4, 3, 2.0, seed=5, variant=variant)
    np.testing.assert_allclose(module().detach().numpy(), frozen, atol=1e-6)


@pytest.mark.parametrize("variant", ["mean", "shifted"])
def test_gradient_equals_the_dense_one(variant):
    graph = random_graph(4)
    module = TrainedPropagation(graph, 3, 2, 1.0, seed=0, variant=variant)
    weights = torch.randn(graph.num_nodes, 3, generator=torch.Generator().manual_seed(0))
    (module() * weights).sum().backward()
    adjacency = torch.from_numpy(graph.normalized_adjacency().toarray())
    dense = module.layer_0.detach().clone().requires_grad_()
    first = adjacency @ dense if variant == "shifted" else dense
    layers = [first, adjacency @ first, adjacency @ adjacency @ first]
    (sum(layers) / 3 * weights).sum().backward()
    torch.testing.assert_close(module.layer_0.grad, dense.grad)


def test_both_products_agree():
    adjacency = SparseAdjacency(random_graph(1).normalized_adjacency())
    layer = torch.randn(adjacency.num_nodes, 3, generator=torch.Generator().manual_seed(0))
    for function in (propagate, lambda *both: mean_of_layers(*both, 3, "shifted")):
        found = adjacency.apply_to(layer, function)
        torch.testing.assert_close(found, function(adjacency.to_torch(), layer))


def test_one_step_equals_the_dense_one_and_its_gradient():
    graph = random_graph(3)
    adjacency = SparseAdjacency(graph.normalized_adjacency())
    dense = torch.from_numpy(graph.normalized_adjacency().toarray())
    features = torch.randn(2, graph.num_nodes, 4, generator=torch.Generator().manual_seed(0))
    sparse_leaf, dense_leaf = (features[0].clone().requires_grad_() for _ in range(2))
    for product, leaf in ((adjacency(sparse_leaf), sparse_leaf), (dense @ dense_leaf, dense_leaf)):
        torch.testing.assert_close(product, dense @ features[0])
        (product * features[1]).sum().backward()
        torch.testing.assert_close(leaf.grad, dense @ features[1])


def test_layers_of_a_tensor_that_is_no_leaf_send_their_gradient_on():
    """Users and items of a recommender, joined for propagation."""
    graph = random_graph(5)
    adjacency = SparseAdjacency(graph.normalized_adjacency())
    users = torch.ones(graph.num_users, 2, requires_grad=True)
    items = torch.ones(graph.num_items, 2, requires_grad=True)
    light_gcn(adjacency, torch.cat([users, items]), 2).sum().backward()
    ones = np.ones((graph.num_nodes, 2), dtype=np.float32)
    expected = torch.from_numpy(mean_of_layers(graph.normalized_adjacency(), ones, 2))
    assert users.grad is not None and items.grad is not None
    torch.testing.assert_close(torch.cat([users.grad, items.grad]), expected)
    assert not adjacency.state_dict()


def test_stays_in_float32_under_autocast():
    module = TrainedPropagation(chain_graph(), 3, 2, 1.0, seed=0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(module(), module(), rtol=0, atol=0)
        assert module().dtype == torch.float32


def test_only_layer_0_is_saved_and_it_restores_the_features():
    first = TrainedPropagation(chain_graph(), 3, 2, 1.0, seed=0)
    second = TrainedPropagation(chain_graph(), 3, 2, 1.0, seed=1)
    assert list(first.state_dict()) == ["layer_0"]
    assert not torch.equal(first(), second())
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(), second())


def test_training_pulls_neighbours_together():
    """Only user 0 gets a loss, yet item 1 and user 1 behind it move too; isolated nodes do not."""
    module = TrainedPropagation(chain_graph(), 3, 2, 1.0, seed=0)
    module()[0].sum().backward()
    assert module.layer_0.grad is not None
    moved = module.layer_0.grad.abs().sum(dim=1) > 0
    assert moved.tolist() == [True, True, False, False, True, True, False, False]
