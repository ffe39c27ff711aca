"""The product of a large sparse matrix with a few columns: the one place where one is taken.

Each row of the product is a weighted sum of rows of the features, which torch's ``embedding_bag``
takes on all threads that torch has; on one thread already in half the time of SciPy's product, and
in that of MKL's (``benchmarks/graph_scale.py`` compares them). What is small is left to SciPy.

Rows of the features are read from all over their memory, each a few lines of the cache. So they lie
where lines begin, and in NumPy's memory, which is asked of Linux in pages of 2 MB: in pages of
4 KB, as torch's is, nearly every row of a large table costs a walk through the page table, too.

Legend: E entries, D feature columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from edgewise.graph.bipartite import BipartiteGraph

if TYPE_CHECKING:
    from torch import Tensor

# E * D from which loading torch pays within the dozens of products of one decomposition.
_LARGE = 100_000_000
_LINE = 64  # bytes
# Of a product that are made at once, still in the cache when they are put in their place.
_VALUES_AT_ONCE = 250_000
_ROWS_OF_BLOCK = 100_000  # 32 MB of 80 columns
# How many entries are passed over in the time of one that is looked up.
_PASSED = 12


def times(matrix: sp.csr_array, features: np.ndarray) -> np.ndarray:
    """``matrix @ features``, up to rounding.

    Args:
        matrix: ``[rows, columns]``.
        features: ``[columns, D]``.

    Returns:
        ``[rows, D]``.
    """
    if not _is_large(matrix, features):
        return matrix @ features
    found = _room(matrix.indptr.size - 1, features.shape[1])
    _write_product(matrix, 0, _aligned(features), found)
    return found


def _is_large(matrix: sp.csr_array, features: np.ndarray) -> bool:
    single = matrix.dtype == features.dtype == np.float32
    return single and features.ndim == 2 and matrix.nnz * features.shape[1] >= _LARGE


def _write_product(
    matrix: sp.csr_array, first: int, features: np.ndarray, found: np.ndarray
) -> None:
    """Write rows of the product, from the first of them on, as many as there is room for."""
    import torch

    rows = max(1, _VALUES_AT_ONCE // features.shape[1])
    for start in range(0, len(found), rows):
        end = min(start + rows, len(found))
        offsets = matrix.indptr[first + start : first + end + 1]
        part = slice(offsets[0], offsets[-1])
        arrays = offsets - offsets[0], matrix.indices[part], matrix.data[part], features
        sums = weighted_sums(*(torch.from_numpy(_writable(array)) for array in arrays))
        found[start:end] = sums.numpy()


def sparse_times(rows: sp.csr_array, matrix: sp.csr_array) -> np.ndarray:
    """``rows @ matrix`` of sparse rows, dense.

    Takes as many steps as the entries of each row have in their rows of the matrix, so that a large
    matrix is not passed over for them; all of it, where they reach most of it.

    Args:
        rows: ``float32[n, rows]``.
        matrix: ``float32[rows, columns]``.

    Returns:
        ``float32[n, columns]``.
    """
    num_rows, num_columns = rows.shape[0], matrix.shape[1]  # type: ignore[index]
    steps = int(np.diff(matrix.indptr)[rows.indices].sum())
    if steps * _PASSED > matrix.nnz * num_rows:
        return rows.toarray() @ matrix
    found = np.empty((num_rows, num_columns), np.float32)
    for row, (start, end) in enumerate(pairwise(rows.indptr)):
        found[row] = matrix[rows.indices[start:end]].T @ rows.data[start:end]
    return found


def _room(num_rows: int, width: int) -> np.ndarray:
    """Numbers that are still to be written, ``float32[num_rows, width]``, from a line's start."""
    memory = np.empty(num_rows * width + _LINE // 4, np.float32)
    start = -memory.ctypes.data % _LINE // 4
    return memory[start : start + num_rows * width].reshape(num_rows, width)


def _aligned(features: np.ndarray) -> np.ndarray:
    """The same numbers row after row, from a line's start."""
    if features.flags.c_contiguous and features.ctypes.data % _LINE == 0:
        return features
    found = _room(*features.shape)
    found[:] = features
    return found


def _writable(array: np.ndarray) -> np.ndarray:
    """Torch warns of arrays that may not be written to."""
    return np.require(array, requirements=["C", "W"])


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
class BothWays:
    """A large matrix whose transpose is multiplied, too.

    The transpose is kept in blocks of the matrix's rows, so that what is read of the features for
    one block stays in the cache: without blocks, a product of the transpose costs more an entry the
    more rows there are.

    Attributes:
        matrix: B, ``float32[rows, columns]``.
    """

    matrix: sp.csr_array

    def __matmul__(self, features: np.ndarray) -> np.ndarray:
        """``B @ features``, ``[rows, D]`` of ``[columns, D]``."""
        return times(self.matrix, features)

    def transposed(self, features: np.ndarray) -> np.ndarray:
        """``B.T @ features``, ``[columns, D]`` of ``[rows, D]``."""
        if not _is_large(self.matrix, features):
            return self.matrix.T @ features
        found = self._zeros(features.shape[1])
        for block in self._blocks:
            block.add(features[block.start : block.end], found)
        return found

    def gram(self, features: np.ndarray) -> np.ndarray:
        """``B.T @ (B @ features)``, ``[columns, D]`` of the same; ``B @ features`` is not held."""
        if not _is_large(self.matrix, features):
            return self.matrix.T @ (self.matrix @ features)
        found, read = self._zeros(features.shape[1]), _aligned(features)
        between = _room(min(_ROWS_OF_BLOCK, self.matrix.indptr.size - 1), features.shape[1])
        for block in self._blocks:
            part = between[: block.end - block.start]
            _write_product(self.matrix, block.start, read, part)
            block.add(part, found)
        return found

    def _zeros(self, width: int) -> np.ndarray:
        found = _room(self.matrix.shape[1], width)  # type: ignore[index]
        found[:] = 0
        return found

    @cached_property
    def _blocks(self) -> list[_Block]:
        num_rows = self.matrix.indptr.size - 1
        return [
            _Block.of(self.matrix, start, min(start + _ROWS_OF_BLOCK, num_rows))
            for start in range(0, num_rows, _ROWS_OF_BLOCK)
        ]


@dataclass(frozen=True, eq=False)
class _Block:
    """The transpose of some rows of a matrix, of which empty rows are left out.

    Attributes:
        start, end: of the matrix's rows.
        kept: which of its columns have entries there, ``int64[n]``.
        offsets, columns, values: CSR of those, ``[n + 1]``, and of all entries.
    """

    start: int
    end: int
    kept: np.ndarray
    offsets: np.ndarray
    columns: np.ndarray
    values: np.ndarray

    @classmethod
    def of(cls, matrix: sp.csr_array, start: int, end: int) -> _Block:
        turned = matrix[start:end].T.tocsr()
        kept = np.flatnonzero(np.diff(turned.indptr))
        offsets = np.append(turned.indptr[kept], turned.indptr[-1]).astype(turned.indices.dtype)
        return cls(start, end, kept, offsets, turned.indices, turned.data)

    def add(self, features: np.ndarray, found: np.ndarray) -> None:
        """Add the product with these rows' features to that of all."""
        import torch

        parts = self.offsets, self.columns, self.values, _aligned(features), self.kept, found
        offsets, columns, values, read, kept, total = (torch.from_numpy(p) for p in parts)
        total.index_add_(0, kept, weighted_sums(offsets, columns, values, read))


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
    def _both(self) -> BothWays:
        return BothWays(self.upper)

    def __matmul__(self, features: np.ndarray) -> np.ndarray:
        """The product with ``[N, D]``."""
        of_users, of_items = features[: self.num_users], features[self.num_users :]
        found = np.empty(features.shape, dtype=np.result_type(self.upper, features))
        found[: self.num_users] = self._both @ of_items
        found[self.num_users :] = self._both.transposed(of_users)
        return found
