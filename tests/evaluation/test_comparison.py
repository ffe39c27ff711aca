"""Systems side by side."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from rich.console import Console

from edgewise.errors import EdgewiseError
from edgewise.evaluation.protocols import find_protocol
from edgewise.evaluation.report import (
    RankingReport,
    TextReport,
    comparison_table,
    paired_differences,
)
from edgewise.evaluation.statistics import Estimate, bootstrap_mean


def ranking(values: np.ndarray, **settings) -> RankingReport:
    users = pl.DataFrame({"user_index": np.arange(len(values)), "NDCG@5": values})
    metrics = {"NDCG@5": bootstrap_mean(values), "Coverage@5": Estimate(0.125)}
    conditions = {"task": "direct", "part": "test", "num_negatives": 99, **settings}
    return RankingReport(users, metrics, len(values), conditions)


def printed(*args, **kwargs) -> str:
    console = Console(width=160, record=True, quiet=True)
    with console.capture() as capture:
        console.quiet = False
        console.print(comparison_table(*args, **kwargs))
    return capture.get()


def test_protocols_do_not_mix_and_leaks_are_named(model, popularity):
    released = find_protocol("elmrec-released")
    leaking = replace(model, protocol=released)
    with pytest.raises(EdgewiseError, match=r"under honest v1, the other under elmrec-released v1"):
        paired_differences(popularity, leaking)
    assert "protocol: honest v1" in printed({"a": model})
    caption = " ".join(printed({"a": leaking}).split())
    assert "protocol: elmrec-released v1 (LEAKS)" in caption


@pytest.fixture
def popularity() -> RankingReport:
    return ranking(np.linspace(0, 0.5, 60))


@pytest.fixture
def model() -> RankingReport:
    return ranking(np.linspace(0, 0.5, 60) + 0.25)


def test_paired_differences(model, popularity):
    differences = paired_differences(model, popularity)
    assert list(differences) == ["NDCG@5"], "coverage belongs to no user"
    estimate = differences["NDCG@5"]
    assert (estimate.mean, estimate.low, estimate.high) == pytest.approx((0.25, 0.25, 0.25))


def test_users_are_paired_by_index_not_by_row(model, popularity):
    turned = replace(popularity, per_user=popularity.per_user.reverse())
    assert paired_differences(model, turned)["NDCG@5"].low == pytest.approx(0.25)


def test_table_prints_both_with_intervals_and_difference(model, popularity):
    text = printed({"ELMRec": model, "popularity": popularity}, title="Beauty")
    for part in ("Beauty", "ELMRec", "popularity", "difference", "num_negatives: 99", "60 users"):
        assert part in text
    low, high = model.metrics["NDCG@5"].low, model.metrics["NDCG@5"].high
    assert f"0.5000 ({low:.4f} to {high:.4f})" in text
    assert "+0.2500 (+0.2500 to +0.2500)" in text
    (coverage,) = [line for line in text.splitlines() if "Coverage@5" in line]
    assert coverage.count("0.1250") == 2
    assert "to" not in coverage


def test_three_systems_have_no_difference_column(model, popularity):
    text = printed({"a": model, "b": model, "popularity": popularity})
    assert "difference" not in text


def test_text_reports_in_percent():
    pairs = pl.DataFrame({"user_index": [0], "item_index": [1]})
    text = TextReport(pairs, {"BLEU-1": Estimate(12.345, 10.0, 14.0)}, 1, {"task": "explanation"})
    assert "12.35 (10.00 to 14.00)" in printed({"ELMRec": text}).replace("12.34 ", "12.35 ")


def test_different_conditions_are_not_compared(model):
    other = ranking(np.zeros(60), num_negatives=999)
    with pytest.raises(EdgewiseError, match="num_negatives is 99 for the one and 999"):
        comparison_table({"a": model, "b": other})


def test_different_users_are_not_compared(model):
    with pytest.raises(EdgewiseError, match="a and b measured different users"):
        comparison_table({"a": model, "b": ranking(np.zeros(59)), "c": model})


def test_nothing_to_compare():
    with pytest.raises(EdgewiseError, match="no reports"):
        comparison_table({})
