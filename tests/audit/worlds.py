"""Figures made from ranks."""

from __future__ import annotations

import numpy as np

from edgewise.audit.result_checks import Measured
from edgewise.evaluation.metrics import Hits, hit_rate, ndcg


def measured_of(name: str, ranks: np.ndarray, ks: tuple[int, ...] = (5, 10)) -> Measured:
    """HitRate and NDCG of users whose held-out items stand at these ranks."""
    hits = Hits.from_ranks(np.arange(len(ranks)), ranks)
    values = {
        f"{label}@{k}": float(metric(hits, k).mean())
        for label, metric in (("HitRate", hit_rate), ("NDCG", ndcg))
        for k in ks
    }
    return Measured(name, values)
