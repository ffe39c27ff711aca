"""The product of a large sparse matrix with a few columns: the one place where one is taken.

Each row of the product is a weighted sum of rows of the features, which torch's ``embedding_bag``
takes on all threads that torch has; on one thread already in half the time of SciPy's product, and
in that of MKL's (``benchmarks/graph_scale.py`` compares them). What is small is left to SciPy.

Legend: E entries, D feature columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from edgewise.graph.bipartite import BipartiteGraph

if TYPE_CHECKING:
    from torch import Tensor

# E * D from which loading torch pays within the dozens of products of one decomposition.
_LARGE = 100_000_000


def times(matrix: sp.csr_array, features: np.ndarray) -> np.ndarray:
    """``matrix @ features``, up to rounding.

    Args:
        matrix: ``[rows, columns]``.
        features: ``[columns, D]``.

    Returns:
        ``[rows, D]``.
    """
    single = matrix.dtype == features.dtype == np.float32
    if not single or features.ndim != 2 or matrix.nnz * features.shape[1] < _LARGE:
        return matrix @ features
    import torch

    # Torch warns of arrays that may not be written to.
    arrays = (np.require(array, requirements=["C", "W"]) for array in _parts(matrix, features))
    return weighted_sums(*map(torch.from_numpy, arrays)).numpy()


def _parts(matrix: sp.csr_array, features: np.ndarray) -> tuple[np.ndarray, ...]:
    return matrix.indptr, matrix.indices, matrix.data, features


def weighted_sums(offsets: Tensor, columns: Tensor, values: Tensor, features: Tensor) -> Tensor:
    """The same product, of a matrix in the three arrays of CSR, without gradients.

    Args:
        offsets: where rows begin, and the last one ends, ``int[rows + 1]``.
        columns, values: of the entries, ``[E]``; columns of the type of offsets.
        features: ``[columns, D]``.

    Returns:
        ``[rows, D]``.
    """
    import torch

    return torch.nn.functional.embedding_bag(
        columns,
        features,
        offsets,
        mode="sum",
        per_sample_weights=values.to(features.dtype),
        include_last_offset=True,
    )


@dataclass(frozen=True, eq=False)
class FactoredAdjacency:
    """The normalised adjacency as B above the diagonal and its transpose below.

    Products are those with the matrix itself.

    Attributes:
        num_users: U.
        upper: B, ``float32[U, I]``.
    """

    num_users: int
    upper: sp.csr_array

    @classmethod
    def of(cls, graph: BipartiteGraph) -> FactoredAdjacency:
        """The adjacency of a graph."""
        return cls(graph.num_users, graph.normalized_biadjacency())

    @cached_property
    def lower(self) -> sp.csr_array:
        """The transpose of B, ``float32[I, U]``."""
        return self.upper.T.tocsr()

    def __matmul__(self, features: np.ndarray) -> np.ndarray:
        """The product with ``[N, D]``."""
        of_users, of_items = features[: self.num_users], features[self.num_users :]
        found = np.empty(features.shape, dtype=np.result_type(self.upper, features))
        found[: self.num_users] = times(self.upper, of_items)
        found[self.num_users :] = times(self.lower, of_users)
        return found
