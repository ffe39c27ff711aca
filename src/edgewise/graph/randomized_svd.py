"""Leading singular vectors of a sparse matrix, by randomised subspace iteration.

Halko, Martinsson and Tropp, "Finding structure with randomness" (2011), with a Chebyshev filter
(Zhou and Saad, 2007) in place of plain powers. Goes beyond the papers, which propagate random
features without keeping their columns apart.

Legend: D columns wanted.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from edgewise.graph.products import BothWays
from edgewise.graph.propagation import initial_features

_EXTRA_COLUMNS = 16
_DEGREE = 4
_LEAST_BOUND = 0.1
_RANK_TOLERANCE = 1e-5


def leading_singular_vectors(
    matrix: sp.csr_array, dim: int, num_iterations: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The largest singular values of a matrix of norm at most 1, and their vectors.

    ``matrix @ V = U * s`` holds exactly for what is returned, converged or not. Each column's sign
    makes the largest entry of V positive.

    Takes ``O(num_iterations * (nnz * D + (rows + columns) * D^2))`` time.

    Args:
        matrix: ``float32[rows, columns]``.
        dim: D.
        num_iterations: orthonormalisations, each after four products with ``matrix.T @ matrix``.
        seed: of the random start.

    Returns:
        U ``float32[rows, D]``, s ``float32[D]`` falling, V ``float32[columns, D]``. Columns beyond
        the rank are zero.
    """
    num_rows, num_columns = _shape(matrix)
    if not matrix.nnz:
        zeros = np.zeros((num_rows + num_columns + 1, dim), np.float32)
        return zeros[:num_rows], zeros[-1], zeros[num_rows:-1]
    width = min(dim + _EXTRA_COLUMNS, num_rows, num_columns)
    both = BothWays(matrix)
    basis = _orthonormal(initial_features(num_columns, width, 1.0, seed))
    for _ in range(num_iterations):
        basis = _orthonormal(_filtered(both, basis))
    return _decompose(both, basis, dim)


def _decompose(
    matrix: BothWays, basis: np.ndarray, dim: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """U, s and V of the matrix restricted to the span of the basis, ``dim`` columns of each."""
    q, r = _qr(matrix @ basis)
    left, values, right_t = np.linalg.svd(r.astype(np.float64))
    items = basis @ right_t.T.astype(np.float32)
    signs = np.sign(items[np.abs(items).argmax(axis=0), np.arange(len(values))])
    rank = int(np.count_nonzero(values[:dim] > _RANK_TOLERANCE))
    users = q @ (left.astype(np.float32) * signs)[:, :rank]
    return _padded(dim, users, values[:rank], (items * signs)[:, :rank])


def _filtered(matrix: BothWays, basis: np.ndarray) -> np.ndarray:
    """A Chebyshev polynomial of degree 4 of ``matrix.T @ matrix``, times the basis.

    On a graph's biadjacency each degree is a propagation round trip items -> users -> items. The
    spectrum of a shop's graph falls so slowly that plain powers need a hundred of them. The
    polynomial stays within 1 on the unwanted eigenvalues ``[0, bound]`` and grows as fast as any
    above it, the bound being the least that the basis estimates. Far below 0.1 the growth would
    overflow float32's precision, and nothing is lost by keeping the bound there.
    """
    product = matrix.gram(basis)
    squares, vectors = np.linalg.eigh(basis.T @ product)
    # Turned so that each column estimates one singular vector, largest first.
    turn = vectors[:, ::-1]
    before, now = basis @ turn, product @ turn
    factor = np.float32(2.0 / max(float(squares[0]), _LEAST_BOUND))
    now *= factor
    now -= before
    for _ in range(_DEGREE - 1):
        after = matrix.gram(now)
        after *= 2 * factor
        after -= 2 * now
        after -= before
        before, now = now, after
    return now


def _qr(columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Orthonormal columns Q and triangle R; scipy's is several times as fast as numpy's here."""
    from scipy import linalg

    # Column after column, as LAPACK has it, so that Q takes the place of what it is made of.
    q, r = linalg.qr(  # type: ignore[misc]
        np.array(columns, order="F"), mode="economic", overwrite_a=True, check_finite=False
    )
    return np.asarray(q), r


def _orthonormal(columns: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(_qr(columns)[0])


def _shape(matrix: sp.csr_array) -> tuple[int, int]:
    return matrix.shape  # type: ignore[return-value]


def _padded(
    dim: int, users: np.ndarray, values: np.ndarray, items: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``dim`` columns of each, zero behind those given."""
    if len(values) == dim:
        return users, values.astype(np.float32), items
    missing = (0, dim - len(values))
    users, items = (np.pad(vectors, ((0, 0), missing)) for vectors in (users, items))
    return users, np.pad(values, missing).astype(np.float32), items
