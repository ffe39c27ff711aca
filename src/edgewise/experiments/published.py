"""What a paper prints in a table or figure: facts, typed into a csv file beside the table's rows.

The figures of ``configs/elmrec/table-2.toml`` stand in ``configs/elmrec/table-2.csv``. Lines that
begin with ``#`` tell of the table, ``# key: value``; the rest is csv with the columns ``dataset,
task, method, label`` and one column a metric, empty where the paper prints nothing:

.. code-block:: text

    # title: Performance comparison on direct recommendation
    # source: ELMRec (EMNLP 2024), Table 2
    # reference: elmrec
    # released: elmrec-released
    dataset,task,method,label,HitRate@10,NDCG@10
    beauty,direct,elmrec,ELMRec,0.6794,0.4973
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from edgewise.config import check, nearest
from edgewise.errors import ConfigError

_FIRST = ("dataset", "task", "method", "label")
_BETTER = ("high", "low", "none")
BEST_ROW = "best"
ANY = "*"
"""A row of this data set gives a method's label, and no figures."""


@dataclass(frozen=True)
class PaperRow:
    """One row: a method's figures on a data set and task, by metric."""

    dataset: str
    task: str
    method: str
    label: str
    figures: Mapping[str, float]


@dataclass(frozen=True)
class Panel:
    """One panel of a figure: figures over a setting.

    Attributes:
        methods: patterns of rows' names, such as ``alpha-*``, with spaces between.
        setting: ``section.key`` of the value on the horizontal axis.
        label: of that axis.
    """

    methods: str
    setting: str
    label: str


@dataclass(frozen=True)
class Paper:
    """A table or figure of a paper.

    Attributes:
        title, source: what it is, and where it is printed.
        reference: the method that the others are compared with; :data:`BEST_ROW` for whichever is
            best by the last column.
        released: the protocol of the code that the paper's authors released.
        better: whether ``high`` figures are good, ``low`` ones, or none is (``none``).
        digits: after the decimal point; None (``any``) for four that count.
        by_dataset: whether rows are data sets instead of methods (``# rows: datasets``).
        notes: what a reader should know.
        panels: of a figure.
        also: rows whose results another table has (``# also: paper/table-2 full``), as a table, a
            method there, and the row here (``# also: paper/table-2 full-wide as full``).
        differs: why a row of ours is not what is printed, in a sentence, by method
            (``# differs: full | Ours learns with another loss.``).
        metrics: all columns, in order; those of a table without figures are named
            (``# metrics: HitRate@10, NDCG@10``), or all that were measured.
        rows: as printed.
    """

    title: str = ""
    source: str = ""
    reference: str | None = None
    released: str | None = None
    better: str = "high"
    digits: int | None = 4
    by_dataset: bool = False
    notes: tuple[str, ...] = ()
    panels: tuple[Panel, ...] = ()
    also: tuple[tuple[str, str, str], ...] = ()
    differs: Mapping[str, str] = field(default_factory=dict)
    metrics: tuple[str, ...] = ()
    rows: tuple[PaperRow, ...] = field(default=())

    def label(self, method: str, task: str) -> str:
        """What the paper calls a method, on whichever data set; its own name if nothing."""
        rows = [row for row in self.rows if row.method == method]
        own = [row.label for row in rows if row.task == task]
        return next(iter(own or [row.label for row in rows]), method)

    def printed(self, dataset: str, task: str) -> list[PaperRow]:
        """The rows of a data set and task."""
        return [row for row in self.rows if (row.dataset, row.task) == (dataset, task)]

    def order(self, method: str, task: str) -> int:
        """The place of a method among the paper's rows of a task; the last for others."""
        methods = [row.method for row in self.rows if row.task == task]
        return methods.index(method) if method in methods else len(methods)


