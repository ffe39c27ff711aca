"""How figures, differences and conditions are spelled, whatever the format.

A comparison as csv: one line a figure, ours and the papers', with everything known of it.

A comparison as LaTeX: ``tabular`` environments that need no package.

Comparisons as one page that explains itself, pictures included.

A comparison as Markdown; and the formats by name.

Tables by their names: those of which a paper prints figures.
"""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from edgewise import __version__
from edgewise.errors import EdgewiseError
from edgewise.evaluation.protocols import PROTOCOLS
from edgewise.experiments.compare import (
    BEST,
    PAPER,
    SECOND,
    Block,
    Column,
    Comparison,
    Difference,
    Figure,
    Row,
    asked_cells,
)
from edgewise.experiments.grid import HONEST, Layout
from edgewise.experiments.published import printed_tables, read_paper
from edgewise.experiments.results import Result, find_results, read_result
from edgewise.reporting.page_parts import Head, PagePicture, PageTable, Section, TableCell
from edgewise.reporting.tables_page import render_tables

NOT_YET = "not yet"
NOT_PRINTED = "-"
NOTHING_YET = "nothing of it has been run yet: what the paper prints"
_NAMES = {"direct": "direct recommendation", "sequential": "sequential recommendation",
          "explanation": "explanation", "time": "seconds", "data": "statistics",
          "users": "users: share of neighbours of the same colour",
          "items": "items: share of neighbours of the same colour"}  # fmt: skip


def missing(column: Column, row: Row) -> str:
    """What stands where a figure is missing: never a number.

    A row that was measured under the column's protocol, but without its metric, is not to come.
    """
    measured = any(known.origin == column.origin for known in row.figures)
    return NOT_PRINTED if column.origin == PAPER or measured else NOT_YET


def digits_of(comparison: Comparison, block: Block) -> int | None:
    """Digits after the decimal point: texts are measured in percent. None: four that count."""
    return 2 if block.task == "explanation" else comparison.paper.digits


def number(value: float, digits: int | None, sign: str = "") -> str:
    """A figure; whole numbers without a point."""
    if float(value).is_integer() and value > 1:
        return f"{value:,.0f}"
    return f"{value:{sign}.4g}" if digits is None else f"{value:{sign}.{digits}f}"


def spread(figure: Figure, digits: int | None) -> list[str]:
    """The deviation over seeds and the interval over users, as far as they are known."""
    parts: list[str] = []
    if figure.deviation is not None:
        parts.append(f"± {number(figure.deviation, digits)}")
    if figure.low is not None and figure.high is not None:
        parts.append(f"({number(figure.low, digits)} to {number(figure.high, digits)})")
    return parts


def heading(block: Block) -> str:
    """The data set and task of a block."""
    return f"{block.dataset}, {_NAMES.get(block.task, block.task)}"


def warnings_of(comparisons: Iterable[Comparison]) -> list[str]:
    """What is to be said first: under which protocols figures leak, each once."""
    return list(dict.fromkeys(words for each in comparisons for words in each.warnings))


def differences_title(block: Block) -> str:
    """What stands above a block's differences."""
    named = (row.label for row in block.rows if row.method == block.reference)
    return f"{next(named, block.reference or '')} less the others"


def protocol_words(block: Block) -> list[str]:
    """Under which conditions ours were measured, one line a protocol."""
    return [f"{protocol}: {words}" for protocol, words in block.conditions.items()]


def p_value(value: float | None) -> str:
    """A p-value, never as zero."""
    if value is None:
        return NOT_PRINTED
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


DIFFERENCE_HEADS = ("less", "metric", "difference", "p, users", "p, Holm", "p, seeds")


def difference_cells(each: Difference, digits: int | None) -> list[str]:
    """One difference as texts under :data:`DIFFERENCE_HEADS`."""
    low, high = each.estimate.low, each.estimate.high
    value = number(each.estimate.mean, digits, "+")
    if low is not None and high is not None:
        value += f" ({number(low, digits, '+')} to {number(high, digits, '+')})"
    values = [p_value(p) for p in (each.p_users, each.p_holm, each.p_seeds)]
    return [each.label, each.column.head, value, *values]


LEGEND = (
    "Best figures of a column are bold, second best ones underlined. In brackets: 95 % bootstrap "
    "interval over users; ±: standard deviation over seeds. A star: better than every other row "
    "of the column, paired bootstrap over users, p < .05 after Holm. '"
    f"{NOT_YET}': no run of it; '{NOT_PRINTED}': not printed in the paper, or not part of the "
    "measurement. Columns without a protocol's name are "
    f"under the protocol '{HONEST}'."
)


