"""A comparison as Markdown; and the formats by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from edgewise.experiments.blocks import BEST, SECOND, Block, Comparison, Figure
from edgewise.experiments.latex import latex
from edgewise.experiments.sheet import long_csv
from edgewise.experiments.spelling import (
    DIFFERENCE_HEADS,
    LEGEND,
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

_MARKS = {0: ("", ""), BEST: ("**", "**"), SECOND: ("<u>", "</u>")}


def markdown(comparisons: Sequence[Comparison]) -> str:
    """Pages of a documentation; warnings of all of them stand first."""
    lines = [line for words in warnings_of(comparisons) for line in (words, "")]
    for each in comparisons:
        lines.extend(_page(each, repeat=len(comparisons) > 1))
    return "\n".join([*lines, LEGEND]) + "\n"


def markdown_tables(comparison: Comparison) -> Iterator[str]:
    """The lines of the tables alone, of data sets and tasks with figures of ours."""
    yield from (line for words in comparison.warnings for line in (words, ""))
    for block in (block for block in comparison.blocks if block.measured):
        yield from ("", f"**{heading(block)}**", "", *_table(comparison, block))


def _page(comparison: Comparison, repeat: bool) -> Iterator[str]:
    paper = comparison.paper
    yield from (f"## {paper.title}", "")
    source = [f"Source of the paper's figures: {paper.source}."] if paper.source else []
    warnings = comparison.warnings if repeat else ()
    for words in (*warnings, *source, *paper.notes):
        yield from (words, "")
    for block in comparison.blocks:
        yield from (f"### {heading(block)}", "", *_table(comparison, block), "")
        words = protocol_words(block)
        yield from (*(f"- {each}" for each in words), *([""] if words else []))
        if block.differences:
            yield from (f"{differences_title(block)}:", "")
            yield from (*_differences(comparison, block), "")


def _table(comparison: Comparison, block: Block) -> Iterator[str]:
    digits = digits_of(comparison, block)
    yield _line(["", *(column.head for column in block.columns)])
    yield _line(["---", *["---:"] * len(block.columns)])
    for row in block.rows:
        cells = [
            _cell(row.figures[c], digits) if c in row.figures else missing(c, row)
            for c in block.columns
        ]
        yield _line([row.label, *cells])


def _differences(comparison: Comparison, block: Block) -> Iterator[str]:
    digits = digits_of(comparison, block)
    yield _line(DIFFERENCE_HEADS)
    yield _line(["---", "---", *["---:"] * (len(DIFFERENCE_HEADS) - 2)])
    for each in block.differences:
        yield _line(difference_cells(each, digits))


def _cell(figure: Figure, digits: int | None) -> str:
    before, after = _MARKS[figure.place]
    star = "*" if figure.starred else ""
    words = (
        f"{before}{number(figure.value, digits)}{after}{star} {' '.join(spread(figure, digits))}"
    )
    return words.strip()


def _line(cells: Sequence[str]) -> str:
    return f"|{'|'.join(f' {cell} ' if cell else ' ' for cell in cells)}|"


FORMATS: dict[str, Callable[[Sequence[Comparison]], str]] = {
    "markdown": markdown,
    "csv": long_csv,
    "latex": latex,
}
