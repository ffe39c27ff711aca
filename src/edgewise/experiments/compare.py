"""The papers' figures and ours as one long frame, which every table, page and picture is made of.

A paper prints a figure; we measure the same under its released protocol and under the honest one.
A *block* is what one table shows of a data set and task: rows are methods, columns are metrics, one
for each origin (:data:`PAPER`, or the protocol of a measurement). :data:`FIGURES` has one row for
every place of a block, whether its figure is known or not yet.

A figure of several seeds is their mean. Intervals are drawn over users; all columns of a row share
their draws. The reference of a block is compared with every other row: by a t-test over seeds, and
by a paired bootstrap over users, adjusted by Holm for all differences of the block under one
protocol.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from edgewise.errors import EdgewiseError
from edgewise.evaluation.protocols import recorded_protocol
from edgewise.evaluation.statistics import (
    Bootstrap,
    Estimate,
    bootstrap_means,
    holm,
    paired_bootstrap,
    paired_t_test,
)
from edgewise.experiments.describing import picture_of
from edgewise.experiments.grid import HONEST, Layout, read_table, table_file
from edgewise.experiments.published import ANY, Paper, printed_tables, read_paper
from edgewise.experiments.results import TIME, Result, find_results, read_result

PAPER = "paper"
BEST, SECOND = 1, 2
LEVEL = 0.05
"""Below this, an adjusted p-value is called significant."""
ALL_DATASETS = "all data sets"
_NEITHER_GOOD_NOR_BAD = "^(PopularShare|Coverage|Distinct)"

BLOCK = ("table", "dataset", "task")
_ROW = {"method": pl.String, "label": pl.String}
_COLUMN = {"metric": pl.String, "origin": pl.String}
_PLACE = ("method", "metric", "origin")
_FIGURE = {
    **dict.fromkeys(_PLACE, pl.String),
    **dict.fromkeys(("value", "low", "high", "deviation"), pl.Float64),
    "seeds": pl.List(pl.Int64),
    "per_seed": pl.List(pl.Float64),
    "users": pl.Int64,
    "minutes": pl.Float64,
}
_ENDS = {name: _FIGURE[name] for name in (*_PLACE, "low", "high")}
_DIFFERENCE = {
    **dict.fromkeys(_PLACE, pl.String),
    **dict.fromkeys(("difference", "difference_low", "difference_high"), pl.Float64),
    **dict.fromkeys(("p_users", "p_holm", "p_seeds"), pl.Float64),
}
FIGURES = pl.Schema(
    {
        **dict.fromkeys(BLOCK, pl.String),
        **_ROW,
        **_COLUMN,
        **_FIGURE,
        "conditions": pl.String,
        "reference": pl.String,
        **_DIFFERENCE,
        "place": pl.Int64,
        "star": pl.Boolean,
    }
)
"""One row a place of a block, in the order in which it is shown.

