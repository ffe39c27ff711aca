"""LightGCN propagation with gradients: for layer 0 as a parameter, and for graph recommenders.

The adjacency is symmetric, so the gradient of a propagation is the same propagation of the incoming
gradient: no layer has to be kept for the backward pass. The step itself (eq. 5 of ELMRec) and the
mean of layers (eqs. 7 and 15) are those of :mod:`edgewise.graph.propagation`.

Legend: N nodes, users first; D feature columns; L layers.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn

from edgewise.graph.bipartite import BipartiteGraph
from edgewise.graph.products import weighted_sums
from edgewise.graph.propagation import (
    Variant,
    check_propagation,
    initial_features,
    mean_of_layers,
    propagate,
)

Polynomial = Callable[[Any, Any], Any]
"""Takes a matrix and features, gives a polynomial of the matrix times the features."""


class SparseAdjacency(nn.Module):
    """A symmetric sparse matrix that moves with a model and is not saved with it.

    ``adjacency(features)`` is one differentiable step of eq. 5, ``[N, D] -> [N, D]``, in float32
    even under autocast; :func:`light_gcn` takes several and averages them.

    Args:
        matrix: :meth:`~edgewise.graph.bipartite.BipartiteGraph.normalized_adjacency`, ``[N, N]``.
    """

    crow: Tensor
    columns: Tensor
    values: Tensor

    def __init__(self, matrix: sp.csr_array) -> None:
        super().__init__()
        # Plain tensors, unlike a sparse one, can be moved and broadcast by every wrapper.
        arrays = {"crow": matrix.indptr, "columns": matrix.indices, "values": matrix.data}
        for name, array in arrays.items():
            self.register_buffer(name, torch.from_numpy(array), persistent=False)

    @property
    def num_nodes(self) -> int:
        """N."""
        return len(self.crow) - 1

    def forward(self, features: Tensor) -> Tensor:
        """One step, ``[N, D]``."""
        return _differentiable(self, propagate, features)

    def apply_to(self, features: Tensor, function: Polynomial) -> Tensor:
        """A polynomial of the matrix times features ``[N, D]``, without gradients."""
        if features.device.type == "cpu":
            return function(_SumsOfRows(self), features)
        return function(self.to_torch(), features)

    def without(self, places: Tensor) -> SparseAdjacency:
        """The same matrix with 0 at some places of :attr:`values`; degrees stay as they are.

        Args:
            places: ``int64[n]``, in pairs that leave the matrix symmetric.
        """
        other = SparseAdjacency.__new__(SparseAdjacency)
        nn.Module.__init__(other)
        other.crow, other.columns = self.crow, self.columns
        other.values = self.values.index_fill(0, places, 0)
        return other

    def to_torch(self) -> Tensor:
        """The matrix on its device, sharing its numbers."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Sparse CSR tensor support")
            size = (self.num_nodes, self.num_nodes)
            return torch.sparse_csr_tensor(
                self.crow, self.columns, self.values, size, check_invariants=False
            )


class _SumsOfRows:
    """The matrix as weighted sums of rows, on a CPU."""

    def __init__(self, adjacency: SparseAdjacency) -> None:
        self.adjacency = adjacency

    def __matmul__(self, features: Tensor) -> Tensor:
        matrix = self.adjacency
        return weighted_sums(matrix.crow, matrix.columns, matrix.values, features)


def sums_of_rows(matrix: sp.csr_array, features: Tensor) -> Tensor:
    """A sparse matrix ``[n, m]`` times features ``[m, D]`` on a processor, without gradients."""
    crow, columns = (torch.from_numpy(a.astype(np.int64)) for a in (matrix.indptr, matrix.indices))
    return weighted_sums(crow, columns, torch.from_numpy(matrix.data), features)


def light_gcn(
    adjacency: SparseAdjacency, features: Tensor, num_layers: int, variant: Variant = "mean"
) -> Tensor:
    """The mean of layers 0..L (LightGCN, and eq. 7 of ELMRec), with gradients to layer 0.

    Args:
        adjacency: of the train graph.
        features: layer 0, ``[N, D]``, a leaf or not.
        num_layers: L.
        variant: ``shifted`` averages layers 1..L+1 (eq. 15 of ELMRec).

    Returns:
        ``[N, D]``.
    """
    return _differentiable(
        adjacency, partial(mean_of_layers, num_layers=num_layers, variant=variant), features
    )


def _differentiable(adjacency: SparseAdjacency, function: Polynomial, features: Tensor) -> Tensor:
    with torch.autocast(features.device.type, enabled=False):
        found = _Symmetric.apply(features, adjacency, function)
    assert isinstance(found, Tensor)
    return found


class _Symmetric(torch.autograd.Function):
    """``x -> S x`` for a symmetric S: the gradient is S times the incoming one."""

    @staticmethod
    def forward(
        ctx: Any, features: Tensor, adjacency: SparseAdjacency, function: Polynomial
    ) -> Tensor:
        ctx.adjacency, ctx.function = adjacency, function
        return adjacency.apply_to(features.detach(), function)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        return ctx.adjacency.apply_to(grads[0].contiguous(), ctx.function), None, None


class TrainedPropagation(nn.Module):
    """Random features of :func:`~edgewise.graph.propagation.random_features` as a parameter.

    That is what ELMRec's released code does; the paper leaves layer 0 random. Propagation runs
    again in every forward pass. The graph is not saved with the weights: build the module from the
    same train rows, then load them.

    Args:
        graph: of the train rows.
        dim: D.
        num_layers: L of eq. 7.
        sigma: of eq. 4, for the start.
        seed: of the start.
        variant: ``mean`` (eq. 7) or ``shifted`` (eq. 15).

    Raises:
        ConfigError: an option is impossible.
    """

    def __init__(
        self,
        graph: BipartiteGraph,
        dim: int,
        num_layers: int,
        sigma: float,
        seed: int,
        variant: Variant = "mean",
    ) -> None:
        super().__init__()
        check_propagation(dim, num_layers, variant)
        self.num_layers = num_layers
        self.variant: Variant = variant
        start = initial_features(graph.num_nodes, dim, sigma, seed)
        self.layer_0 = nn.Parameter(torch.from_numpy(start))
        self.adjacency = SparseAdjacency(graph.normalized_adjacency())

    def forward(self) -> Tensor:
        """The propagated features of all nodes, users first, ``[N, D]``."""
        return light_gcn(self.adjacency, self.layer_0, self.num_layers, self.variant)
