"""Published tables as CSV files, and the rows in them that no ranking can produce.

With one held-out item a user, a hit at rank r adds 1 to HR@k (for every k >= r) and 1/log2(r + 1)
to NDCG@k. Between two cut-offs both can therefore grow only together: a hit at ranks 6 to 10 adds
between 1/log2(11) = .289 and 1/log2(7) = .356 to NDCG. Means over users or seeds obey the same
bounds, and printed digits stand for all values that round to them.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path

import numpy as np

from edgewise.audit.report import Finding, FindingBuilder, Measurement
from edgewise.errors import DataError

Interval = tuple[float, float]
_TABLE = FindingBuilder("published-figures", "results")
_HITS = ("HITRATE", "HITRATIO", "HR", "HIT", "HITS", "H", "RECALL", "R")
_GAINS = ("NDCG", "N")
_METRIC = re.compile(r"([A-Za-z][A-Za-z _-]*?)\s*@\s*([1-9][0-9]{0,8})")
_LONGEST_NAME = 100  # of a figure; longer ones are not looked into
_MOST_PLACES = 100
_NOT_PRINTED = ("", "-", "\u2013", "\u2014")
# What linprog answers where no values satisfy the constraints.
_INFEASIBLE = 2


@dataclass(frozen=True)
class TableRow:
    """One row of a table.

    Attributes:
        label: its other columns, joined: table, dataset, model.
        points: what it prints at each cut-off.
        reasons: why no ranking can produce it; empty if one may.
        unchecked: columns of other metrics, such as ``MRR@10``, which nothing looks at.
    """

    label: str
    points: Mapping[int, Point]
    reasons: tuple[str, ...]
    unchecked: tuple[str, ...] = ()

    @property
    def is_checkable(self) -> bool:
        """Whether it prints enough to contradict itself."""
        return checkable(self.points)


def read_table(file: str | Path) -> list[TableRow]:
    """Read and check a table.

    Columns called ``HR@k`` (also H, Hit, Hit Rate, R, Recall) and ``NDCG@k`` (also N) are figures,
    shares between 0 and 1 (or with a %) with one held-out item a user. Other columns with an ``@``
    are not looked at, and all others label the row. An empty cell or a dash is a figure that was
    not printed.

    Raises:
        DataError: no such columns, two for the same figure, or a cell that is no share.
    """
    path = Path(file)
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.DictReader(lines, restkey="", restval="")
            check_columns(reader.fieldnames or (), path)
            return [_row(cells, f"{path}, line {reader.line_num}") for cells in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a CSV file in UTF-8 ({error})") from None


def _row(cells: Mapping[str, str], where: str) -> TableRow:
    figures = {
        name: interval_of(cell, f"{where}, column {name}")
        for name, cell in cells.items()
        if metric_of(name) and is_printed(cell)
    }
    points = points_of(figures)
    unchecked = tuple(filter(is_other_metric, cells))
    labels = [name for name in cells if name and not metric_of(name) and name not in unchecked]
    label = ", ".join(cells[name] for name in labels if cells[name])
    reasons = tuple(impossible(points)) if checkable(points) else ()
    return TableRow(label, points, reasons, unchecked)


def published_figures(rows: list[TableRow], table: str) -> Finding:
    """One finding for a whole table."""
    checked = [row for row in rows if row.is_checkable]
    if not checked:
        return _TABLE.not_applicable(f"{table}: no row prints two figures of one ranking")
    wrong = [row.label for row in checked if row.reasons]
    measurement = Measurement("impossible rows", float(len(wrong)), "rows", of=len(checked))
    if not wrong:
        return _TABLE.ok(f"{table}: some ranking may have every row's figures", measurement)
    return _TABLE.leak(
        f"{table}: no ranking with one held-out item a user has the figures of "
        f"{'; '.join(wrong)}: items counted more than once would look so, or figures of several "
        "runs in one row",
        measurement,
        repair="count an item once, at its best place, and print metrics of the same run",
    )


def check_columns(columns: Iterable[str], where: object) -> None:
    """Refuse a table without a figure, or with two columns for the same one.

    Raises:
        DataError: says which columns.
    """
    figures: dict[tuple[str, int], str] = {}
    for name in columns:
        metric = metric_of(name)
        if metric in figures:
            raise DataError(
                f"{where}: columns {figures[metric]!r} and {name!r} are the same figure where each "
                "user has one item to find; leave one of them out"
            )
        if metric is not None:
            figures[metric] = name
    if not figures:
        raise DataError(f"{where}: no column HR@k or NDCG@k, for example HR@10")


def metric_of(column: str | None) -> tuple[str, int] | None:
    """``("HR", k)`` or ``("NDCG", k)`` of a column's name; None for other columns.

    With one held-out item a user, Recall is the hit rate. Blanks, ``-`` and ``_`` in a name do not
    count: ``Hit Rate@5``.
    """
    name = (column or "").strip()
    found = _METRIC.fullmatch(name) if len(name) <= _LONGEST_NAME else None
    if not found:
        return None
    word, k = re.sub("[ _-]", "", found[1]).upper(), int(found[2])
    if word in _HITS:
        return "HR", k
    return ("NDCG", k) if word in _GAINS else None


def is_other_metric(column: str | None) -> bool:
    """Whether a column looks like a figure that is not checked, such as ``MRR@10``."""
    return "@" in (column or "") and metric_of(column) is None


def is_printed(cell: str) -> bool:
    """Whether a cell holds a figure; an empty one and a dash do not."""
    return cell.strip() not in _NOT_PRINTED


def interval_of(cell: str, where: str) -> Interval:
    """All shares that are printed so: half a unit of the last digit either way.

    Args:
        cell: a share such as ``.123``, or ``12.3%``; stars at the end mark significance.
        where: for messages.

    Raises:
        DataError: it is no share.
    """
    text = cell.strip().rstrip("*").rstrip()
    number = text.removesuffix("%").rstrip().rstrip("*")
    try:
        printed = Decimal(number)
    except InvalidOperation:
        raise DataError(
            f"{where}: {cell!r} is no number; leave the cell empty, or write '-', where no figure "
            "was printed"
        ) from None
    places = abs(printed.adjusted()) if printed.is_finite() else _MOST_PLACES
    if max(places, len(number)) >= _MOST_PLACES:
        raise DataError(f"{where}: {cell!r} is no number; leave the cell empty")
    value = printed.scaleb(-2) if "%" in text else printed
    if not 0 <= value <= 1:
        raise DataError(
            f"{where}: {cell} is no share between 0 and 1: divide percentages by 100, or write "
            "each with its %"
        )
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)
    half = Decimal(5).scaleb(exponent - 1)
    return float(max(value - half, Decimal(0))), float(min(value + half, Decimal(1)))


@dataclass(frozen=True)
class Point:
    """What is printed at one cut-off, as ends of intervals; None where a metric is not printed."""

    hit_rate: Interval | None
    ndcg: Interval | None


def points_of(metrics: Mapping[str, Interval]) -> dict[int, Point]:
    """Figures by cut-off from figures by name, such as ``HR@10``; others are left out."""
    hits: dict[int, Interval] = {}
    gains: dict[int, Interval] = {}
    for name, interval in metrics.items():
        if metric := metric_of(name):
            kind, k = metric
            (hits if kind == "HR" else gains).setdefault(k, interval)
    return {k: Point(hits.get(k), gains.get(k)) for k in hits | gains}


def checkable(points: Mapping[int, Point]) -> bool:
    """Whether anything could contradict anything: two figures at least."""
    return sum((p.hit_rate is not None) + (p.ndcg is not None) for p in points.values()) > 1


def impossible(points: Mapping[int, Point]) -> list[str]:
    """Why no ranking with one held-out item a user has these figures; empty if one may have.

    Each band between two cut-offs is tried alone, so that the message can name it; then all
    together, since rounding can excuse each of two bands but not both at once.

    Args:
        points: by cut-off k.
    """
    ks = sorted(points)
    ends = [(k, end) for k in ks for end in (points[k].hit_rate, points[k].ndcg) if end]
    if above := [k for k, (least, _) in ends if least > 1]:
        return [f"a figure at cut-off {above[0]} is above 1, where each user has one item to find"]
    bands = [Band(low + 1, high) for low, high in zip([0, *ks], ks, strict=False)]
    alone = [
        _reason(bands[n], ks, points, n)
        for n in range(len(bands))
        if not _feasible(points, ks, bands, [n])
    ]
    if alone or _feasible(points, ks, bands, range(len(bands))):
        return alone
    return ["each step from cut-off to cut-off is possible, all of them together are not"]


@dataclass(frozen=True)
class Band:
    """The ranks from ``first`` to ``last`` between two cut-offs."""

    first: int
    last: int

    @property
    def gains(self) -> Interval:
        """What one hit at these ranks can add to NDCG, least and most."""
        return float(1 / np.log2(self.last + 1)), float(1 / np.log2(self.first + 1))

    def __str__(self) -> str:
        one = self.first == self.last
        return f"rank {self.first}" if one else f"ranks {self.first}-{self.last}"


def _feasible(
    points: Mapping[int, Point], ks: Sequence[int], bands: Sequence[Band], which: Sequence[int]
) -> bool:
    """Whether values inside all intervals satisfy the chosen bands (a linear programme).

    Unknowns are HR and NDCG at every cut-off, ``float64[2 * len(ks)]``.
    """
    from scipy.optimize import linprog

    rows = [row for n in which for row in _constraints(bands[n], n, len(ks))]
    limits = [
        limit
        for k in ks
        for limit in (points[k].hit_rate or (0.0, 1.0), points[k].ndcg or (0.0, 1.0))
    ]
    found = linprog(np.zeros(2 * len(ks)), np.array(rows), np.zeros(len(rows)), bounds=limits)
    return found.status != _INFEASIBLE


def _constraints(band: Band, n: int, num_cutoffs: int) -> list[np.ndarray]:
    """Rows a with ``a @ x <= 0``: hits do not fall, and gain stays within the band's bounds."""
    hits, gain = np.zeros(2 * num_cutoffs), np.zeros(2 * num_cutoffs)
    hits[2 * n], gain[2 * n + 1] = 1, 1
    if n:
        hits[2 * n - 2], gain[2 * n - 1] = -1, -1
    least, most = band.gains
    return [-hits, least * hits - gain, gain - most * hits]


def _reason(band: Band, ks: Sequence[int], points: Mapping[int, Point], n: int) -> str:
    hits = _growth([points[k].hit_rate for k in ks], n)
    gain = _growth([points[k].ndcg for k in ks], n)
    least, most = band.gains
    grown = f"{band}: HR grows by {hits:.4f}, NDCG by {gain:.4f}"
    if hits <= 0:
        return f"{grown}; HR cannot fall, nor NDCG grow without it"
    return f"{grown}, {gain / hits:.3f} a hit; possible are {least:.3f} to {most:.3f}"


def _growth(intervals: Sequence[Interval | None], n: int) -> float:
    """From the cut-off before to this one, by the middles of the intervals."""
    here, before = intervals[n], intervals[n - 1] if n else (0.0, 0.0)
    return float(np.mean(here or (0.0, 0.0)) - np.mean(before or (0.0, 0.0)))
