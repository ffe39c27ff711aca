"""P-values, checked against hand-worked cases and an independent library."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from edgewise.errors import EdgewiseError
from edgewise.evaluation.statistics import Bootstrap, holm, paired_bootstrap, paired_t_test


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


def test_no_users_are_refused():
    with pytest.raises(EdgewiseError, match="no users to compare"):
        paired_bootstrap(np.empty((0, 2)))
