"""Figures that no ranking can produce, whatever the model.

With one held-out item a user, a hit at rank r adds 1 to HR@k (for every k >= r) and 1/log2(r + 1)
to NDCG@k. Between two cut-offs both can therefore grow only together: a hit at ranks 6 to 10 adds
between 1/log2(11) = .289 and 1/log2(7) = .356 to NDCG. Means over users or seeds obey the same
bounds, and printed digits stand for all values that round to them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog

Interval = tuple[float, float]
_INFEASIBLE = 2


@dataclass(frozen=True)
class Point:
    """What is printed at one cut-off, as ends of intervals; None where a metric is not printed."""

    hit_rate: Interval | None
    ndcg: Interval | None


@dataclass(frozen=True)
class Band:
    """The ranks from ``first`` to ``last`` between two cut-offs."""

    first: int
    last: int

    @property
    def gains(self) -> Interval:
        """What one hit at these ranks can add to NDCG, least and most."""
        return float(1 / np.log2(self.last + 1)), float(1 / np.log2(self.first + 1))

    def __str__(self) -> str:
        one = self.first == self.last
        return f"rank {self.first}" if one else f"ranks {self.first}-{self.last}"


def impossible(points: Mapping[int, Point]) -> list[str]:
    """Why no ranking with one held-out item a user has these figures; empty if one may have.

    Each band between two cut-offs is tried alone, so that the message can name it; then all
    together, since rounding can excuse each of two bands but not both at once.

    Args:
        points: by cut-off k.
    """
    ks = sorted(points)
    ends = [(k, end) for k in ks for end in (points[k].hit_rate, points[k].ndcg) if end]
    if above := [k for k, (least, _) in ends if least > 1]:
        return [f"a figure at cut-off {above[0]} is above 1, where each user has one item to find"]
    bands = [Band(low + 1, high) for low, high in zip([0, *ks], ks, strict=False)]
    alone = [
        _reason(bands[n], ks, points, n)
        for n in range(len(bands))
        if not _feasible(points, ks, bands, [n])
    ]
    if alone or _feasible(points, ks, bands, range(len(bands))):
        return alone
    return ["each step from cut-off to cut-off is possible, all of them together are not"]


def checkable(points: Mapping[int, Point]) -> bool:
    """Whether anything could contradict anything: two figures at least."""
    return sum((p.hit_rate is not None) + (p.ndcg is not None) for p in points.values()) > 1


def _feasible(
    points: Mapping[int, Point], ks: Sequence[int], bands: Sequence[Band], which: Sequence[int]
) -> bool:
    """Whether values inside all intervals satisfy the chosen bands (a linear programme).

    Unknowns are HR and NDCG at every cut-off, ``float64[2 * len(ks)]``.
    """
    rows = [row for n in which for row in _constraints(bands[n], n, len(ks))]
    limits = [
        limit
        for k in ks
        for limit in (points[k].hit_rate or (0.0, 1.0), points[k].ndcg or (0.0, 1.0))
    ]
    found = linprog(np.zeros(2 * len(ks)), np.array(rows), np.zeros(len(rows)), bounds=limits)
    return found.status != _INFEASIBLE


def _constraints(band: Band, n: int, num_cutoffs: int) -> list[np.ndarray]:
    """Rows a with ``a @ x <= 0``: hits do not fall, and gain stays within the band's bounds."""
    hits, gain = np.zeros(2 * num_cutoffs), np.zeros(2 * num_cutoffs)
    hits[2 * n], gain[2 * n + 1] = 1, 1
    if n:
        hits[2 * n - 2], gain[2 * n - 1] = -1, -1
    least, most = band.gains
    return [-hits, least * hits - gain, gain - most * hits]


def _reason(band: Band, ks: Sequence[int], points: Mapping[int, Point], n: int) -> str:
    hits = _growth([points[k].hit_rate for k in ks], n)
    gain = _growth([points[k].ndcg for k in ks], n)
    least, most = band.gains
    grown = f"{band}: HR grows by {hits:.4f}, NDCG by {gain:.4f}"
    if hits <= 0:
        return f"{grown}; HR cannot fall, nor NDCG grow without it"
    return f"{grown}, {gain / hits:.3f} a hit; possible are {least:.3f} to {most:.3f}"


def _growth(intervals: Sequence[Interval | None], n: int) -> float:
    """From the cut-off before to this one, by the middles of the intervals."""
    here, before = intervals[n], intervals[n - 1] if n else (0.0, 0.0)
    return float(np.mean(here or (0.0, 0.0)) - np.mean(before or (0.0, 0.0)))
