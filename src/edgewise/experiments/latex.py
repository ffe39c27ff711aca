"""A comparison as LaTeX: ``tabular`` environments that need no package."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edgewise.experiments.blocks import BEST, SECOND, Block, Comparison, Figure
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

_MARKS = {0: ("", ""), BEST: (r"\textbf{", "}"), SECOND: (r"\underline{", "}")}
_SPECIAL = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": "$<$",
    ">": "$>$",
    "|": "$|$",
    "*": "$^*$",
    "±": r"$\pm$",
}


def latex(comparisons: Sequence[Comparison]) -> str:
    """Tables, differences and notes; what leaks says so in a line that is printed."""
    lines = [_warning(words) for words in warnings_of(comparisons)]
    for each in comparisons:
        lines.extend(_page(each, repeat=len(comparisons) > 1))
    return "\n".join([*lines, _paragraph(LEGEND)]) + "\n"


def escaped(text: str) -> str:
    """Text whose every letter is printed as it stands."""
    return "".join(_SPECIAL.get(letter, letter) for letter in text)


def _page(comparison: Comparison, repeat: bool) -> Iterator[str]:
    yield f"% {comparison.name}: {comparison.paper.title}"
    if repeat:
        yield from map(_warning, comparison.warnings)
    yield from map(_paragraph, comparison.paper.notes)
    for block in comparison.blocks:
        yield from _table(comparison, block)
        yield from map(_paragraph, protocol_words(block))
        if block.differences:
            yield from _differences(comparison, block)


def _table(comparison: Comparison, block: Block) -> Iterator[str]:
    digits = digits_of(comparison, block)
    heads = [heading(block), *(column.head for column in block.columns)]
    rows = [
        [
            escaped(row.label),
            *(
                _cell(row.figures[c], digits) if c in row.figures else missing(c, row)
                for c in block.columns
            ),
        ]
        for row in block.rows
    ]
    yield from _tabular(heads, rows, "l" + "r" * len(block.columns))


def _differences(comparison: Comparison, block: Block) -> Iterator[str]:
    digits = digits_of(comparison, block)
    rows = [list(map(escaped, difference_cells(each, digits))) for each in block.differences]
    yield _paragraph(f"{differences_title(block)}:")
    yield from _tabular(DIFFERENCE_HEADS, rows, "ll" + "r" * (len(DIFFERENCE_HEADS) - 2))


def _tabular(heads: Sequence[str], rows: Sequence[Sequence[str]], columns: str) -> Iterator[str]:
    yield rf"\begin{{tabular}}{{{columns}}}"
    yield r"\hline"
    yield rf"{' & '.join(map(escaped, heads))} \\ \hline"
    yield from (rf"{' & '.join(row)} \\" for row in rows)
    yield from (r"\hline", r"\end{tabular}", "")


def _cell(figure: Figure, digits: int | None) -> str:
    before, after = _MARKS[figure.place]
    star = "$^*$" if figure.starred else ""
    words = escaped(" ".join(spread(figure, digits)))
    return f"{before}{number(figure.value, digits)}{after}{star} {words}".strip()


def _warning(words: str) -> str:
    return rf"\noindent\textbf{{{escaped(words)}}}\par"


def _paragraph(words: str) -> str:
    return rf"\noindent {escaped(words)}\par"