========================= ========================================================================
table, dataset, task      the block; ``all data sets`` where rows are data sets
method, label             the row: its key, and how it is called; baselines' keys contain a colon
metric, origin            the column; the origin is :data:`PAPER` or a protocol
value                     mean over users, and over seeds; null: not measured yet, or not printed
low, high                 ends of its 95 % interval over users
deviation                 standard deviation over seeds, where there are several
seeds, per_seed           the seeds in order, and each one's value
users, minutes            users (or pairs) behind the value; mean time of training
conditions                under which the block was measured under this protocol, in words
reference                 key of the row that the others are compared with
difference, ..._low/_high the reference's value less this row's, and its interval over users
p_users, p_holm, p_seeds  over users, the same adjusted by Holm, and over seeds
place                     :data:`BEST`, :data:`SECOND` or 0; equal figures share their place
star                      whether the reference is better than all others, beyond chance
========================= ========================================================================
"""


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
        reference: the method that others are compared with, instead of the tables' own.

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
    figures = _known_figures(dataset, task, groups, paper)
    baselines = [name for name in figures["method"].unique(maintain_order=True) if ":" in name]
    labels = [(name, _label(name, task, paper)) for name in [*methods, *baselines]]
    rows = pl.DataFrame(labels, schema=_ROW, orient="row")
    columns = pl.DataFrame(_columns(dataset, task, mine, paper), schema=_COLUMN, orient="row")
    block = _placed(rows, columns, figures, _PLACE)
    block = _marked(_with_tests(block, task, groups, paper.reference, runs), paper.better)
    named = block.with_columns(dataset=pl.lit(dataset), task=pl.lit(task))
    return named.select(name for name in FIGURES if name != "table")


def _placed(
    rows: pl.DataFrame, columns: pl.DataFrame, figures: pl.DataFrame, keys: Sequence[str]
) -> pl.DataFrame:
    """Every place of a block, with its figure where one is known."""
    places = rows.join(columns, how="cross", maintain_order="left_right")
    return places.join(figures, on=list(keys), how="left", maintain_order="left")


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
        rows = joined.select(*_ROW).unique(maintain_order=True)
        columns = joined.select(*_COLUMN).unique(maintain_order=True)
        filled = _placed(rows, columns, joined, [*_ROW, *_COLUMN]).with_columns(
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


# Figures out of papers and result files.

Groups = Mapping[tuple[str, str], list[Result]]
"""Results of a block that differ by their seeds alone, by row and protocol."""


def row_key(result: Result) -> str:
    """The row in which a result stands."""
    return result.place.method + ("-no-rerank" if result.place.raw_lists else "")


def groups_of(results: Iterable[Result]) -> dict[tuple[str, str], list[Result]]:
    """Results by row and protocol, seeds in order."""
    found: dict[tuple[str, str], list[Result]] = {}
    for result in results:
        found.setdefault((row_key(result), result.place.protocol), []).append(result)
    return {key: sorted(group, key=lambda r: r.place.seed or 0) for key, group in found.items()}


def _known_figures(dataset: str, task: str, groups: Groups, paper: Paper) -> pl.DataFrame:
    """The paper's figures, ours, and those of the baselines beside ours."""
    found: list[dict[str, Any]] = [
        {"method": row.method, "metric": metric, "origin": PAPER, "value": value}
        for row in paper.printed(dataset, task)
        for metric, value in row.figures.items()
    ]
    for (method, protocol), group in groups.items():
        place = {"method": method, "origin": protocol}
        found += (place | each for each in _measured_figures(group, task, 0))
    for (_, protocol), group in groups.items():
        if beside := _baseline(group[0], task):
            place = {"method": beside, "origin": protocol}
            # Seeds tell nothing about a baseline but the order of ties: one stands for all.
            found += (place | each for each in _measured_figures(group[:1], task, 1))
    frame = pl.DataFrame(found, schema=_FIGURE)
    return frame.unique(_PLACE, keep="first", maintain_order=True)


def _baseline(result: Result, task: str) -> str | None:
    """The row of the baseline beside a run."""
    beside = result.systems(task)[1:] if task != TIME else []
    return f"baseline:{beside[0]}" if beside else None


def _measured_figures(group: Sequence[Result], task: str, system: int) -> Iterator[dict[str, Any]]:
    """The mean over seeds of every metric that all of them have."""
    names = [each.systems(task)[system] if task != TIME else None for each in group]
    found = [each.figures(task, name) for each, name in zip(group, names, strict=True)]
    shared = [name for name in found[0] if all(name in each for each in found)]
    about = {"seeds": [_seed(each) for each in group], **_effort(group, task, system)}
    for metric in shared:
        estimates = [each[metric] for each in found]
        yield {"metric": metric, **about, **_over_seeds(estimates)}


def _over_seeds(estimates: Sequence[Estimate]) -> dict[str, Any]:
    """Mean and deviation; intervals of single seeds say nothing of their mean."""
    means = [float(estimate.mean) for estimate in estimates]
    if len(means) == 1:
        only = estimates[0]
        return {"value": means[0], "low": only.low, "high": only.high, "per_seed": means}
    deviation = statistics.stdev(means)
    return {"value": statistics.mean(means), "deviation": deviation, "per_seed": means}


def _seed(result: Result) -> int:
    return result.content["run"]["seed"] if result.kind == "run" else result.content["seed"]


def _effort(group: Sequence[Result], task: str, system: int) -> dict[str, Any]:
    """Users (or pairs) that were measured, and how long our own runs were trained."""
    if group[0].kind != "run":
        return {}
    found: dict[str, Any] = {}
    if task != TIME:
        report = group[0].report(task, group[0].systems(task)[system])
        found["users"] = report.get("num_users") or report["num_pairs"]
    if system == 0:
        seconds = [each.content["run"]["training_seconds"] for each in group]
        found["minutes"] = statistics.mean(seconds) / 60
    return found