def read_paper(configs: Path, table: str) -> Paper:
    """What stands beside a table's rows; an empty one where nothing does.

    Args:
        configs: the folder of tables.
        table: such as ``elmrec/table-4``.

    Raises:
        ConfigError: a line cannot be read.
    """
    file = paper_file(configs, table)
    if not file.is_file():
        return Paper(title=PurePosixPath(table).name)
    lines = list(enumerate(file.read_text(encoding="utf-8").splitlines(), start=1))
    about = [(number, line) for number, line in lines if line.startswith("#")]
    printed = [(number, line) for number, line in lines if line and not line.startswith("#")]
    check(bool(printed), f"{file}: no line of columns; begin it with {','.join(_FIRST)}")
    (number, heads), *rows = printed
    names = heads.split(",")
    begins = tuple(names[:4]) == _FIRST
    check(begins, f"{file} line {number}: columns must begin with {','.join(_FIRST)}")
    paper = _about(file, about)
    metrics = tuple(names[4:]) or paper.metrics
    paper = replace(paper, metrics=metrics, rows=tuple(_rows(file, names, rows)))
    methods = dict.fromkeys(row.method for row in paper.rows)
    for method in paper.differs:
        check(method in methods, f"{file}: differs: no row {method!r}.{nearest(method, methods)}")
    return paper


def paper_file(configs: Path, table: str) -> Path:
    """Where the figures of a table stand, whether there are any or not."""
    return configs / f"{table}.csv"


def printed_tables(configs: Path, name: str) -> Iterator[str]:
    """Tables with figures that bear the name, or stand in a folder of the name."""
    own = paper_file(configs, name)
    files = [own] if own.is_file() else sorted((configs / name).rglob("*.csv"), key=_by_number)
    for file in files:
        yield file.relative_to(configs).with_suffix("").as_posix()


def _by_number(file: Path) -> tuple[str, str, int]:
    """``table-2`` before ``table-10``, tables before figures."""
    kind, _, number = file.stem.partition("-")
    order = {"table": "0", "figure": "1"}.get(kind, kind)
    return str(file.parent), order, int(number) if number.isdigit() else 0


_TEXTS = ("title", "source", "reference", "released", "better")
_KEYS = (*_TEXTS, "digits", "rows", "metrics", "note", "also", "differs", "panel")


def _about(file: Path, lines: list[tuple[int, str]]) -> Paper:
    paper = Paper()
    for number, line in lines:
        key, _, value = (part.strip() for part in line.lstrip("#").partition(":"))
        check(key in _KEYS, f"{file} line {number}: unknown key {key!r}.{nearest(key, _KEYS)}")
        paper = replace(paper, **_told(paper, key, value, f"{file} line {number}"))
    check(paper.better in _BETTER, f"{file}: better: {paper.better}.{nearest('', _BETTER)}")
    return paper


def _told(paper: Paper, key: str, value: str, where: str) -> dict[str, Any]:
    """What a line ``# key: value`` changes."""
    match key:
        case "digits":
            check(value == "any" or value.isdigit(), f"{where}: digits: a number, or any")
            return {"digits": None if value == "any" else int(value)}
        case "rows":
            return {"by_dataset": value == "datasets"}
        case "metrics":
            return {"metrics": tuple(name.strip() for name in value.split(","))}
        case "note":
            return {"notes": (*paper.notes, value)}
        case "also":
            table, _, rest = value.partition(" ")
            method, _, row = (part.strip() for part in rest.partition(" as "))
            return {"also": (*paper.also, (table, method, row or method))}
        case "differs":
            method, bar, words = (part.strip() for part in value.partition("|"))
            check(bool(bar and words), f"{where}: a difference is method | sentence")
            return {"differs": {**paper.differs, method: words}}
        case "panel":
            return {"panels": (*paper.panels, _panel(where, value))}
        case _:
            return {key: value}


def _panel(where: str, value: str) -> Panel:
    parts = [part.strip() for part in value.split("|")]
    check(len(parts) == 3, f"{where}: a panel is names | section.key | label of the axis")
    return Panel(*parts)


def _rows(file: Path, names: list[str], lines: list[tuple[int, str]]) -> Iterator[PaperRow]:
    cells = csv.reader(line for _, line in lines)
    for (number, _), values in zip(lines, cells, strict=True):
        check(
            len(values) == len(names),
            f"{file} line {number}: {len(values)} columns instead of {len(names)}",
        )
        try:
            pairs = zip(names[4:], values[4:], strict=True)
            figures = {name: float(value) for name, value in pairs if value}
        except ValueError as error:
            raise ConfigError(f"{file} line {number}: {error}") from None
        dataset, task, method, label = values[:4]
        yield PaperRow(dataset, task, method, label, figures)
