"""InfoNCE with plain loops."""

from __future__ import annotations

import numpy as np


def info_nce(views: np.ndarray, others: np.ndarray, targets: np.ndarray, tau: float) -> float:
    """The mean of ``-log`` of each target's share of ``exp(cos / tau)``, in float64."""
    losses = []
    for view, target in zip(views, targets, strict=True):
        cosine = [view @ other / np.linalg.norm(view) / np.linalg.norm(other) for other in others]
        shares = np.exp(np.array(cosine) / tau)
        losses.append(-np.log(shares[target] / shares.sum()))
    return float(np.mean(losses))
