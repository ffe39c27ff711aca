"""A comparison as Markdown, csv, LaTeX, or one page that explains itself.

All but the csv are templates that show the same texts: of every table its blocks, of every block
heads, rows of cells, conditions, and differences. How figures are spelled is said here, once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import polars as pl

from edgewise import __version__
from edgewise.errors import EdgewiseError
from edgewise.evaluation.protocols import PROTOCOLS
from edgewise.experiments.compare import Comparison, PaperTable
from edgewise.experiments.figures import BEST, PAPER, SECOND
from edgewise.experiments.grid import HONEST
from edgewise.experiments.published import Paper
from edgewise.experiments.results import TIME
from edgewise.experiments.user_tests import best_first
from edgewise.reporting.render import data_address, render

NOT_YET = "not yet"
NOT_PRINTED = "-"
NOTHING_YET = "nothing of it has been run yet: what the paper prints"
LEGEND = (
    "Best figures of a column are bold, second best ones underlined. In brackets: 95 % bootstrap "
    "interval over users; ±: standard deviation over seeds. A star: better than every other row "
    "of the column, paired bootstrap over users, p < .05 after Holm. '"
    f"{NOT_YET}': no run of it; '{NOT_PRINTED}': not printed in the paper, or not part of the "
    "measurement. Columns without a protocol's name are "
    f"under the protocol '{HONEST}'. Seconds of training and users answered a second are the "
    "honest run's where there is one; a rate with '≥' is of an older file, whose time is that of "
    "metrics, too."
)
RUNS_LEGEND = (
    "Best figures of a column are bold, second best ones underlined. In brackets: 95 % bootstrap "
    "interval over users. A star: better than every other row of the column, paired bootstrap over "
    f"users, p < .05 after Holm. '{NOT_PRINTED}': not part of the measurement. Columns without a "
    f"protocol's name are under the protocol '{HONEST}'."
)
EFFORT_HEADS = ("training, s", "users/s")
DIFFERENCE_HEADS = ("less", "metric", "difference", "p, users", "p, Holm", "p, seeds")
_ROW = ("method", "label")
_EXTRA = " (beyond the paper)"
_MARKS = {0: "", BEST: "best", SECOND: "second"}
_NAMES = {
    "direct": "direct recommendation",
    "sequential": "sequential recommendation",
    "explanation": "explanation",
    "time": "seconds",
    "data": "statistics",
    "users": "users: share of neighbours of the same colour",
    "items": "items: share of neighbours of the same colour",
}


# How figures are spelled.


def number(value: float, digits: int | None, sign: str = "") -> str:
    """A figure; whole numbers without a point.

    Args:
        value: the figure.
        digits: after the decimal point; None for four that count.
        sign: ``+`` to have one before positive numbers, too.
    """
    if float(value).is_integer() and value > 1:
        return f"{value:,.0f}"
    return f"{value:{sign}.4g}" if digits is None else f"{value:{sign}.{digits}f}"


def interval(low: float | None, high: float | None, digits: int | None, sign: str = "") -> str:
    """The ends of an interval in brackets; empty where they are unknown."""
    if low is None or high is None:
        return ""
    return f"({number(low, digits, sign)} to {number(high, digits, sign)})"


def p_value(value: float | None) -> str:
    """A p-value, never as zero."""
    if value is None:
        return NOT_PRINTED
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def column_head(metric: str, origin: str) -> str:
    """A column as tables call it; the honest protocol goes without saying."""
    name = metric.replace("HitRate@", "HR@")
    return name if origin == HONEST else f"{name}, {origin}"


def heading(block: pl.DataFrame) -> str:
    """The data set and task of a block."""
    dataset, task = block.select("dataset", "task").row(0)
    return f"{dataset}, {_NAMES.get(task, task)}"


def is_measured(block: pl.DataFrame) -> bool:
    """Whether any figure of a block is ours."""
    return not block.filter(pl.col("origin") != PAPER, pl.col("value").is_not_null()).is_empty()


def _missing() -> pl.Expr:
    """What stands where a figure is missing: never a number.

    A row that was measured under the column's protocol, but without its metric, is not to come.
    """
    row = ("table", "dataset", "task", "method", "label", "origin")
    measured = pl.col("value").is_not_null().any().over(row)
    never = (pl.col("origin") == PAPER) | measured
    return pl.when(never).then(pl.lit(NOT_PRINTED)).otherwise(pl.lit(NOT_YET))


# What the templates show.


def _page(comparison: Comparison) -> dict[str, Any]:
    """Everything that a text shows: warnings of all tables first, each once."""
    tables = comparison.tables.values()
    return {
        "warnings": list(dict.fromkeys(words for each in tables for words in each.warnings)),
        "tables": [_table(comparison, name, each) for name, each in comparison.tables.items()],
        "legend": RUNS_LEGEND if comparison.of_runs else LEGEND,
        "of_runs": comparison.of_runs,
        "difference_heads": DIFFERENCE_HEADS,
    }


def _table(comparison: Comparison, name: str, about: PaperTable) -> dict[str, Any]:
    paper = about.paper
    source = [f"Source of the paper's figures: {paper.source}."] if paper.source else []
    return {
        "name": name,
        "anchor": name.replace("/", "-") or "results",
        "title": paper.title,
        # A single table's warnings stand above it already.
        "warnings": list(about.warnings) if len(comparison.tables) > 1 else [],
        "source": source,
        "notes": list(paper.notes),
        "differs": list(_differs(comparison, name, paper)),
        "blocks": [_block(block, paper.digits) for block in comparison.blocks(name)],
    }


def _differs(comparison: Comparison, name: str, paper: Paper) -> Iterable[tuple[str, str]]:
    """Why rows are not what is printed, of those that have figures of ours."""
    measured = (pl.col("origin") != PAPER) & pl.col("value").is_not_null()
    shown = comparison.figures.filter(measured, table=name)
    labels = dict(shown.select("method", "label").iter_rows())
    yield from ((labels[each], words) for each, words in paper.differs.items() if each in labels)


def _block(block: pl.DataFrame, digits: int | None) -> dict[str, Any]:
    """A block's texts; ones that are measured in percent have two digits."""
    digits = 2 if block["task"][0] == "explanation" else digits
    reference, differences = _reference(block), _differences(block, digits)
    columns = block.select("metric", "origin").unique(maintain_order=True)
    rows = block.with_columns(missing=_missing()).partition_by(*_ROW, maintain_order=True)
    conditions = block.select("origin", "conditions").unique(maintain_order=True).drop_nulls()
    effort = [_effort(row) for row in rows]
    shown = [n for n, _ in enumerate(EFFORT_HEADS) if any(each[n]["value"] for each in effort)]
    return {
        "heading": heading(block),
        "measured": is_measured(block),
        "columns": [_column(*column) for column in columns.rows()],
        "effort_heads": [EFFORT_HEADS[n] for n in shown],
        "rows": [
            {
                "label": row["label"][0],
                "is_reference": bool(differences) and row["method"][0] == reference[0],
                "cells": [_cell(each, digits) for each in row.iter_rows(named=True)],
                "effort": [cells[n] for n in shown],
            }
            for row, cells in zip(rows, effort, strict=True)
        ],
        "conditions": [f"{origin}: {words}" for origin, words in conditions.rows()],
        "differences_title": f"{reference[1]} less the others",
        "differences": differences,
        "tested": _tested(block, digits),
    }