# Intervals and differences over users and seeds.

_UNIT = ("user_index", "item_index")


def _with_tests(
    block: pl.DataFrame, task: str, groups: Groups, wanted: str | None, runs: Path
) -> pl.DataFrame:
    """The block with conditions, intervals of rows of several seeds, and differences.

    Args:
        block: its places and figures.
        task: of the block.
        groups: the results behind it, by row and protocol.
        wanted: the reference; the first row of ours where it has none.
        runs: where users' rows are; what is absent there is left out, and the conditions say so.
    """
    origins = block["origin"].unique(maintain_order=True) if task != TIME else []
    reference = _reference(block, wanted) if task != TIME else None
    conditions: dict[str, str | None] = {PAPER: None}
    differences = [pl.DataFrame(schema=_DIFFERENCE)]
    for protocol in (origin for origin in origins if origin != PAPER):
        mine = [each for key, group in groups.items() if key[1] == protocol for each in group]
        users = _all_users(groups, task, protocol, runs)
        conditions[protocol] = _conditions_in_words(mine, task, _lacking(block, users, protocol))
        block = _with_intervals(block, users, protocol)
        if reference is not None:
            differences.append(_differences(block, reference, users, protocol))
    return block.join(
        pl.concat(differences), on=list(_PLACE), how="left", maintain_order="left"
    ).with_columns(
        pl.col("origin")
        .replace_strict(conditions, default=None, return_dtype=pl.String)
        .alias("conditions"),
        pl.lit(reference, pl.String).alias("reference"),
    )


def _reference(block: pl.DataFrame, wanted: str | None) -> str | None:
    is_ours = (pl.col("origin") != PAPER) & pl.col("value").is_not_null()
    named = ~pl.col("method").str.contains(":", literal=True)
    ours = block.filter(is_ours & named)["method"].to_list()
    return wanted if wanted in ours else next(iter(ours), None)


def _all_users(groups: Groups, task: str, protocol: str, runs: Path) -> dict[str, pl.DataFrame]:
    """Users by row, those of baselines from the first results that have them."""
    found: dict[str, pl.DataFrame] = {}
    for (method, under), group in groups.items():
        if under != protocol or group[0].kind != "run":
            continue
        users = _averaged([each.rows(task, runs) for each in group])
        if users is not None:
            found[method] = users
        beside = _baseline(group[0], task)
        if beside and beside not in found:
            users = _averaged([group[0].rows(task, runs, 1)])
            found |= {} if users is None else {beside: users}
    return found


def _averaged(frames: Sequence[pl.DataFrame | None]) -> pl.DataFrame | None:
    """Metrics of users (or pairs), each averaged over seeds; units ascending.

    None where a seed's users are absent, or others than another seed's.
    """
    there = [frame for frame in frames if frame is not None]
    if len(there) < len(frames) or not there:
        return None
    keys = [name for name in _UNIT if name in there[0].columns]
    ordered = [frame.sort(keys) for frame in there]
    if not all(ordered[0].select(keys).equals(frame.select(keys)) for frame in ordered):
        return None
    names = [n for n, kind in ordered[0].schema.items() if n not in keys and kind.is_numeric()]
    means = {n: np.mean([frame[n].to_numpy() for frame in ordered], axis=0) for n in names}
    return ordered[0].select(keys).with_columns(**{n: pl.Series(v) for n, v in means.items()})


def _lacking(block: pl.DataFrame, users: Mapping[str, pl.DataFrame], protocol: str) -> str:
    """Whose users are not at hand, in words; empty where all are."""
    known = block.filter(pl.col("origin") == protocol, pl.col("value").is_not_null())
    ours = known.select("method", "label").unique(maintain_order=True)
    lacking = ours.filter(~pl.col("method").is_in(list(users)))
    if lacking.is_empty():
        return ""
    whose = "" if len(lacking) == len(ours) else f" of {', '.join(lacking['label'])}"
    return (
        f"; users' rows{whose} are not at hand: no intervals over users "
        "for means of seeds, no test over users"
    )


