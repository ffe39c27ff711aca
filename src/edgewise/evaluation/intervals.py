"""How sure a mean over users is: seeded percentile bootstrap.

Shapes: U users (or pairs), M metrics, R resamples.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from edgewise.errors import ConfigError, EdgewiseError

_CELLS_AT_ONCE = 4_000_000


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
            rows = generator.integers(num_rows, size=(size, num_rows))
            rows += num_rows * np.arange(size)[:, None]
            times = np.bincount(rows.ravel(), minlength=size * num_rows)
            yield times.reshape(size, num_rows).astype(np.float64)

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
