"""Published tables as CSV files, and the rows in them that no ranking can produce."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path

from edgewise.audit.arithmetic import Interval, Point, checkable, impossible
from edgewise.audit.findings import Figure, Finding, Subject
from edgewise.errors import DataError

_TABLE = Subject("published-figures", "results")
_HITS = ("HITRATE", "HR", "HIT", "H", "RECALL", "R")
_GAINS = ("NDCG", "N")
_METRIC = re.compile(r"([A-Za-z]+)@([1-9]\d*)")


@dataclass(frozen=True)
class TableRow:
    """One row of a table.

    Attributes:
        label: its other columns, joined: table, dataset, model.
        points: what it prints at each cut-off.
        reasons: why no ranking can produce it; empty if one may.
    """

    label: str
    points: Mapping[int, Point]
    reasons: tuple[str, ...]

    @property
    def is_checkable(self) -> bool:
        """Whether it prints enough to contradict itself."""
        return checkable(self.points)


def read_table(file: str | Path) -> list[TableRow]:
    """Read and check a table.

    Columns called ``HR@k`` (also H, Hit, HitRate, R, Recall) and ``NDCG@k`` (also N) are figures,
    shares between 0 and 1 with one held-out item a user; all others label the row. An empty cell
    is a figure that was not printed.

    Raises:
        DataError: no such columns, or a cell that is no share.
    """
    path = Path(file)
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.DictReader(lines, restkey="", restval="")
            columns = [_metric(name) for name in reader.fieldnames or ()]
            _require(any(columns), f"{path}: no column HR@k or NDCG@k, for example HR@10")
            return [_row(cells, f"{path}, line {reader.line_num}") for cells in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a CSV file in UTF-8 ({error})") from None


def points_of(metrics: Mapping[str, Interval]) -> dict[int, Point]:
    """Figures by cut-off from figures by name, such as ``HR@10``; others are left out."""
    hits: dict[int, Interval] = {}
    gains: dict[int, Interval] = {}
    for name, interval in metrics.items():
        if metric := _metric(name):
            kind, k = metric
            (hits if kind == "HR" else gains).setdefault(k, interval)
    return {k: Point(hits.get(k), gains.get(k)) for k in hits | gains}


def published_figures(rows: list[TableRow], table: str) -> Finding:
    """One finding for a whole table."""
    checked = [row for row in rows if row.is_checkable]
    if not checked:
        return _TABLE.not_applicable(f"{table}: no row prints two figures of one ranking")
    wrong = [row.label for row in checked if row.reasons]
    figures = (
        Figure("impossible rows", float(len(wrong)), "rows"),
        Figure("of", float(len(checked)), "rows"),
    )
    if not wrong:
        return _TABLE.ok(f"{table}: some ranking may have every row's figures", *figures)
    return _TABLE.leak(
        f"{table}: no ranking with one held-out item a user has the figures of "
        f"{'; '.join(wrong)}: items counted more than once would look so, or figures of several "
        "runs in one row",
        *figures,
        repair="count an item once, at its best place, and print metrics of the same run",
    )


def _row(cells: Mapping[str, str], where: str) -> TableRow:
    figures = {
        name: _interval(cell, f"{where}, column {name}")
        for name, cell in cells.items()
        if _metric(name) and cell.strip()
    }
    points = points_of(figures)
    label = ", ".join(cell for name, cell in cells.items() if name and cell and not _metric(name))
    return TableRow(label, points, tuple(impossible(points)) if checkable(points) else ())


def _interval(cell: str, where: str) -> Interval:
    """All shares that are printed so: half a unit of the last digit either way."""
    text = cell.strip().rstrip("*")
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise DataError(f"{where}: {cell!r} is no number") from None
    _require(value.is_finite(), f"{where}: {cell!r} is no number")
    _require(0 <= value <= 1, f"{where}: {cell} is no share: divide percentages by 100")
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)
    half = Decimal(5).scaleb(exponent - 1)
    return float(max(value - half, Decimal(0))), float(min(value + half, Decimal(1)))


def _metric(name: str | None) -> tuple[str, int] | None:
    """``("HR", k)`` or ``("NDCG", k)`` of a column's name."""
    found = _METRIC.fullmatch((name or "").strip())
    if not found:
        return None
    word, k = found[1].upper(), int(found[2])
    if word in _HITS:
        return "HR", k
    return ("NDCG", k) if word in _GAINS else None


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise DataError(message)
