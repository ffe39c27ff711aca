"""Comparisons as one page that explains itself, pictures included."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from pathlib import Path

from edgewise import __version__
from edgewise.errors import EdgewiseError
from edgewise.evaluation.protocols import PROTOCOLS
from edgewise.experiments.blocks import BEST, PAPER, SECOND, Block, Column, Comparison, Row
from edgewise.experiments.figures import drawn
from edgewise.experiments.layout import HONEST
from edgewise.experiments.spelling import (
    DIFFERENCE_HEADS,
    LEGEND,
    difference_cells,
    digits_of,
    heading,
    label_of,
    missing,
    number,
    protocol_words,
    spread,
)
from edgewise.reporting.tables_page import Head, PageTable, Section, TableCell, render_tables

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
    return render_tables(_TITLE, (*_WORDS, made), [_section(each) for each in comparisons])


def _section(comparison: Comparison) -> Section:
    paper = comparison.paper
    source = [f"Source of the paper's figures: {paper.source}."] if paper.source else []
    return Section(
        comparison.name.replace("/", "-") or "results",
        paper.title,
        (*source, *comparison.warnings, *paper.notes),
        list(_pictures(comparison)),
        [_table(comparison, block) for block in comparison.blocks],
    )


def _pictures(comparison: Comparison) -> Iterator[tuple[str, str]]:
    try:
        picture = drawn(comparison)
    except EdgewiseError:
        picture = None  # without the extra "plots" the tables stand alone
    if picture is not None:
        yield comparison.paper.title, _address(picture)
    for title, file in comparison.pictures.items():
        yield f"{comparison.paper.title} ({title})", _address(Path(file).read_bytes())


def _address(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def _table(comparison: Comparison, block: Block) -> PageTable:
    digits = digits_of(comparison, block)
    rows = [_row(block, row, digits) for row in block.rows]
    reference = block.reference if block.differences else None
    strong = {n for n, row in enumerate(block.rows) if row.method == reference}
    heads = [Head("row"), *map(_head, block.columns)]
    notes = protocol_words(block)
    more = _differences(block, digits) if block.differences else None
    return PageTable(heading(block), heads, rows, notes, frozenset(strong), more)


def _head(column: Column) -> Head:
    group = Column(column.metric, HONEST).head
    protocol = PROTOCOLS.get(column.origin)
    leaks = protocol is not None and not protocol.is_honest
    names = {PAPER: "paper", HONEST: "ours, honest"}
    return Head(names.get(column.origin, f"ours, {column.origin}"), group, leaks)


def _row(block: Block, row: Row, digits: int | None) -> list[TableCell]:
    return [TableCell(row.label, row.label), *(_cell(row, c, digits) for c in block.columns)]


def _cell(row: Row, column: Column, digits: int | None) -> TableCell:
    figure = row.figures.get(column)
    if figure is None:
        return TableCell(missing(column), faint=True)
    text = number(figure.value, digits) + ("*" if figure.starred else "")
    return TableCell(
        text, figure.value, tuple(spread(figure, digits)), _MARKS.get(figure.place, "")
    )


def _differences(block: Block, digits: int | None) -> PageTable:
    title = f"{label_of(block, block.reference)} less the others: is it more than chance?"
    rows = []
    for each in block.differences:
        name, metric, value, *p_values = difference_cells(each, digits)
        raw = (each.p_users, each.p_holm, each.p_seeds)
        tested = [TableCell(t, v, faint=v is None) for t, v in zip(p_values, raw, strict=True)]
        difference = TableCell(value, each.estimate.mean)
        rows.append([TableCell(name, name), TableCell(metric, metric), difference, *tested])
    return PageTable(title, [Head(name) for name in DIFFERENCE_HEADS], rows)
