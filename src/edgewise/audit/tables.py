"""Published tables as CSV files, and the rows in them that no ranking can produce."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgewise.audit.arithmetic import Interval, Point, checkable, impossible
from edgewise.audit.cells import (
    check_columns,
    interval_of,
    is_other_metric,
    is_printed,
    metric_of,
)
from edgewise.audit.findings import Figure, Finding, Subject
from edgewise.errors import DataError

_TABLE = Subject("published-figures", "results")


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


def points_of(metrics: Mapping[str, Interval]) -> dict[int, Point]:
    """Figures by cut-off from figures by name, such as ``HR@10``; others are left out."""
    hits: dict[int, Interval] = {}
    gains: dict[int, Interval] = {}
    for name, interval in metrics.items():
        if metric := metric_of(name):
            kind, k = metric
            (hits if kind == "HR" else gains).setdefault(k, interval)
    return {k: Point(hits.get(k), gains.get(k)) for k in hits | gains}


def published_figures(rows: list[TableRow], table: str) -> Finding:
    """One finding for a whole table."""
    checked = [row for row in rows if row.is_checkable]
    if not checked:
        return _TABLE.not_applicable(f"{table}: no row prints two figures of one ranking")
    wrong = [row.label for row in checked if row.reasons]
    figure = Figure("impossible rows", float(len(wrong)), "rows", of=len(checked))
    if not wrong:
        return _TABLE.ok(f"{table}: some ranking may have every row's figures", figure)
    return _TABLE.leak(
        f"{table}: no ranking with one held-out item a user has the figures of "
        f"{'; '.join(wrong)}: items counted more than once would look so, or figures of several "
        "runs in one row",
        figure,
        repair="count an item once, at its best place, and print metrics of the same run",
    )


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
