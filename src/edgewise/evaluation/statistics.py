"""How sure a mean over users is, and whether a difference is more than chance.

Intervals come from a seeded percentile bootstrap over users, p-values from the same bootstrap or
from a t-test over seeds, adjusted by Holm's procedure where several questions are asked at once.

Shapes: U users (or pairs), M metrics, C comparisons, R resamples.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from edgewise.errors import ConfigError, EdgewiseError

# Of the tables of draws: 1.6 MB of float64, which stay in one core's cache.
_CELLS_AT_ONCE = 200_000
_RESAMPLES_FOR_P_VALUES = 5000


@dataclass(frozen=True)
class Estimate:
    """A value and the ends of its interval, None where resampling users says nothing about it."""

    mean: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Bootstrap:
    """How intervals are made.

    Attributes:
        level: share of resamples inside the interval, 0.95 for a 95 % interval.
        resamples: how often the users are drawn anew, with replacement.
        seed: of the draws; equal seeds draw equal users, whatever is measured on them.
    """

    level: float = 0.95
    resamples: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.level < 1:
            raise ConfigError(f"level={self.level}: must lie between 0 and 1, for example 0.95")
        if self.resamples < 1:
            raise ConfigError(f"resamples={self.resamples}: must be 1 or more")

    def draws(self, num_rows: int) -> Iterator[np.ndarray]:
        """How often each row is drawn, in blocks ``float64[r, U]`` that add up to R resamples."""
        generator = np.random.default_rng(self.seed)
        block = max(1, _CELLS_AT_ONCE // num_rows)
        for start in range(0, self.resamples, block):
            size = min(block, self.resamples - start)
            times = np.empty((size, num_rows))
            for count, rows in zip(
                times, generator.integers(num_rows, size=times.shape), strict=True
            ):
                count[:] = np.bincount(rows, minlength=num_rows)
            yield times

    def resampled_sums(self, values: np.ndarray) -> np.ndarray:
        """Column sums of ``values[U, M]`` in every resample, ``float64[R, M]``."""
        return np.concatenate([times @ values for times in self.draws(len(values))])

    def estimate(self, mean: float, resampled: np.ndarray) -> Estimate:
        """The percentile interval of a statistic from its R resampled values."""
        tail = 50 * (1 - self.level)
        low, high = np.percentile(resampled, [tail, 100 - tail])
        return Estimate(float(mean), float(low), float(high))


def bootstrap_means(values: np.ndarray, bootstrap: Bootstrap | None = None) -> list[Estimate]:
    """The mean of every column of ``values[U, M]`` with its interval; columns share their draws."""
    bootstrap = bootstrap or Bootstrap()
    if not len(values):
        raise EdgewiseError("no rows to average: evaluate at least one user or pair")
    values = np.asarray(values, dtype=np.float64)
    resampled = bootstrap.resampled_sums(values) / len(values)
    columns = zip(values.mean(axis=0), resampled.T, strict=True)
    return [bootstrap.estimate(mean, column) for mean, column in columns]


def bootstrap_mean(values: np.ndarray, bootstrap: Bootstrap | None = None) -> Estimate:
    """The mean of ``values[U]`` with its interval."""
    return bootstrap_means(np.asarray(values)[:, None], bootstrap)[0]


def bootstrap_difference(
    values: np.ndarray, baseline: np.ndarray, bootstrap: Bootstrap | None = None
) -> Estimate:
    """The mean of ``values - baseline``, row by row the same users: both are drawn together.

    Users differ far more from each other than systems do, so this interval is much narrower than
    the two systems' own intervals suggest.
    """
    if len(values) != len(baseline):
        raise EdgewiseError(
            f"paired systems must be measured on the same users: {len(values)} rows against "
            f"{len(baseline)}"
        )
    return bootstrap_mean(np.asarray(values, np.float64) - np.asarray(baseline), bootstrap)


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
    bootstrap = bootstrap or Bootstrap(resamples=_RESAMPLES_FOR_P_VALUES)
    if not len(differences):
        raise EdgewiseError("no users to compare: both systems must be measured on the same ones")
    # Sums that are zero but for their order, which other numbers of threads change, are ties.
    resampled = np.round(bootstrap.resampled_sums(differences) / len(differences), 12)
    found = []
    for mean, column in zip(differences.mean(axis=0), resampled.T, strict=True):
        below, above = (column <= 0).sum(), (column >= 0).sum()
        p_value = min(1.0, 2 * (min(below, above) + 1) / (len(column) + 1))
        found.append((bootstrap.estimate(mean, column), float(p_value)))
    return found


def paired_t_test(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Two-sided p-value of a t-test over seeds, paired; None where it has nothing to say.

    ELMRec's tables use a t-test over ten trials. With fewer than two pairs, or with one and the
    same difference in all of them, there is no spread to judge a difference by; if none differs, it
    is 1.
    """
    from scipy.stats import ttest_rel

    if len(first) != len(second):
        raise EdgewiseError(f"{len(first)} seeds against {len(second)}: pair the same seeds")
    differences = np.subtract(first, second)
    if len(differences) < 2:
        return None
    if np.allclose(differences, differences[0], rtol=0, atol=1e-12):
        return 1.0 if abs(differences[0]) < 1e-12 else None
    return float(ttest_rel(first, second).pvalue)


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
