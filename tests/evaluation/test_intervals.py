"""Bootstrap intervals: against theory, a plain loop, and their own promises."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest

from edgewise.errors import ConfigError, EdgewiseError
from edgewise.evaluation import statistics as intervals
from edgewise.evaluation.statistics import (
    Bootstrap,
    Estimate,
    bootstrap_difference,
    bootstrap_mean,
    bootstrap_means,
)


def bounds(estimate: Estimate) -> tuple[float, float]:
    assert estimate.low is not None
    assert estimate.high is not None
    return estimate.low, estimate.high


def test_interval_agrees_with_the_normal_one():
    values = np.random.default_rng(0).random(2000)
    estimate = bootstrap_mean(values, Bootstrap(resamples=2000))
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert estimate.mean == pytest.approx(values.mean())
    assert estimate.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert estimate.high == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_lower_level_is_narrower():
    values = np.random.default_rng(0).random(100)
    wide, narrow = bounds(bootstrap_mean(values)), bounds(bootstrap_mean(values, Bootstrap(0.5)))
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


def test_resampled_sums_equal_a_plain_loop():
    values = np.random.default_rng(1).random((7, 2))
    bootstrap = Bootstrap(resamples=5, seed=4)
    rows = np.random.default_rng(4).integers(7, size=(5, 7))
    expected = np.array([values[drawn].sum(axis=0) for drawn in rows])
    assert bootstrap.resampled_sums(values) == pytest.approx(expected)


def test_every_resample_draws_as_many_rows_as_there_are(monkeypatch):
    monkeypatch.setattr(intervals, "_CELLS_AT_ONCE", 70)
    blocks = list(Bootstrap(resamples=25).draws(10))
    assert [len(block) for block in blocks] == [7, 7, 7, 4]
    assert (np.concatenate(blocks).sum(axis=1) == 10).all()


def test_columns_share_draws_and_seeds_decide():
    values = np.random.default_rng(2).random((50, 1))
    first, second = bootstrap_means(np.hstack([values, values]))
    assert astuple(first) == pytest.approx(astuple(second), abs=1e-12)
    assert astuple(first) == pytest.approx(astuple(bootstrap_mean(values[:, 0])), abs=1e-12)
    assert first.low != pytest.approx(bootstrap_mean(values[:, 0], Bootstrap(seed=1)).low)


def test_paired_difference_is_narrower_than_the_systems():
    generator = np.random.default_rng(3)
    baseline = generator.random(300)
    better = baseline + 0.02 + 0.01 * generator.random(300)
    difference = bootstrap_difference(better, baseline)
    assert difference.mean == pytest.approx((better - baseline).mean())
    low, high = bounds(difference)
    assert 0.02 < low < high < 0.03
    assert np.ptp(bounds(bootstrap_mean(better))) > 10 * (high - low)


def test_constant_values_have_no_spread():
    estimate = bootstrap_mean(np.full(9, 0.25))
    assert (estimate.low, estimate.high) == pytest.approx((0.25, 0.25))


def test_impossible_requests_are_refused():
    with pytest.raises(EdgewiseError, match="no rows"):
        bootstrap_mean(np.array([]))
    with pytest.raises(EdgewiseError, match="3 rows against 2"):
        bootstrap_difference(np.zeros(3), np.zeros(2))
    with pytest.raises(ConfigError, match="level"):
        Bootstrap(level=95)
    with pytest.raises(ConfigError, match="resamples"):
        Bootstrap(resamples=0)
