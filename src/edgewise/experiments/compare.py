"""The papers' figures and ours as one long frame, which every table, page and picture is made of.

A paper prints a figure; we measure the same under its released protocol and under the honest one.
A *block* is what one table shows of a data set and task: rows are methods, columns are metrics, one
for each origin (:data:`PAPER`, or the protocol of a measurement). :data:`FIGURES` has one row for
every place of a block, whether its figure is known or not yet.

A figure of several seeds is their mean. How rows are tested against each other is said in
:mod:`edgewise.experiments.user_tests`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import polars as pl

from edgewise.experiments.conditions import check_same_conditions
from edgewise.experiments.describing import picture_of
from edgewise.experiments.figures import (
    COLUMN,
    FIGURES,
    PAPER,
    PLACE,
    ROW,
    groups_of,
    known_figures,
    placed,
    row_key,
)
from edgewise.experiments.grid import HONEST, Layout, read_table, table_file
from edgewise.experiments.published import ANY, Paper, printed_tables, read_paper
from edgewise.experiments.results import TIME, Result, find_results, read_result
from edgewise.experiments.user_tests import marked, with_tests

ALL_DATASETS = "all data sets"


@dataclass(frozen=True)
class PaperTable:
    """What is known of a table or figure of a paper as a whole.

    Attributes:
        paper: what is printed.
        warnings: of reports that were measured under protocols that leak.
        settings: of our rows, flat, by method: what a figure's horizontal axis shows.
        pictures: files beside results, by title.
    """

    paper: Paper
    warnings: tuple[str, ...] = ()
    settings: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    pictures: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Comparison:
    """All figures, as :data:`FIGURES`, and what is known of each table, by its name.

    ``of_runs``: they are somebody's own runs side by side, and no paper's tables.
    """

    figures: pl.DataFrame
    tables: Mapping[str, PaperTable]
    of_runs: bool = False

    def blocks(self, table: str) -> list[pl.DataFrame]:
        """The figures of each data set and task of a table, in order."""
        own = self.figures.filter(pl.col("table") == table)
        return own.partition_by("dataset", "task", maintain_order=True)

    def only(self, dataset: str) -> Comparison:
        """The blocks of one data set, and the tables that have one."""
        figures = self.figures.filter(pl.col("dataset") == dataset)
        left = set(figures["table"])
        return Comparison(figures, {n: each for n, each in self.tables.items() if n in left})


def compare(
    results: Sequence[Result],
    layout: Layout,
    tables: Sequence[str] = (),
    *,
    reference: str | None = None,
) -> Comparison:
    """Put results beside what their tables' papers print.

    Args:
        results: of any tables.
        tables: shown even without a result, beside those of the results.
        layout: where the papers' figures and users' rows are.
        reference: the method that others are compared with, instead of the tables' own; or
            :data:`edgewise.experiments.published.BEST_ROW`.

    Raises:
        EdgewiseError: results of one block were measured under different conditions or on
            different data.
    """
    found: dict[str, list[Result]] = {name: [] for name in tables}
    for result in sorted(results, key=lambda each: each.place.path):
        found.setdefault(result.place.table, []).append(result)
    papers = {name: read_paper(layout.configs, name) for name in found}
    if reference is not None:
        papers = {name: replace(paper, reference=reference) for name, paper in papers.items()}
    frames = [table_figures(name, mine, papers[name], layout) for name, mine in found.items()]
    return Comparison(
        pl.concat([FIGURES.to_frame(), *frames]),
        {name: _about(papers[name], mine) for name, mine in found.items()},
    )


def _about(paper: Paper, results: Sequence[Result]) -> PaperTable:
    warnings = dict.fromkeys(each.content["warning"] for each in results if each.leaks)
    settings = {row_key(each): each.settings for each in results if each.kind == "run"}
    pictures = {
        f"{result.place.dataset}, {kind}": picture_of(result.file, kind)
        for result in results
        if result.kind == "vectors"
        for kind in result.content["results"]
    }
    there = {title: str(file) for title, file in pictures.items() if file.is_file()}
    return PaperTable(paper, tuple(warnings), settings, there)


def table_figures(
    table: str, results: Sequence[Result], paper: Paper, layout: Layout
) -> pl.DataFrame:
    """All blocks of one table as :data:`FIGURES`: measured ones first, then those asked for."""
    requested = list(requested_rows(layout.configs, table))
    printed = [(row.dataset, row.task) for row in paper.rows if row.dataset != ANY]
    wanted = dict.fromkeys([*_measured(results, paper), *_requested(requested, paper), *printed])
    blocks = [
        _block(dataset, task, results, paper, requested, layout.runs) for dataset, task in wanted
    ]
    if paper.by_dataset:
        blocks = list(_by_dataset(blocks, paper))
    frame = pl.concat([FIGURES.to_frame().drop("table"), *blocks])
    return frame.select(pl.lit(table).alias("table"), pl.all())


# Which rows and columns a block has.


@dataclass(frozen=True)
class RequestedRow:
    """A configuration: the row it asks for, and its tasks; no tasks stand for all."""

    dataset: str
    method: str
    tasks: tuple[str, ...]

    def has(self, task: str) -> bool:
        """Whether figures of a task are asked for; seconds always are."""
        return not self.tasks or task in (*self.tasks, TIME)


def requested_rows(configs: Path, table: str) -> Iterator[RequestedRow]:
    """The rows that a table asks for; none where it has figures of a paper alone."""
    rows = read_table(configs, table) if table_file(configs, table).is_file() else []
    for row in rows:
        tasks = {"data": ("data",), "vectors": ("users", "items")}.get(row.options.kind)
        tasks = tasks or row.options.evaluation.tasks or row.trained_tasks
        yield RequestedRow(row.dataset, row.name, tasks)


def _measured(results: Sequence[Result], paper: Paper) -> Iterator[tuple[str, str]]:
    """Data sets and tasks of ours; seconds only where the paper has them in its table."""
    printed = {row.task for row in paper.rows}
    for result in results:
        tasks = [TIME] if TIME in printed else list(result.content["results"])
        wanted = [task for task in tasks if not printed or task in printed]
        yield from ((result.place.dataset, task) for task in wanted)


def _requested(requested: Sequence[RequestedRow], paper: Paper) -> Iterator[tuple[str, str]]:
    """Data sets and tasks of configurations, as far as they or the paper name tasks."""
    printed = dict.fromkeys(row.task for row in paper.rows)
    for each in requested:
        tasks = [task for task in printed if each.has(task)]
        yield from ((each.dataset, task) for task in tasks or each.tasks)


def _block(
    dataset: str,
    task: str,
    results: Sequence[Result],
    paper: Paper,
    requested: Sequence[RequestedRow],
    runs: Path,
) -> pl.DataFrame:
    """One block as :data:`FIGURES` without ``table``."""
    mine = [each for each in results if each.place.dataset == dataset and _has(each, task)]
    groups = groups_of(mine)
    for protocol in dict.fromkeys(protocol for _, protocol in groups):
        check_same_conditions([each for each in mine if each.place.protocol == protocol], task)
    asked = [each.method for each in requested if each.dataset == dataset and each.has(task)]
    methods = _methods(dataset, task, [*asked, *(method for method, _ in groups)], paper)
    figures = known_figures(dataset, task, groups, paper)
    baselines = [name for name in figures["method"].unique(maintain_order=True) if ":" in name]
    labels = [(name, _label(name, task, paper)) for name in [*methods, *baselines]]
    rows = pl.DataFrame(labels, schema=ROW, orient="row")
    columns = pl.DataFrame(_columns(dataset, task, mine, paper), schema=COLUMN, orient="row")
    block = placed(rows, columns, figures, PLACE)
    block = marked(with_tests(block, task, groups, paper, runs), paper.better)
    named = block.with_columns(dataset=pl.lit(dataset), task=pl.lit(task))
    return named.select(name for name in FIGURES if name != "table")


def _has(result: Result, task: str) -> bool:
    return task in result.content["results"] or (task == TIME and result.kind == "run")


def _methods(dataset: str, task: str, ours: Iterable[str], paper: Paper) -> list[str]:
    """Rows that are printed, asked for or measured, in the paper's order."""
    printed = [row.method for row in paper.printed(dataset, task)]
    return sorted(dict.fromkeys([*printed, *ours]), key=lambda method: paper.order(method, task))