def _reference(block: pl.DataFrame) -> tuple[str | None, str]:
    """Key and name of the row that the others are compared with; rows may be data sets."""
    rows = block.filter(pl.col("method") == pl.col("reference")).select("method", "label").unique()
    method, label = rows.row(0) if len(rows) else (None, "")
    return method, "each data set's reference" if len(rows) > 1 else label


def _column(metric: str, origin: str) -> dict[str, Any]:
    protocol = PROTOCOLS.get(origin)
    names = {PAPER: "paper", HONEST: "ours, honest"}
    return {
        "head": column_head(metric, origin),
        "metric": column_head(metric, HONEST),
        "origin": names.get(origin, f"ours, {origin}"),
        "leaks": protocol is not None and not protocol.is_honest,
    }


def _cell(place: Mapping[str, Any], digits: int | None) -> dict[str, Any]:
    """One place's texts: ``spread`` holds the deviation over seeds and the interval over users."""
    value, deviation = place["value"], place["deviation"]
    if value is None:
        return {"value": None, "text": place["missing"], "spread": [], "mark": "", "star": False}
    spread = [
        "" if deviation is None else f"± {number(deviation, digits)}",
        interval(place["low"], place["high"], digits),
    ]
    return {
        "value": value,
        "text": number(value, digits),
        "spread": [words for words in spread if words],
        "mark": _MARKS[place["place"]],
        "star": place["star"],
    }


