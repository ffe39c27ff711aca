"""A comparison as Markdown, csv or LaTeX."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence

from edgewise.experiments.blocks import BEST, SECOND, Block, Comparison, Difference, Figure
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

Marks = dict[int, tuple[str, str]]
_MARKDOWN: Marks = {0: ("", ""), BEST: ("**", "**"), SECOND: ("<u>", "</u>")}
_LATEX: Marks = {0: ("", ""), BEST: (r"\textbf{", "}"), SECOND: (r"\underline{", "}")}
_SPECIAL = {c: f"\\{c}" for c in "&%$#_{}"} | {"±": r"$\pm$", "<": "$<$", "*": r"$^*$"}


def markdown(comparisons: Sequence[Comparison]) -> str:
    """Pages of a documentation."""
    pages = [line for each in comparisons for line in _page(each)]
    return "\n".join([*pages, LEGEND]) + "\n"


def markdown_tables(comparison: Comparison) -> Iterator[str]:
    """The lines of the tables alone, of data sets and tasks with figures of ours."""
    yield from (line for words in comparison.warnings for line in (words, ""))
    for block in (block for block in comparison.blocks if block.measured):
        yield from ("", f"**{heading(block)}**", "", *_table(comparison, block))


def latex(comparisons: Sequence[Comparison]) -> str:
    """``tabular`` environments that need no package."""
    return "\n".join(line for each in comparisons for line in _tabulars(each)) + "\n"


def long_csv(comparisons: Sequence[Comparison]) -> str:
    """One line a figure, ours and the papers', with everything that is known of it."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for each in comparisons:
        for block in each.blocks:
            writer.writerows(_lines(each, block))
    return out.getvalue()


_COLUMNS = (
    *("table", "dataset", "task", "method", "label", "metric", "origin", "value", "low", "high"),
    *("deviation", "seeds", "per_seed", "place", "star", "less_than_reference", "p_users"),
    *("p_holm", "p_seeds"),
)


def _page(comparison: Comparison) -> Iterator[str]:
    paper = comparison.paper
    yield from (f"## {paper.title}", "")
    if paper.source:
        yield from (f"Source of the paper's figures: {paper.source}.", "")
    notes = (*comparison.warnings, *paper.notes)
    yield from (line for note in notes for line in (note, ""))
    for block in comparison.blocks:
        yield from (f"### {heading(block)}", "", *_table(comparison, block), "")
        words = protocol_words(block)
        yield from (*(f"- {each}" for each in words), *([""] if words else []))
        if block.differences:
            yield from (f"{label_of(block, block.reference)} less the others:", "")
            yield from (*_differences(comparison, block), "")


def _table(comparison: Comparison, block: Block) -> Iterator[str]:
    digits = digits_of(comparison, block)
    yield _line(["", *(column.head for column in block.columns)])
    yield _line(["---", *["---:"] * len(block.columns)])
    for row in block.rows:
        cells = [
            _cell(row.figures[c], digits, _MARKDOWN) if c in row.figures else missing(c)
            for c in block.columns
        ]
        yield _line([row.label, *cells])


def _differences(comparison: Comparison, block: Block) -> Iterator[str]:
    digits = digits_of(comparison, block)
    yield _line(DIFFERENCE_HEADS)
    yield _line(["---", "---", *["---:"] * (len(DIFFERENCE_HEADS) - 2)])
    for each in block.differences:
        yield _line(difference_cells(each, digits))


def _cell(figure: Figure, digits: int | None, marks: Marks) -> str:
    before, after = marks[figure.place]
    star = "*" if figure.starred else ""
    words = (
        f"{before}{number(figure.value, digits)}{after}{star} {' '.join(spread(figure, digits))}"
    )
    return words.strip()


def _line(cells: Sequence[str]) -> str:
    return f"|{'|'.join(f' {cell} ' if cell else ' ' for cell in cells)}|"


def _tabulars(comparison: Comparison) -> Iterator[str]:
    for block in comparison.blocks:
        digits = digits_of(comparison, block)
        yield from (f"% {words}" for words in comparison.warnings)
        yield f"% {comparison.name}: {comparison.paper.title}"
        yield rf"\begin{{tabular}}{{l{'r' * len(block.columns)}}}"
        yield r"\hline"
        heads = [_escaped(heading(block)), *(_escaped(column.head) for column in block.columns)]
        yield rf"{' & '.join(heads)} \\ \hline"
        for row in block.rows:
            cells = [
                _latex_cell(row.figures[c], digits) if c in row.figures else missing(c)
                for c in block.columns
            ]
            yield rf"{' & '.join([_escaped(row.label), *cells])} \\"
        yield from (r"\hline", r"\end{tabular}", "")


def _latex_cell(figure: Figure, digits: int | None) -> str:
    before, after = _LATEX[figure.place]
    star = "$^*$" if figure.starred else ""
    words = _escaped(" ".join(spread(figure, digits)))
    return f"{before}{number(figure.value, digits)}{after}{star} {words}".strip()


def _escaped(text: str) -> str:
    return "".join(_SPECIAL.get(letter, letter) for letter in text)


def _lines(comparison: Comparison, block: Block) -> Iterator[Sequence[object]]:
    differences = {(each.method, each.column): each for each in block.differences}
    for row in block.rows:
        named = [comparison.name, block.dataset, block.task, row.method, row.label]
        for column in block.columns:
            figure = row.figures.get(column)
            where = [*named, column.metric, column.origin]
            if figure is None:
                yield [*where, missing(column)] + [""] * (len(_COLUMNS) - len(where) - 1)
            else:
                yield [*where, *_known(figure), *_against(differences.get((row.method, column)))]


def _known(figure: Figure) -> list[object]:
    seeds = " ".join(f"{seed}:{value:.6g}" for seed, value in figure.seeds.items())
    ends = ["" if value is None else value for value in (figure.low, figure.high)]
    deviation = "" if figure.deviation is None else figure.deviation
    star = "*" if figure.starred else ""
    marks = [len(figure.seeds), seeds, figure.place or "", star]
    return [figure.value, *ends, deviation, *marks]


def _against(each: Difference | None) -> list[object]:
    if each is None:
        return [""] * 4
    values = (each.estimate.mean, each.p_users, each.p_holm, each.p_seeds)
    return ["" if value is None else value for value in values]


FORMATS: dict[str, Callable[[Sequence[Comparison]], str]] = {
    "markdown": markdown,
    "csv": long_csv,
    "latex": latex,
}