def _label(method: str, task: str, paper: Paper) -> str:
    if method.startswith("baseline:"):
        return method.removeprefix("baseline:")
    bare = method.removesuffix("-no-rerank")
    return paper.label(bare, task) + (", raw lists" if bare != method else "")


def _columns(
    dataset: str, task: str, mine: Sequence[Result], paper: Paper
) -> list[tuple[str, str]]:
    """Metrics and origins, the paper's first, then the released protocol, honest last."""
    metrics = paper.metrics or tuple(dict.fromkeys(m for each in mine for m in each.figures(task)))
    own = [row.figures for row in paper.rows if row.task == task and row.figures]
    if own:
        metrics = tuple(name for name in metrics if any(name in row for row in own))
    printed = bool(paper.printed(dataset, task))
    protocols = [each.place.protocol for each in mine]
    origins = [PAPER] if printed and own else []
    if paper.released and (printed or paper.released in protocols):
        origins.append(paper.released)
    origins += [protocol for protocol in protocols if protocol != HONEST]
    return [(metric, origin) for metric in metrics for origin in dict.fromkeys([*origins, HONEST])]


def _by_dataset(blocks: Sequence[pl.DataFrame], paper: Paper) -> Iterator[pl.DataFrame]:
    """Blocks of one task as one block whose rows are the data sets, the paper's first."""
    printed = list(dict.fromkeys(row.dataset for row in paper.rows))
    order = {name: number for number, name in enumerate(printed)}
    ordered = sorted(
        (block for block in blocks if len(block)),
        key=lambda block: order.get(block["dataset"][0], len(order)),
    )
    for task in dict.fromkeys(block["task"][0] for block in ordered):
        # The paper's data sets come first: they have its columns as well as ours.
        joined = pl.concat(_named_by_dataset(b) for b in ordered if b["task"][0] == task)
        rows = joined.select(*ROW).unique(maintain_order=True)
        columns = joined.select(*COLUMN).unique(maintain_order=True)
        filled = placed(rows, columns, joined, [*ROW, *COLUMN]).with_columns(
            dataset=pl.lit(ALL_DATASETS),
            task=pl.lit(task),
            place=pl.col("place").fill_null(0),
            star=pl.col("star").fill_null(value=False),
        )
        yield filled.select(joined.columns)


def _named_by_dataset(block: pl.DataFrame) -> pl.DataFrame:
    alone = block["method"].n_unique() == 1
    name = pl.col("dataset") if alone else pl.format("{}, {}", "dataset", "label")
    return block.with_columns(label=name)


# Tables and results by their names.


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
    own = {row.dataset for row in (*paper.rows, *requested_rows(layout.configs, table))}
    own |= {file.parent.name for file in (layout.results / table).glob("*/*.json")}
    for source, method, row in paper.also:
        for file in sorted((layout.results / source).glob(f"*/{method}*.json")):
            if file.parent.name not in own:
                continue
            found = read_result(file, layout.results, allow_unsealed=allow_unsealed)
            if found.place.method == method and not found.place.raw_lists:
                place = replace(found.place, table=table, method=row)
                yield replace(found, place=place, home=found.place)
