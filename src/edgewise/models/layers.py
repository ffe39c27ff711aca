"""Propagation whose layer 0 is learned, as in ELMRec's released code."""

from __future__ import annotations

import warnings
from typing import Any

import scipy.sparse as sp
import torch
from torch import Tensor, nn

from edgewise.graph.bipartite import BipartiteGraph
from edgewise.graph.propagation import Variant, check_propagation, initial_features

Csr = tuple[Tensor, Tensor, Tensor]
"""Row starts, column indices and values of a compressed-row matrix."""


class TrainedPropagation(nn.Module):
    """Random features of :func:`~edgewise.graph.propagation.random_features` as a parameter.

    Propagation runs again in every forward pass, in float32 even under autocast. The graph is not
    saved with the weights: build the module from the same train rows, then load them.

    Args:
        graph: of the train rows.
        dim: D.
        num_layers: L of eq. 7.
        init_std: sigma of eq. 4, for the start.
        variant: ``mean`` (eq. 7) or ``shifted`` (eq. 15).
    """

    crow: Tensor
    columns: Tensor
    values: Tensor

    def __init__(
        self,
        graph: BipartiteGraph,
        dim: int,
        num_layers: int,
        init_std: float,
        seed: int,
        variant: Variant = "mean",
    ) -> None:
        super().__init__()
        check_propagation(dim, num_layers, variant)
        self.num_layers, self.variant = num_layers, variant
        start = initial_features(graph.num_nodes, dim, init_std, seed)
        self.layer_0 = nn.Parameter(torch.from_numpy(start))
        adjacency = graph.normalized_adjacency()
        # Plain tensors, unlike a sparse one, can be moved and broadcast by every wrapper.
        for name, array in {
            "crow": adjacency.indptr,
            "columns": adjacency.indices,
            "values": adjacency.data,
        }.items():
            self.register_buffer(name, torch.from_numpy(array), persistent=False)

    def forward(self) -> Tensor:
        """The propagated features of all nodes, users first, ``[N, D]``."""
        adjacency = (self.crow, self.columns, self.values)
        with torch.autocast(self.layer_0.device.type, enabled=False):
            features = _Propagate.apply(
                self.layer_0, adjacency, self.num_layers, self.variant == "shifted"
            )
        assert isinstance(features, Tensor)
        return features


class _Propagate(torch.autograd.Function):
    """``x -> (1 / (L + 1)) * sum of A^l x`` for l from 0 to L, or from 1 to L + 1.

    A is symmetric, hence so is the sum: the gradient is the same propagation of the incoming
    gradient, and no layer has to be kept.
    """

    @staticmethod
    def forward(ctx: Any, layer: Tensor, adjacency: Csr, depth: int, shifted: bool) -> Tensor:
        ctx.adjacency, ctx.depth, ctx.shifted = adjacency, depth, shifted
        return _mean_of_layers(layer.detach(), adjacency, depth, shifted)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        grad = _mean_of_layers(grads[0].contiguous(), ctx.adjacency, ctx.depth, ctx.shifted)
        return grad, None, None, None


def _mean_of_layers(layer: Tensor, adjacency: Csr, depth: int, shifted: bool) -> Tensor:
    # On a CPU scipy's product takes half the time of torch's.
    multiply = multiply_scipy if layer.device.type == "cpu" else multiply_torch
    if shifted:
        layer = multiply(adjacency, layer)
    total = layer.clone()
    for _ in range(depth):
        layer = multiply(adjacency, layer)
        total += layer
    return total.div_(depth + 1)


def multiply_scipy(adjacency: Csr, layer: Tensor) -> Tensor:
    """Sparse times dense on the CPU."""
    crow, columns, values = (part.numpy() for part in adjacency)
    matrix = sp.csr_array((values, columns, crow), shape=(len(layer), len(layer)))
    return torch.from_numpy(matrix @ layer.numpy())


def multiply_torch(adjacency: Csr, layer: Tensor) -> Tensor:
    """Sparse times dense on any device."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support")
        matrix = torch.sparse_csr_tensor(
            *adjacency, (len(layer), len(layer)), check_invariants=False
        )
    return torch.sparse.mm(matrix, layer)