def _effort(row: pl.DataFrame) -> list[dict[str, Any]]:
    """Seconds of training and users answered a second: of the honest run where there is one."""
    ours = row.filter(pl.col("origin") != PAPER, pl.col("value").is_not_null())
    if ours.is_empty() or row["task"][0] == TIME:
        return [{"value": None, "text": NOT_PRINTED}] * len(EFFORT_HEADS)
    run = ours.sort(pl.col("origin") != HONEST, maintain_order=True).row(0, named=True)
    seconds = None if run["minutes"] is None else 60 * run["minutes"]
    users = run["users_per_second"]
    limit = "" if run["answers_alone"] else "≥ "
    return [
        {"value": seconds, "text": timing(seconds, run["trained_on"])},
        {"value": users, "text": timing(users, run["measured_on"], limit)},
    ]


def timing(value: float | None, machine: str | None, limit: str = "") -> str:
    """Seconds, or users a second, and what was computed on; a dash where nobody knows."""
    if value is None:
        return NOT_PRINTED
    spelled = f"{value:,.0f}" if value >= 10 else f"{value:.1f}"
    return f"{limit}{spelled}{f' ({machine})' if machine else ''}"


def _tested(block: pl.DataFrame, digits: int | None) -> str:
    """What tests over users say of the last column, in one sentence; empty without a test."""
    last = block["metric"].unique(maintain_order=True).to_list()[-1:]
    own = block.filter(pl.col("metric").is_in(last), origin=HONEST).drop_nulls("value")
    tested = own.drop_nulls("p_holm").sort("value", descending=True, maintain_order=True)
    if tested.is_empty():
        return ""
    method, name = _reference(block)
    labels = {key: label.removesuffix(_EXTRA) for key, label in own.select(*_ROW).iter_rows()}
    best, metric = labels[best_first(own)[0]], column_head(last[0], HONEST)
    name = name.removesuffix(_EXTRA)
    found = [
        f"{labels[each['method']]} {number(each['difference'], digits, '+')} "
        f"(p {p_value(each['p_holm'])})"
        for each in tested.iter_rows(named=True)
    ]
    other = "" if name == best else f"; compared with the others: {name}"
    words = f"Best by {metric}: {best}{other}. {name} less the others: {'; '.join(found)}."
    lacking = own.filter(pl.col("p_holm").is_null(), pl.col("method") != method)
    if len(lacking):
        names = "; ".join(labels[each] for each in lacking["method"])
        words += f" Not tested, since their users' figures are not at hand: {names}."
    return words


def _differences(block: pl.DataFrame, digits: int | None) -> list[dict[str, Any]]:
    """Differences by protocol; ``p`` has the values over users, by Holm, and over seeds."""
    known = block.filter(pl.col("difference").is_not_null())
    found = []
    for origin in block["origin"].unique(maintain_order=True):
        for each in known.filter(pl.col("origin") == origin).iter_rows(named=True):
            values = [each[name] for name in ("p_users", "p_holm", "p_seeds")]
            ends = interval(each["difference_low"], each["difference_high"], digits, "+")
            found.append(
                {
                    "label": each["label"],
                    "metric": column_head(each["metric"], each["origin"]),
                    "value": each["difference"],
                    "text": number(each["difference"], digits, "+"),
                    "interval": ends,
                    "p": [{"value": value, "text": p_value(value)} for value in values],
                }
            )
    return found


# The formats.


def markdown(comparison: Comparison) -> str:
    """Pages of a documentation; warnings of all of them stand first."""
    return render("comparison.md", **_page(comparison))


def markdown_tables(comparison: Comparison) -> str:
    """The tables alone, of data sets and tasks with figures of ours."""
    page = _page(comparison)
    for table in page["tables"]:
        table["blocks"] = [block for block in table["blocks"] if block["measured"]]
    return render("blocks.md", **page)


def latex(comparison: Comparison) -> str:
    """``tabular`` environments that need no package; what leaks says so in printed lines."""
    return render("comparison.tex", **_page(comparison))