def _with_intervals(
    block: pl.DataFrame, users: Mapping[str, pl.DataFrame], protocol: str
) -> pl.DataFrame:
    """Where several seeds were averaged, the interval of their mean over users."""
    several = block.filter(pl.col("origin") == protocol, pl.col("seeds").list.len() > 1)
    found = [pl.DataFrame(schema=_ENDS)]
    for (method,), own in several.group_by("method", maintain_order=True):
        rows = users.get(str(method))
        metrics = [n for n in own["metric"] if rows is not None and n in rows.columns]
        if rows is None or not metrics:
            continue
        values = np.column_stack([rows[name].to_numpy() for name in metrics])
        estimates = bootstrap_means(values, Bootstrap())
        ends = [
            (method, n, protocol, e.low, e.high) for n, e in zip(metrics, estimates, strict=True)
        ]
        found.append(pl.DataFrame(ends, schema=_ENDS, orient="row"))
    return block.update(pl.concat(found), on=list(_PLACE), how="left")


def _differences(
    block: pl.DataFrame, reference: str, users: Mapping[str, pl.DataFrame], protocol: str
) -> pl.DataFrame:
    """The reference less every other row, in all columns of a protocol, as ``_DIFFERENCE``."""
    known = block.filter(pl.col("origin") == protocol, pl.col("value").is_not_null())
    is_reference = pl.col("method") == reference
    mine = known.filter(is_reference).select("metric", "value", "seeds", "per_seed")
    others = known.filter(~is_reference)
    pairs = others.join(mine, on="metric", suffix="_reference", maintain_order="left")
    found = [_by_seeds(pair) for pair in pairs.iter_rows(named=True)]
    columns = [_paired(users, reference, each) for each in found]
    tested = [n for n, column in enumerate(columns) if column is not None]
    if tested:
        table = np.column_stack([columns[n] for n in tested])  # type: ignore[arg-type]
        estimates, p_values = zip(*paired_bootstrap(table), strict=True)
        for n, each, p, adjusted in zip(tested, estimates, p_values, holm(p_values), strict=True):
            ends = {"difference_low": each.low, "difference_high": each.high}
            found[n] |= {"difference": each.mean, **ends, "p_users": p, "p_holm": adjusted}
    return pl.DataFrame(found, schema=_DIFFERENCE)


def _by_seeds(pair: Mapping[str, Any]) -> dict[str, Any]:
    """The difference of two means, and the t-test over the seeds that both have."""
    mine = dict(zip(pair["seeds_reference"], pair["per_seed_reference"], strict=True))
    other = dict(zip(pair["seeds"], pair["per_seed"], strict=True))
    shared = sorted(mine.keys() & other.keys())
    p_value = paired_t_test([mine[seed] for seed in shared], [other[seed] for seed in shared])
    place = {name: pair[name] for name in _PLACE}
    return {**place, "difference": pair["value_reference"] - pair["value"], "p_seeds": p_value}


def _paired(
    users: Mapping[str, pl.DataFrame], reference: str, place: Mapping[str, Any]
) -> np.ndarray | None:
    """The difference user by user, None where both do not have the metric of the same users."""
    mine, other, metric = users.get(reference), users.get(place["method"]), place["metric"]
    if mine is None or other is None or metric not in mine.columns or metric not in other.columns:
        return None
    units = [
        frame.select(name for name in _UNIT if name in frame.columns) for frame in (mine, other)
    ]
    if not units[0].equals(units[1]):
        return None
    return mine[metric].to_numpy() - other[metric].to_numpy()


def tested_block(
    place: Sequence[str],
    labels: Mapping[str, str],
    figures: Sequence[Mapping[str, Any]],
    users: Mapping[str, pl.DataFrame],
    *,
    reference: str,
    conditions: str,
) -> pl.DataFrame:
    """Systems measured once under one protocol, as :data:`FIGURES`, tested user by user.

    What lists show of the catalogue is neither good nor bad by itself: no marks, no tests.

    Args:
        place: table, data set and task.
        labels: of the rows, in order; baselines' keys contain a colon.
        figures: ``method, metric, origin, value, low, high, seeds, per_seed, users, minutes`` each.
        users: metrics of users (or pairs), by row; units ascending.
        reference: the row that the others are compared with.
        conditions: in words.
    """
    frame = pl.DataFrame(list(figures), schema=_FIGURE)
    rows = pl.DataFrame(list(labels.items()), schema=_ROW, orient="row")
    block = _placed(rows, frame.select(*_COLUMN).unique(maintain_order=True), frame, _PLACE)
    is_judged = ~pl.col("metric").str.contains(_NEITHER_GOOD_NOR_BAD)
    differences = _differences(block.filter(is_judged), reference, users, frame["origin"][0])
    told = {name: pl.lit(value) for name, value in zip(BLOCK, place, strict=True)}
    told |= {"reference": pl.lit(reference), "conditions": pl.lit(conditions)}
    found = block.join(differences, on=list(_PLACE), how="left", maintain_order="left")
    found = _marked(found.with_columns(**told), "high")
    judged_place = pl.when(is_judged).then("place").otherwise(0)
    star = pl.col("star") & is_judged
    return found.with_columns(place=judged_place, star=star).select(*FIGURES)


