"""Findings as text."""

from __future__ import annotations

import subprocess
import sys

import pytest

from edgewise.audit.report import Audit, FindingBuilder, Measurement


@pytest.mark.parametrize(
    ("measurement", "text"),
    [
        (Measurement("edges", 0.5349), "edges 53.5 %"),
        (Measurement("HR@10", 0.05512, "HR@10"), "HR@10 0.0551"),
        (Measurement("rows", 12345.0, "rows"), "rows 12,345"),
        (Measurement("impossible rows", 5.0, "rows", of=1024), "impossible rows 5 of 1,024"),
    ],
)
def test_measurements_as_text(measurement, text):
    assert str(measurement) == text


def test_a_headline_without_measurements():
    leak = FindingBuilder("padded-lists", "results").leak("filled", repair="do not")
    assert Audit((leak,)).headline() == "LEAKS in 1 of 1 checks: padded-lists"


def test_names_of_groups_load_no_table_library():
    code = (
        "import sys, edgewise.audit.report, edgewise.evaluation.protocols;"
        "print([m for m in ('numpy', 'polars', 'scipy', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