_COLUMNS = (
    *("table", "dataset", "task", "method", "label", "metric", "origin", "leaks"),
    *("value", "low", "high", "deviation", "seeds", "per_seed", "place", "star"),
    *("less_than_reference", "p_users", "p_holm", "p_seeds", "notes"),
)
_NUM_KNOWN, _NUM_AGAINST = 8, 4


def long_csv(comparisons: Sequence[Comparison]) -> str:
    """The sheet. ``leaks`` is yes or no for figures of ours, and empty for the papers'."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for each in comparisons:
        for block in each.blocks:
            writer.writerows(_lines(each, block))
    return out.getvalue()


def _lines(comparison: Comparison, block: Block) -> Iterator[Sequence[object]]:
    differences = {(each.method, each.column): each for each in block.differences}
    for row in block.rows:
        named = [comparison.name, block.dataset, block.task, row.method, row.label]
        for column in block.columns:
            figure = row.figures.get(column)
            where = [*named, column.metric, column.origin, _leaks(column.origin)]
            against = _against(differences.get((row.method, column)))
            known = [missing(column, row), *[""] * (_NUM_KNOWN - 1)]
            if figure is not None:
                known = _known(figure)
            yield [*where, *known, *against, _notes(comparison, column.origin)]


def _leaks(origin: str) -> str:
    protocol = PROTOCOLS.get(origin)
    if protocol is None:
        return ""
    return "no" if protocol.is_honest else "yes"


def _notes(comparison: Comparison, origin: str) -> str:
    """Why the line's figure leaks, if it does, and the notes of the table."""
    warnings = comparison.warnings if _leaks(origin) == "yes" else ()
    own = (words for words in warnings if f" {origin} " in words)
    return " ".join([*own, *comparison.paper.notes])


def _known(figure: Figure) -> list[object]:
    seeds = " ".join(f"{seed}:{value:.6g}" for seed, value in figure.seeds.items())
    ends = ["" if value is None else value for value in (figure.low, figure.high)]
    deviation = "" if figure.deviation is None else figure.deviation
    star = "*" if figure.starred else ""
    marks = [len(figure.seeds), seeds, figure.place or "", star]
    return [figure.value, *ends, deviation, *marks]


def _against(each: Difference | None) -> list[object]:
    if each is None:
        return [""] * _NUM_AGAINST
    values = (each.estimate.mean, each.p_users, each.p_holm, each.p_seeds)
    return ["" if value is None else value for value in values]


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


_TITLE = "What the papers print, and what we measured"
_WORDS = (
    "Every figure of ours comes from a committed configuration and a sealed result file. Where a "
    "paper's released code lets the model see what it is tested on, the same model was also "
    "measured under those conditions: such columns are marked, and explain the paper's figures; "
    "they are no measure of quality.",
    LEGEND + " Click on a column's head to sort.",
)
_MARKS_html = {BEST: "best", SECOND: "second"}


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
        [_table_html(comparison, block) for block in comparison.blocks],
    )


def _pictures(comparison: Comparison) -> Iterator[PagePicture]:
    title = comparison.paper.title
    try:
        from edgewise.experiments.plots import drawn_panels

        panels = list(drawn_panels(comparison))
    except EdgewiseError:
        panels = []  # without the extra "plots" the tables stand alone
    for words, content in panels:
        yield PagePicture(f"{title} ({words})", _address(content))
    for words, file in comparison.pictures.items():
        from edgewise.experiments.plots import compressed

        content = compressed(Path(file).read_bytes())
        yield PagePicture(f"{title} ({words})", _address(content), wide=True)