def long_csv(comparison: Comparison) -> str:
    """One line a figure, with everything known of it.

    ``leaks`` is yes or no for figures of ours, and empty for the papers'.
    """
    honest = {name: "no" if each.is_honest else "yes" for name, each in PROTOCOLS.items()}
    lines = comparison.figures.with_columns(
        value=pl.coalesce(pl.col("value").cast(pl.String), _missing()),
        leaks=pl.col("origin").replace_strict(honest, default=None, return_dtype=pl.String),
        seeds=pl.when(pl.col("value").is_not_null()).then(pl.col("seeds").list.len().fill_null(0)),
        per_seed=pl.struct("seeds", "per_seed").map_elements(_per_seed, pl.String),
        place=pl.col("place").replace(0, None),
        star=pl.when("star").then(pl.lit("*")),
    ).rename({"difference": "less_than_reference"})
    notes = pl.Series(
        "notes",
        [_notes(comparison.tables[name], *row) for name, *row in _rows(lines)],
        pl.String,
    )
    return lines.with_columns(notes).select(_CSV).write_csv()


_CSV = (
    *("table", "dataset", "task", "method", "label", "metric", "origin", "leaks"),
    *("value", "low", "high", "deviation", "seeds", "per_seed", "place", "star"),
    *("less_than_reference", "p_users", "p_holm", "p_seeds", "users", "minutes", "trained_on"),
    *("users_per_second", "answers_alone", "measured_on", "notes"),
)


def _per_seed(figure: Mapping[str, Sequence[float]]) -> str | None:
    if figure["seeds"] is None:
        return None
    pairs = zip(figure["seeds"], figure["per_seed"], strict=True)
    return " ".join(f"{seed}:{value:.6g}" for seed, value in pairs)


def _rows(lines: pl.DataFrame) -> Iterable[tuple[str, str, str]]:
    return lines.select("table", "method", "origin").iter_rows()  # type: ignore[return-value]


def _notes(about: PaperTable, method: str, origin: str) -> str:
    """Why a figure leaks or is not what is printed, if so, and the notes of its table."""
    own = [words for words in about.warnings if f" {origin} " in words]
    differs = [about.paper.differs[method]] if method in about.paper.differs else []
    return " ".join([*own, *differs, *about.paper.notes])


def report_page(comparison: Comparison) -> str:
    """One page, pictures included, whose tables sort at a click; it loads nothing from anywhere."""
    page = _page(comparison)
    for table, about in zip(page["tables"], comparison.tables.values(), strict=True):
        table["pictures"] = list(_pictures(comparison, table["name"], about))
        for block in table["blocks"]:
            _put_honest_first(block)
            metrics = [column["metric"] for column in block["columns"]]
            block["groups"] = [(name, len([*same])) for name, same in groupby(metrics)]
    return render("comparison.html", version=__version__, nothing_yet=NOTHING_YET, **page)


def _put_honest_first(block: dict[str, Any]) -> None:
    """Each metric's honest column before its others: a telephone shows only the first ones."""
    columns = block["columns"]
    metrics = list(dict.fromkeys(column["metric"] for column in columns))
    ranks = {"ours, honest": 0, "paper": 1}

    def place(number: int) -> tuple[int, int]:
        column = columns[number]
        return metrics.index(column["metric"]), ranks.get(column["origin"], 2)

    order = sorted(range(len(columns)), key=place)
    block["columns"] = [columns[n] for n in order]
    for row in block["rows"]:
        row["cells"] = [row["cells"][n] for n in order]


def _pictures(
    comparison: Comparison, name: str, about: PaperTable
) -> Iterable[dict[str, str | bool]]:
    title = about.paper.title
    try:
        from edgewise.experiments.plots import compressed, drawn_panels

        panels = list(drawn_panels(comparison, name))
    except EdgewiseError:
        panels = []  # without the extra "plots" the tables stand alone
    for words, content in panels:
        yield {"title": f"{title} ({words})", "address": data_address(content), "wide": False}
    for words, file in about.pictures.items():
        content = compressed(Path(file).read_bytes())
        yield {"title": f"{title} ({words})", "address": data_address(content), "wide": True}


FORMATS: dict[str, Callable[[Comparison], str]] = {
    "markdown": markdown,
    "csv": long_csv,
    "latex": latex,
    "html": report_page,
}
