"""What rankings can and cannot have."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.audit.worlds import measured_of

from edgewise.audit.published_tables import Band, Point, impossible, points_of

RANKS = st.lists(st.integers(1, 60), min_size=1, max_size=40).map(np.array)


def printed(value: float, digits: int = 4) -> tuple[float, float]:
    half, shown = 0.5 * 10**-digits, round(value, digits)
    return max(shown - half, 0), shown + half


def points(*rows: tuple[int, float | None, float | None]) -> dict[int, Point]:
    def ends(value: float | None) -> tuple[float, float] | None:
        return None if value is None else printed(value)

    return {k: Point(ends(hits), ends(gain)) for k, hits, gain in rows}


@given(RANKS, st.sampled_from([(5, 10), (1, 5, 10, 20), (10,), (20, 40)]), st.integers(2, 4))
def test_every_ranking_is_possible_however_it_is_rounded(ranks, ks, digits):
    metrics = measured_of("any", ranks, ks).metrics
    ends = {name: printed(value, digits) for name, value in metrics.items()}
    assert impossible(points_of(ends)) == []


@given(RANKS, RANKS)
def test_means_over_seeds_are_possible(first, second):
    one, two = (measured_of("any", ranks).metrics for ranks in (first, second))
    ends = {name: printed((one[name] + two[name]) / 2) for name in one}
    assert impossible(points_of(ends)) == []


def test_the_bounds_of_a_hit_by_hand():
    assert Band(6, 10).gains == (pytest.approx(0.28906, abs=1e-5), pytest.approx(0.35621, abs=1e-5))
    assert Band(1, 1).gains == (1, 1)
    assert (str(Band(6, 10)), str(Band(1, 1))) == ("ranks 6-10", "rank 1")


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (points((5, 0.5, 0.4), (10, 0.6, 0.41)), "ranks 6-10: HR grows by 0.1000, NDCG by 0.0100"),
        (points((5, 0.5, 0.4), (10, 0.6, 0.45)), "0.500 a hit; possible are 0.289 to 0.356"),
        (points((5, 0.5, 0.1)), "ranks 1-5"),  # 0.387 a hit at least
        (points((5, 0.5, 0.6)), "ranks 1-5"),
        (points((5, 0.5, 0.4), (10, 0.4, 0.4)), "HR cannot fall"),
        (points((1, 0.5, 0.4)), "rank 1"),
        (points((10, 1.2, 0.4)), "above 1"),
    ],
)
def test_impossible_figures_are_named(rows, words):
    (reason,) = impossible(rows)
    assert words in reason


def test_rounding_excuses_what_it_may():
    # Two of 20,000 users gain ranks 6-10: HR grows by .0001, NDCG by .00003 to .00004.
    assert impossible(points((5, 0.0500, 0.0400), (10, 0.0501, 0.0400))) == []
    assert impossible(points((5, 0.0500, 0.0400), (10, 0.0510, 0.0400)))


def test_rounding_cannot_excuse_two_steps_at_once():
    # Each step gains .0001 too little, which NDCG@10 printed too low or too high excuses: not both.
    gains = np.cumsum([0.3, 0.1 * Band(6, 10).gains[0], 0.1 * Band(11, 20).gains[0]])
    gains -= np.array([0, 0.0001, 0.0002])
    ends = [(gain - 0.00005, gain + 0.00005) for gain in gains]
    rows = {
        k: Point(printed(hits), gain)
        for k, hits, gain in zip((5, 10, 20), (0.4, 0.5, 0.6), ends, strict=True)
    }
    (reason,) = impossible(rows)
    assert "all of them together" in reason
    assert impossible({k: rows[k] for k in (5, 10)}) == []


def test_a_missing_figure_is_free():
    assert impossible(points((5, 0.5, None), (10, None, 0.3))) == []
    assert impossible(points((5, 0.5, None), (10, None, 0.1)))  # five hits in a hundred give .19