def _address(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def _table_html(comparison: Comparison, block: Block) -> PageTable:
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
        _differences_html(block, digits) if block.differences else None,
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
    return [TableCell(row.label, row.label), *(_cell_html(row, c, digits) for c in columns)]


def _cell_html(row: Row, column: Column, digits: int | None) -> TableCell:
    figure = row.figures.get(column)
    if figure is None:
        return TableCell(missing(column, row), faint=True)
    text = number(figure.value, digits) + ("*" if figure.starred else "")
    return TableCell(
        text, figure.value, tuple(spread(figure, digits)), _MARKS_html.get(figure.place, "")
    )


def _differences_html(block: Block, digits: int | None) -> PageTable:
    title = f"{differences_title(block)}: is it more than chance?"
    rows = []
    for each in block.differences:
        name, metric, value, *p_values = difference_cells(each, digits)
        raw = (each.p_users, each.p_holm, each.p_seeds)
        tested = [TableCell(t, v, faint=v is None) for t, v in zip(p_values, raw, strict=True)]
        difference = TableCell(value, each.estimate.mean)
        rows.append([TableCell(name, name), TableCell(metric, metric), difference, *tested])
    return PageTable(title, [Head(name) for name in DIFFERENCE_HEADS], rows)


_MARKS_formats = {0: ("", ""), BEST: ("**", "**"), SECOND: ("<u>", "</u>")}


def markdown(comparisons: Sequence[Comparison]) -> str:
    """Pages of a documentation; warnings of all of them stand first."""
    lines = [line for words in warnings_of(comparisons) for line in (words, "")]
    for each in comparisons:
        lines.extend(_page_formats(each, repeat=len(comparisons) > 1))
    return "\n".join([*lines, LEGEND]) + "\n"


def markdown_tables(comparison: Comparison) -> Iterator[str]:
    """The lines of the tables alone, of data sets and tasks with figures of ours."""
    yield from (line for words in comparison.warnings for line in (words, ""))
    for block in (block for block in comparison.blocks if block.measured):
        yield from ("", f"**{heading(block)}**", "", *_table_formats(comparison, block))


def _page_formats(comparison: Comparison, repeat: bool) -> Iterator[str]:
    paper = comparison.paper
    yield from (f"## {paper.title}", "")
    source = [f"Source of the paper's figures: {paper.source}."] if paper.source else []
    warnings = comparison.warnings if repeat else ()
    for words in (*warnings, *source, *paper.notes):
        yield from (words, "")
    for block in comparison.blocks:
        yield from (f"### {heading(block)}", "", *_table_formats(comparison, block), "")
        words = protocol_words(block)
        yield from (*(f"- {each}" for each in words), *([""] if words else []))
        if block.differences:
            yield from (f"{differences_title(block)}:", "")
            yield from (*_differences_formats(comparison, block), "")


def _table_formats(comparison: Comparison, block: Block) -> Iterator[str]:
    digits = digits_of(comparison, block)
    yield _line(["", *(column.head for column in block.columns)])
    yield _line(["---", *["---:"] * len(block.columns)])
    for row in block.rows:
        cells = [
            _cell_formats(row.figures[c], digits) if c in row.figures else missing(c, row)
            for c in block.columns
        ]
        yield _line([row.label, *cells])


def _differences_formats(comparison: Comparison, block: Block) -> Iterator[str]:
    digits = digits_of(comparison, block)
    yield _line(DIFFERENCE_HEADS)
    yield _line(["---", "---", *["---:"] * (len(DIFFERENCE_HEADS) - 2)])
    for each in block.differences:
        yield _line(difference_cells(each, digits))


def _cell_formats(figure: Figure, digits: int | None) -> str:
    before, after = _MARKS_formats[figure.place]
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


def tables_below(layout: Layout, name: str) -> Iterator[str]:
    """Tables that bear the name or stand in a folder of the name, in the order of numbers."""
    bare = name.removeprefix(f"{layout.configs}/").removeprefix(f"{layout.results}/")
    yield from printed_tables(layout.configs, bare.rstrip("/"))


def results_of(layout: Layout, name: str, *, allow_unsealed: bool = False) -> list[Result]:
    """The results that a name stands for, with those that its tables borrow from others.

    Args:
        layout: where everything is.
        name: a file, a folder, or a table.
        allow_unsealed: see :func:`edgewise.experiments.results.read_result`.

    Raises:
        EdgewiseError: there is nothing of the name, or a file cannot be believed.
    """
    tables = list(tables_below(layout, name))
    files = find_results(layout, name, bool(tables))
    own = [read_result(file, layout.results, allow_unsealed=allow_unsealed) for file in files]
    return own + [result for table in tables for result in _borrowed(layout, table, allow_unsealed)]


def _borrowed(layout: Layout, table: str, allow_unsealed: bool) -> Iterator[Result]:
    """Rows of other tables, for data sets of which this table has rows of its own."""
    paper = read_paper(layout.configs, table)
    own = {row.dataset for row in (*paper.rows, *asked_cells(layout.configs, table))}
    own |= {file.parent.name for file in (layout.results / table).glob("*/*.json")}
    for source, method in paper.also:
        for file in sorted((layout.results / source).glob(f"*/{method}*.json")):
            if file.parent.name not in own:
                continue
            found = read_result(file, layout.results, allow_unsealed=allow_unsealed)
            if found.place.method == method and not found.place.raw_lists:
                yield replace(found, place=replace(found.place, table=table), home=found.place)
