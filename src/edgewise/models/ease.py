"""EASE: a linear model of items by items, in closed form (Steck, WWW 2019, arXiv 1905.03375).

X is who has what, ``{0, 1}[U, I]``. Every item of a user is reconstructed from the user's other
items by weights B whose diagonal is zero, so that no item explains itself (eqs. 2 and 3):

    ``min |X - X B|^2 + lambda |B|^2  with diag(B) = 0``

Lagrange multipliers for the diagonal give the solution (eq. 8):

    ``P = (X^T X + lambda I)^-1,  B = I - P diag(1 / diag(P))``

A user's scores are ``x B`` (eq. 1), the sum of the rows of B that belong to the user's items, so
that people who are not in the data are scored like everybody else. The order of items is not read.
Learning takes ``O(I^3)`` time and ``12 I^2`` bytes of memory, and a third of those are saved.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from math import isqrt
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from scipy.linalg import get_lapack_funcs

from edgewise.config import MethodConfig, setting
from edgewise.data.ragged import Ragged
from edgewise.data.splits import Split
from edgewise.errors import DataError
from edgewise.recommender import FitOptions, Recommender

# At its peak, learning holds X^T X as numbers of 4 and of 8 bytes.
_BYTES_A_PAIR = 12


class EASEConfig(MethodConfig):
    """Settings of EASE."""

    l2: float = setting(
        200.0,
        "How strongly weights are drawn to zero, in users who share an item: larger where the data "
        "are sparse.",
        symbol="lambda",
        gt=0,
        le=1e12,
    )
    relearn: bool = setting(
        False,
        "Learn anew from histories that are told later, as popularity counts anew: from validation "
        "rows, too, when test is predicted. Takes as long as fitting.",
    )


class EASE(Recommender):
    """Scores an item by learned weights of the user's items; see the module.

    Attributes:
        weights: B, ``float32[I, I]``; row i is what item i says of the others.
    """

    name, label = "ease", "EASE"
    paper = "Steck, WWW 2019, arXiv 1905.03375"
    Config = EASEConfig
    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {"tiny": {"l2": 10.0}, "cpu": {}}
    LEARNED = ("weights",)
    SCORE_UNIT = "sum of item weights"
    weights: np.ndarray

    def _fit(self, split: Split, options: FitOptions) -> None:
        _check_memory(split)  # before the plan
        super()._fit(split, options)

    def fit_scores(self, split: Split) -> None:
        self.weights = item_weights(self.matrix(self.data.histories), self.config.l2)

    def prepare(self, histories: Ragged) -> None:
        """Learn anew, where that is set, from what all users have by now."""
        told = getattr(self, "_told", self.data.histories)
        if self.config.relearn and histories is not told:
            self.weights = item_weights(self.matrix(histories), self.config.l2)
        self._told = histories

    def score_items(self, users: np.ndarray, histories: Ragged) -> np.ndarray:
        return self.matrix(histories) @ self.weights

    @property
    def similarity_unit(self) -> str:
        """What one item says of the others."""
        return "EASE weight"

    def item_similarities(self, items: np.ndarray) -> np.ndarray:
        """Rows of B, ``float32[n, I]``; items that one speaks against are not like it."""
        weights = self.weights[items]
        return self.without_cold(items, np.where(weights > 0, weights, -np.inf))


def _check_memory(split: Split) -> None:
    """Refuse a catalogue whose weights this machine cannot learn.

    Raises:
        DataError: says how much memory there is, and how many items it is enough for.
    """
    num_items, memory = split.dataset.num_items, total_memory()
    needed = _BYTES_A_PAIR * num_items**2
    if needed > memory:
        raise DataError(
            f"data set {split.dataset.name!r} has {num_items:,} items, and ease needs "
            f"{needed / 1e9:.1f} GB to learn their weights, of {memory / 1e9:.1f} GB here: import "
            f"with a higher --k-core to keep at most {isqrt(memory // _BYTES_A_PAIR):,}, or fit "
            "another method, such as lightgcn"
        )


def item_weights(taken: sp.csr_array, l2: float) -> np.ndarray:
    """B of eq. 8.

    Args:
        taken: X, ``[U, I]``.
        l2: lambda.

    Returns:
        ``float32[I, I]``.
    """
    gram = (taken.T @ taken).toarray(order="F").astype(np.float64, order="F", copy=False)
    gram[np.diag_indices_from(gram)] += l2
    # With lambda it is positive definite; both steps work in place, below the diagonal.
    cholesky, invert = get_lapack_funcs(("potrf", "potri"), (gram,))
    factor, _ = cholesky(gram, lower=1, overwrite_a=1)
    inverse, _ = invert(factor, lower=1, overwrite_c=1)
    diagonal = np.diag(inverse).copy()
    weights = inverse.astype(np.float32, order="C")
    del gram, factor, inverse
    _mirror(weights)
    weights /= -diagonal.astype(np.float32)
    np.fill_diagonal(weights, 0)
    return weights


def _mirror(matrix: np.ndarray) -> None:
    """Copy what is below the diagonal above it, a few rows at a time."""
    for start in range(0, len(matrix), 256):
        rows = slice(start, start + 256)
        square = matrix[rows, rows]
        square[...] = np.tril(square) + np.tril(square, -1).T
        matrix[rows, rows.stop :] = matrix[rows.stop :, rows].T


def total_memory() -> int:
    """Bytes of memory of this machine; without bound where it does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return sys.maxsize