def _marked(block: pl.DataFrame, better: str) -> pl.DataFrame:
    """The block with places and stars; none of them where no figure is good or bad.

    A star says that the reference is better than every other row of the column with a Holm-adjusted
    p-value below .05.
    """
    if better == "none":
        return block.with_columns(place=pl.lit(0, pl.Int64), star=pl.lit(value=False))
    sign, column = (1 if better == "high" else -1), list(_COLUMN)
    rank = pl.col("value").rank("dense", descending=better == "high").over(column)
    judged = pl.col("value").drop_nulls().n_unique().over(column) > 1
    compared = pl.col("difference").is_not_null()
    sure = (pl.col("p_holm") < LEVEL).fill_null(value=False) & (sign * pl.col("difference") > 0)
    beats_all = (~compared | sure).all().over(column) & compared.any().over(column)
    return block.with_columns(
        place=pl.when(judged & (rank <= SECOND)).then(rank).otherwise(0).cast(pl.Int64),
        star=beats_all & (pl.col("method") == pl.col("reference")) & pl.col("value").is_not_null(),
    ).with_columns(pl.col("star").fill_null(value=False))


# Figures stand in one column only if they were measured alike.

MUST_AGREE = {
    "part": "part",
    "max_users": "number of users",
    "max_pairs": "number of pairs",
    "users_seed": "sample of users",
    "pairs_seed": "sample of pairs",
    "num_negatives": "number of negatives",
    "negatives_seed": "sample of negatives",
    "split": "split",
    "split_seed": "seed of the split",
    "cold_items": "share of cold items",
    "first_events": "first events of cold items",
}
_PROTOCOL = {
    "name": "protocol",
    "version": "version of the protocol",
    "edge_share": "share of edges",
}


def check_same_conditions(results: Sequence[Result], task: str) -> None:
    """Refuse results of one block and protocol that were not measured alike.

    Raises:
        EdgewiseError: names both files and what differs.
    """
    for other in results[1:]:
        before, now = (_conditions(each, task) for each in (results[0], other))
        for name in dict.fromkeys([*before, *now]):
            if before.get(name) != now.get(name):
                raise EdgewiseError(
                    f"{results[0].file} and {other.file} are not comparable: {name} is "
                    f"{_spelled(before, name)} for the one and {_spelled(now, name)} for the "
                    "other; measure both alike, or compare one of them"
                )


def _conditions(result: Result, task: str) -> dict[str, Any]:
    found: dict[str, Any] = {"data checksum": result.data["checksum"][:12]}
    if result.kind != "run":
        return found
    protocol = recorded_protocol(result.content["run"].get("protocol")).to_dict()
    found |= {_PROTOCOL.get(key, key): value for key, value in protocol.items()}
    if task != TIME:
        settings = result.report(task)["settings"]
        found |= {said: settings[key] for key, said in MUST_AGREE.items() if key in settings}
    return found


def _spelled(conditions: Mapping[str, Any], name: str) -> object:
    value = conditions.get(name, "not told")
    return "all" if value is None else value


def _conditions_in_words(results: Sequence[Result], task: str, lacking: str) -> str | None:
    """How many users, which split, which data; None of what was not measured on users."""
    for result in results:
        if result.kind == "run":
            report = result.report(task)
            users = report.get("num_users")
            counted = f"{users:,} users" if users else f"{report['num_pairs']:,} pairs"
            checksum = result.data["checksum"][:12]
            return f"{counted}, {report['settings']['split']} split, data {checksum}{lacking}"
    return None


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
    for source, method in paper.also:
        for file in sorted((layout.results / source).glob(f"*/{method}*.json")):
            if file.parent.name not in own:
                continue
            found = read_result(file, layout.results, allow_unsealed=allow_unsealed)
            if found.place.method == method and not found.place.raw_lists:
                yield replace(found, place=replace(found.place, table=table), home=found.place)
