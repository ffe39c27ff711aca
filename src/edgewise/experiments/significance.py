"""Whether a difference is more than chance: over seeds, and over users.

Shapes: U users, C comparisons, R resamples.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

from edgewise.errors import EdgewiseError
from edgewise.evaluation.intervals import Bootstrap, Estimate

RESAMPLES = 5000


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for how many questions were asked (Holm, 1979).

    The smallest is multiplied by the number of all, the next by one less, and so on; none may fall
    below one before it. Together they are wrong at most as often as their level says.
    """
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(p_values), 0, -1)
    raised = np.maximum.accumulate(np.asarray(p_values, dtype=np.float64)[order] * factors)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(raised, 1.0)
    return adjusted.tolist()


def paired_t_test(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Two-sided p-value of a t-test over seeds, paired; None where it has nothing to say.

    ELMRec's tables use a t-test over ten trials. With fewer than two pairs, or with one and the
    same difference in all of them, there is no spread to judge a difference by; if none differs, it
    is 1.
    """
    if len(first) != len(second):
        raise EdgewiseError(f"{len(first)} seeds against {len(second)}: pair the same seeds")
    differences = np.subtract(first, second)
    if len(differences) < 2:
        return None
    if np.allclose(differences, differences[0], rtol=0, atol=1e-12):
        return 1.0 if abs(differences[0]) < 1e-12 else None
    return float(stats.ttest_rel(first, second).pvalue)


def paired_bootstrap(
    differences: np.ndarray, bootstrap: Bootstrap | None = None
) -> list[tuple[Estimate, float]]:
    """Mean differences over the same users, with intervals and two-sided p-values.

    The p-value is twice the share of resamples whose mean lies on the other side of zero, counting
    the sample itself among them: with R resamples it is at least ``2 / (R + 1)``.

    Args:
        differences: one column a comparison, ``float[U, C]``.
        bootstrap: how users are drawn; 5,000 times if absent.
    """
    bootstrap = bootstrap or Bootstrap(resamples=RESAMPLES)
    if not len(differences):
        raise EdgewiseError("no users to compare: both systems must be measured on the same ones")
    resampled = bootstrap.resampled_sums(differences) / len(differences)
    found = []
    for mean, column in zip(differences.mean(axis=0), resampled.T, strict=True):
        below, above = (column <= 0).sum(), (column >= 0).sum()
        p_value = min(1.0, 2 * (min(below, above) + 1) / (len(column) + 1))
        found.append((bootstrap.estimate(mean, column), float(p_value)))
    return found
