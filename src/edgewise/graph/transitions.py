"""Vectors that bring items of one path together, from the transitions of train histories.

Untrained, the graph of these is already a strong guess at the next item: who took one item often
takes its neighbours on other people's paths. Vectors made from it are a start for embeddings that
would take many epochs to find out the same. Beyond the papers.

Legend: I items, D columns.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from edgewise.data.ragged import Ragged
from edgewise.graph.randomized_svd import leading_singular_vectors
from edgewise.graph.transition_counts import item_transitions

_ITERATIONS = 8


def transition_features(
    histories: Ragged, num_items: int, width: int, seed: int, *, power: float = 0.5
) -> np.ndarray:
    """Leading eigenvectors of the normalised transitions, each item's vector of equal length.

    With ``N = D^-1/2 T D^-1/2 ~ V diag(lambda) V^T`` an item carries its row of
    ``V max(lambda, 0)^power``.

    Args:
        histories: of train rows, oldest first.
        num_items: I.
        width: D.
        seed: of the random start of the iteration.
        power: exponent of the eigenvalues.

    Returns:
        ``float32[I, D]`` with a mean square of 1 in each row; zeros for items without neighbours.
    """
    transitions = item_transitions(histories, num_items)
    degrees = transitions.sum(axis=1)
    scale = sp.dia_array(
        (np.where(degrees > 0, degrees, 1.0)[None] ** -0.5, [0]), shape=transitions.shape
    )
    normalised = scale @ transitions @ scale
    # Half of N + 1 has the same vectors, in the same order, and no eigenvalue below 0.
    positive = sp.csr_array((normalised + sp.eye_array(num_items)) / 2, dtype=np.float32)
    _, values, vectors = leading_singular_vectors(positive, width, _ITERATIONS, seed)
    rows = vectors * np.maximum(2 * values - 1, 0) ** power
    rows[degrees == 0] = 0
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows * np.divide(width**0.5, length, out=np.zeros_like(length), where=length > 0)
