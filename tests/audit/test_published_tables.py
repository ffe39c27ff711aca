"""What rankings can and cannot have, in the papers' tables and hand-written ones."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.audit.worlds import measured_of

from edgewise.audit.published_tables import (
    Band,
    Point,
    impossible,
    points_of,
    published_figures,
    read_table,
)
from edgewise.errors import DataError

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


TABLES = Path(__file__).parents[2] / "docs" / "tables"


def table(folder: Path, *lines: str) -> Path:
    path = folder / "table.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("number", "rows", "impossible"),
    [
        (
            2,
            24,
            {("Sports", "RSL"), ("Toys", "RSL")}
            | {(d, "ELMRec") for d in ("Sports", "Beauty", "Toys")},
        ),
        (
            3,
            33,
            {("Sports", "ELMRec"), ("Toys", "ELMRec"), ("Sports", "RSL"), ("Beauty", "RSL")}
            | {(d, "POD") for d in ("Sports", "Beauty", "Toys")},
        ),
    ],
)
def test_rows_of_the_elmrec_paper_that_no_ranking_has(number, rows, impossible):
    found = read_table(TABLES / f"elmrec-table-{number}.csv")
    assert len(found) == rows
    wrong = {tuple(row.label.split(", ")[1:]) for row in found if row.reasons}
    assert wrong == impossible
    assert all("ranks 6-10" in row.reasons[0] for row in found if row.reasons)


def test_other_names_of_the_metrics_and_free_columns(tmp_path):
    path = table(
        tmp_path,
        "model,R@5,N@5,year,Hit@10,ndcg@10",
        "good,0.500*,.400,2020,0.600,0.430",
        "bad,0.500,0.400,2021,0.600,0.500",
        "silent,,,2022,,",
    )
    good, bad, silent = read_table(path)
    assert (good.reasons, good.label) == ((), "good, 2020")
    assert "1.000 a hit" in bad.reasons[0]
    assert not silent.is_checkable and not silent.reasons


def test_dashes_percentages_and_other_metrics(tmp_path):
    path = table(
        tmp_path,
        "model,Hit Rate@5,NDCG@5,MRR@5,hit_ratio @ 10,NDCG@10",
        "shares,0.500,0.400,0.39,0.600,0.430",
        "percentages,50.0%,40.0 %*,39,60.0*%,43.0%",
        "dashes,-,\u2013,,0.600,\u2014",
    )
    shares, percentages, dashes = read_table(path)
    assert shares.points == pytest.approx(percentages.points)
    assert (shares.label, shares.unchecked) == ("shares", ("MRR@5",))
    assert dashes.points[10].hit_rate is not None and not dashes.is_checkable


def test_digits_that_are_not_printed_excuse(tmp_path):
    fine, coarse = read_table(
        table(tmp_path, "HR@5,NDCG@5,HR@10,NDCG@10", "0.50,0.40,0.600,0.420", "0.5,0.4,0.6,0.4")
    )
    assert fine.reasons and not coarse.reasons


def test_one_finding_for_the_table(tmp_path):
    lines = ("model,HR@5,NDCG@5", "a,0.50,0.40", "b,0.50,0.60", "c,0.10,")
    rows = read_table(table(tmp_path, *lines))
    finding = published_figures(rows, "table.csv")
    assert finding.verdict == "leak" and "of b:" in finding.meaning
    assert list(map(str, finding.measurements)) == ["impossible rows 1 of 2"]
    assert published_figures(rows[:1], "t").verdict == "ok"
    assert published_figures(rows[2:], "t").verdict == "not applicable"


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["model,MRR", "a,0.5"], "no column HR@k"),
        (["HR@5,NDCG@5", "0.5,x"], "line 2, column NDCG@5: 'x' is no number; leave the cell empty"),
        (["HR@5,NDCG@5", "50.1%,140%"], "column NDCG@5: 140% is no share"),
        (["HR@5,Recall@5,NDCG@5", ".5,.5,.4"], "'HR@5' and 'Recall@5' are the same figure"),
        (["HR@5,HR@5", ".5,.6"], "'HR@5' and 'HR@5' are the same figure"),
        (["HR@5,NDCG@5", "0.5,0.4", "50.1,40.2"], "line 3, column HR@5: 50.1 is no share"),
        (["HR@5,NDCG@5", "nan,0.4"], "is no number"),
        ([""], "no column"),
    ],
)
def test_a_wrong_file_is_refused_with_its_place(tmp_path, lines, words):
    with pytest.raises(DataError, match=words):
        read_table(table(tmp_path, *lines))


def test_no_text_file(tmp_path):
    path = tmp_path / "table.csv"
    path.write_bytes(b"HR@5,NDCG@5\n\xff\xfe\x00")
    with pytest.raises(DataError, match="not a CSV file"):
        read_table(path)


def test_the_documentation_shows_the_impossible_rows():
    page = (TABLES.parent / "audit.md").read_text(encoding="utf-8")
    shown = [line for line in page.splitlines() if re.match(r"\| [23], ", line)]
    found = [row for n in (2, 3) for row in read_table(TABLES / f"elmrec-table-{n}.csv")]
    told = [row for row in found if row.reasons]
    assert len(shown) == len(told)
    for line, row in zip(shown, told, strict=True):
        _, data, model = row.label.split(", ")
        numbers = re.findall(r"(?<=0)\.\d+", row.reasons[0])[:3]
        assert line.endswith(f"| {data} | {model} | {' | '.join(numbers)} |"), line
