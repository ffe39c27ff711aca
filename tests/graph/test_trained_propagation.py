from __future__ import annotations

import numpy as np
import pytest
import torch

from edgewise.graph.propagation import random_features
from edgewise.models.layers import TrainedPropagation, multiply_scipy, multiply_torch


@pytest.mark.parametrize("variant", ["mean", "shifted"])
def test_starts_as_the_frozen_features(random_graph, variant):
    graph = random_graph(2)
    module = TrainedPropagation(graph, 4, 3, 2.0, seed=5, variant=variant)
    frozen = random_features(graph, 4, 3, 2.0, seed=5, variant=variant)
    np.testing.assert_allclose(module().detach().numpy(), frozen, atol=1e-6)


@pytest.mark.parametrize("variant", ["mean", "shifted"])
def test_gradient_equals_the_dense_one(random_graph, variant):
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


def test_both_products_agree(random_graph):
    module = TrainedPropagation(random_graph(1), 3, 1, 1.0, seed=0)
    adjacency = (module.crow, module.columns, module.values)
    layer = module.layer_0.detach()
    torch.testing.assert_close(multiply_scipy(adjacency, layer), multiply_torch(adjacency, layer))


def test_stays_in_float32_under_autocast(chain):
    module = TrainedPropagation(chain, 3, 2, 1.0, seed=0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(module(), module(), rtol=0, atol=0)
        assert module().dtype == torch.float32


def test_only_layer_0_is_saved_and_it_restores_the_features(chain):
    first = TrainedPropagation(chain, 3, 2, 1.0, seed=0)
    second = TrainedPropagation(chain, 3, 2, 1.0, seed=1)
    assert list(first.state_dict()) == ["layer_0"]
    assert not torch.equal(first(), second())
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(), second())


def test_training_pulls_neighbours_together(chain):
    """Only user 0 gets a loss, yet item 1 and user 1 behind it move too; isolated nodes do not."""
    module = TrainedPropagation(chain, 3, 2, 1.0, seed=0)
    module()[0].sum().backward()
    assert module.layer_0.grad is not None
    moved = module.layer_0.grad.abs().sum(dim=1) > 0
    assert moved.tolist() == [True, True, False, False, True, True, False, False]
