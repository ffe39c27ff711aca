"""Comparisons as one page that explains itself, pictures included."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from pathlib import Path

from edgewise import __version__
from edgewise.errors import EdgewiseError
from edgewise.evaluation.protocols import PROTOCOLS
from edgewise.experiments.blocks import BEST, PAPER, SECOND, Block, Column, Comparison, Row
from edgewise.experiments.drawing import compressed
from edgewise.experiments.figures import drawn_panels
from edgewise.experiments.layout import HONEST
from edgewise.experiments.spelling import (
    DIFFERENCE_HEADS,
    LEGEND,
    NOTHING_YET,
    difference_cells,
    differences_title,
    digits_of,
    heading,
    missing,
    number,
    protocol_words,
    spread,
    warnings_of,
)
from edgewise.reporting.page_parts import Head, PagePicture, PageTable, Section, TableCell
from edgewise.reporting.tables_page import render_tables

_TITLE = "What the papers print, and what we measured"
_WORDS = (
    "Every figure of ours comes from a committed configuration and a sealed result file. Where a "
    "paper's released code lets the model see what it is tested on, the same model was also "
    "measured under those conditions: such columns are marked, and explain the paper's figures; "
    "they are no measure of quality.",
    LEGEND + " Click on a column's head to sort.",
)
_MARKS = {BEST: "best", SECOND: "second"}


def report_page(comparisons: Sequence[Comparison]) -> str:
    """The page; nothing is loaded from a network."""
    made = f"Made by edgewise {__version__}."
    sections = [_section(each, repeat=len(comparisons) > 1) for each in comparisons]
    return render_tables(_TITLE, (*_WORDS, made), sections, warnings_of(comparisons))


def _section(comparison: Comparison, repeat: bool) -> Section:
    paper = comparison.paper
    source = [f"Source of the paper's figures: {paper.source}."] if paper.source else []
    return Section(
        comparison.name.replace("/", "-") or "results",
        paper.title,
        (*source, *paper.notes),
        comparison.warnings if repeat else (),
        list(_pictures(comparison)),
        [_table(comparison, block) for block in comparison.blocks],
    )


def _pictures(comparison: Comparison) -> Iterator[PagePicture]:
    title = comparison.paper.title
    try:
        panels = list(drawn_panels(comparison))
    except EdgewiseError:
        panels = []  # without the extra "plots" the tables stand alone
    for words, content in panels:
        yield PagePicture(f"{title} ({words})", _address(content))
    for words, file in comparison.pictures.items():
        content = compressed(Path(file).read_bytes())
        yield PagePicture(f"{title} ({words})", _address(content), wide=True)


def _address(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def _table(comparison: Comparison, block: Block) -> PageTable:
    digits = digits_of(comparison, block)
    columns = _honest_first(block)
    rows = [_row(row, columns, digits) for row in block.rows]
    reference = block.reference if block.differences else None
    strong = {n for n, row in enumerate(block.rows) if row.method == reference}
    return PageTable(
        heading(block),
        [Head("row"), *map(_head, columns)],
        rows,
        protocol_words(block),
        frozenset(strong),
        _differences(block, digits) if block.differences else None,
        "" if block.measured else NOTHING_YET,
    )


def _honest_first(block: Block) -> list[Column]:
    """Each metric's honest column before its others: a telephone shows only the first ones."""
    metrics = list(dict.fromkeys(column.metric for column in block.columns))
    order = {HONEST: 0, PAPER: 1}
    return sorted(
        block.columns, key=lambda c: (metrics.index(c.metric), order.get(c.origin, len(order)))
    )


def _head(column: Column) -> Head:
    group = Column(column.metric, HONEST).head
    protocol = PROTOCOLS.get(column.origin)
    leaks = protocol is not None and not protocol.is_honest
    names = {PAPER: "paper", HONEST: "ours, honest"}
    return Head(names.get(column.origin, f"ours, {column.origin}"), group, leaks)


def _row(row: Row, columns: Sequence[Column], digits: int | None) -> list[TableCell]:
    return [TableCell(row.label, row.label), *(_cell(row, c, digits) for c in columns)]


def _cell(row: Row, column: Column, digits: int | None) -> TableCell:
    figure = row.figures.get(column)
    if figure is None:
        return TableCell(missing(column, row), faint=True)
    text = number(figure.value, digits) + ("*" if figure.starred else "")
    return TableCell(
        text, figure.value, tuple(spread(figure, digits)), _MARKS.get(figure.place, "")
    )


def _differences(block: Block, digits: int | None) -> PageTable:
    title = f"{differences_title(block)}: is it more than chance?"
    rows = []
    for each in block.differences:
        name, metric, value, *p_values = difference_cells(each, digits)
        raw = (each.p_users, each.p_holm, each.p_seeds)
        tested = [TableCell(t, v, faint=v is None) for t, v in zip(p_values, raw, strict=True)]
        difference = TableCell(value, each.estimate.mean)
        rows.append([TableCell(name, name), TableCell(metric, metric), difference, *tested])
    return PageTable(title, [Head(name) for name in DIFFERENCE_HEADS], rows)
