"""The product of a large sparse matrix with a few columns: the one place where one is taken.

Each row of the product is a weighted sum of rows of the features, which torch's ``embedding_bag``
takes on all threads that torch has; on one thread already in half the time of SciPy's product, and
in that of MKL's (``benchmarks/graph_scale.py`` compares them). What is small is left to SciPy.

Legend: E entries, D feature columns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

if TYPE_CHECKING:
    from torch import Tensor

# E * D from which loading torch pays within the dozens of products of one decomposition.
_LARGE = 100_000_000
_ENTRIES_A_BLOCK = 1_000_000
_BLOCKS_A_THREAD = 8


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

    def sums(first: int, last: int, start: int, end: int) -> Tensor:
        return torch.nn.functional.embedding_bag(
            columns[start:end],
            features,
            offsets[first : last + 1] - start if start else offsets[first : last + 1],
            mode="sum",
            per_sample_weights=values[start:end].to(features.dtype),
            include_last_offset=True,
        )

    num_entries, threads = len(columns), torch.get_num_threads()
    num_blocks = max(1, num_entries // _ENTRIES_A_BLOCK)
    if threads > 1:
        # Threads share out a block's rows evenly, whose lengths are alike only in small blocks.
        num_blocks = max(num_blocks, min(threads * _BLOCKS_A_THREAD, num_entries // 20_000))
    if num_blocks <= 1:
        return sums(0, len(offsets) - 1, 0, num_entries)
    found = features.new_empty(len(offsets) - 1, features.shape[1])
    wanted = torch.arange(1, num_blocks, dtype=torch.int64) * num_entries // num_blocks
    inner = torch.searchsorted(offsets, wanted.to(offsets.dtype)).tolist()
    edges = sorted({0, *inner, len(found)})
    entries = offsets[edges].tolist()
    for place in range(len(edges) - 1):
        rows = edges[place], edges[place + 1]
        found[slice(*rows)] = sums(*rows, *entries[place : place + 2])
    return found
