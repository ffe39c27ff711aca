"""Intervals and p-values: against theory, plain loops, hand-worked cases and their own promises."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from edgewise.errors import ConfigError, EdgewiseError
from edgewise.evaluation import statistics
from edgewise.evaluation.statistics import (
    Bootstrap,
    Estimate,
    bootstrap_difference,
    bootstrap_mean,
    bootstrap_means,
    holm,
    paired_bootstrap,
    paired_t_test,
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
    monkeypatch.setattr(statistics, "_CELLS_AT_ONCE", 70)
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


def test_holm_by_hand():
    # Sorted .01 .02 .03 .04 times 4 3 2 1 gives .04 .06 .06 .04; none may fall: .04 .06 .06 .06.
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_never_helps_and_keeps_the_order(p_values):
    adjusted = holm(p_values)
    assert all(before <= after <= 1 for before, after in zip(p_values, adjusted, strict=True))
    order = np.argsort(p_values, kind="stable")
    assert (np.diff(np.asarray(adjusted)[order]) >= 0).all()


def test_t_test_by_hand():
    # Differences 1, 2, 3: mean 2, standard error 1 / sqrt(3), so t = 2 sqrt(3), 2 degrees.
    expected = 2 * stats.t.sf(2 * np.sqrt(3), 2)
    assert paired_t_test([2, 4, 6], [1, 2, 3]) == pytest.approx(expected)


def test_t_test_has_nothing_to_say_without_spread():
    assert paired_t_test([0.5], [0.4]) is None
    assert paired_t_test([0.5, 0.6], [0.4, 0.5]) is None
    assert paired_t_test([0.5, 0.6], [0.5, 0.6]) == 1.0
    with pytest.raises(EdgewiseError, match="2 seeds against 1"):
        paired_t_test([0.5, 0.6], [0.4])


def test_bootstrap_tells_a_difference_from_none():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=400)
    columns = np.column_stack([noise - noise.mean(), noise - noise.mean() + 0.4, np.zeros(400)])
    (none, p_none), (real, p_real), (_, p_equal) = paired_bootstrap(
        columns, Bootstrap(resamples=999)
    )
    assert p_none > 0.5 and none.mean == pytest.approx(0)
    assert p_real == pytest.approx(2 / 1000) and real.low is not None and real.low > 0
    assert p_equal == 1.0


def test_bootstrap_agrees_with_the_normal_approximation():
    rng = np.random.default_rng(1)
    values = rng.normal(0.1, 1, size=500)
    ((_, p_value),) = paired_bootstrap(values[:, None], Bootstrap(resamples=20_000))
    z = values.mean() / (values.std() / np.sqrt(len(values)))
    assert p_value == pytest.approx(2 * stats.norm.sf(abs(z)), rel=0.15)


def test_rounding_breaks_no_tie():
    """Thirds, as means of three seeds are, have the ties of whole numbers."""
    whole = np.random.default_rng(0).integers(-3, 5, size=(40, 1))
    (_, exact), (_, rounded) = paired_bootstrap(np.hstack([whole, whole / 3 * 0.1]))
    assert exact == rounded


def test_no_users_are_refused():
    with pytest.raises(EdgewiseError, match="no users to compare"):
        paired_bootstrap(np.empty((0, 2)))
