"""What a table's folder asks for, and tables whose rows are data sets.

What a comparison consists of: blocks of rows, one block a data set and task.

Our figures out of result files: seeds averaged, baselines beside.

Which figures of a column are best and second best, and which are so beyond chance.

The reference of a block against every other row: paired over users, and over seeds.

Figures stand in one column only if they were measured alike.

The paper's figure, ours under the released protocol, and ours under the honest one.
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
from edgewise.experiments.published import ANY, Paper, read_paper
from edgewise.experiments.results import TIME, Result
from edgewise.runs.spec import flat_settings


@dataclass(frozen=True)
class RequestedRow:
    """A configuration: the row it asks for, and its tasks; no tasks stand for all."""

    dataset: str
    method: str
    tasks: tuple[str, ...]

    def has(self, task: str) -> bool:
        """Whether figures of a task are asked for; seconds always are."""
        return not self.tasks or task in (*self.tasks, TIME)


def asked_cells(configs: Path, table: str) -> Iterator[RequestedRow]:
    """The rows that a table asks for; none where it has figures of a paper alone."""
    rows = read_table(configs, table) if table_file(configs, table).is_file() else []
    for row in rows:
        tasks = {"data": ("data",), "vectors": ("users", "items")}.get(row.options.kind)
        tasks = tasks or row.options.evaluation.tasks or row.trained_tasks
        yield RequestedRow(row.dataset, row.name, tasks)


def by_dataset(blocks: Sequence[Block], paper: Paper) -> list[Block]:
    """Blocks of one task as one block whose rows are the data sets, the paper's first."""
    printed = list(dict.fromkeys(row.dataset for row in paper.rows))
    ordered = sorted(blocks, key=lambda b: (b.dataset not in printed, _place(b.dataset, printed)))
    tasks = dict.fromkeys(block.task for block in ordered)
    return [_joined([block for block in ordered if block.task == task]) for task in tasks]


def _place(name: str, names: Sequence[str]) -> int:
    return names.index(name) if name in names else 0


def _joined(blocks: Sequence[Block]) -> Block:
    # Blocks that the paper prints come first and have its columns as well as ours.
    columns = dict.fromkeys(column for block in blocks for column in block.columns)
    rows = tuple(_named(block, row) for block in blocks for row in block.rows)
    return replace(blocks[0], dataset="all data sets", columns=tuple(columns), rows=rows)


def _named(block: Block, row: Row) -> Row:
    label = block.dataset if len(block.rows) == 1 else f"{block.dataset}, {row.label}"
    return replace(row, label=label)


PAPER = "paper"
BEST, SECOND = 1, 2
LEVEL = 0.05
"""Below this, an adjusted p-value is called significant."""


@dataclass(frozen=True)
class Column:
    """A column of figures: one metric, as the paper prints it or as measured under a protocol."""

    metric: str
    origin: str

    @property
    def head(self) -> str:
        """As tables call it."""
        name = self.metric.replace("HitRate@", "HR@")
        if self.origin == PAPER:
            return f"{name}, paper"
        return name if self.origin == HONEST else f"{name}, {self.origin}"


@dataclass(frozen=True)
class Figure:
    """One figure of a table.

    Attributes:
        value: the mean over users, and over seeds where there are several.
        low, high: of the 95 % interval over users; None where unknown.
        seeds: each seed's mean, by seed; empty for a paper's figure.
        deviation: standard deviation over seeds; None with fewer than two.
        place: :data:`BEST`, :data:`SECOND` or 0.
        starred: whether it is better than every other row's, beyond chance.
    """

    value: float
    low: float | None = None
    high: float | None = None
    seeds: Mapping[int, float] = field(default_factory=dict)
    deviation: float | None = None
    place: int = 0
    starred: bool = False


@dataclass(frozen=True)
class Row:
    """A method's figures; a column that is missing has not been measured yet, or not printed."""

    method: str
    label: str
    figures: Mapping[Column, Figure]


@dataclass(frozen=True)
class Difference:
    """The reference less another row, in one column.

    Attributes:
        column: which.
        method, label: the other row.
        estimate: of the difference; without an interval where users are not at hand.
        p_users: by paired bootstrap over users, and ``p_holm`` adjusted by Holm for all
            differences of the block under one protocol.
        p_seeds: by paired t-test over seeds.
    """

    column: Column
    method: str
    label: str
    estimate: Estimate
    p_users: float | None = None
    p_holm: float | None = None
    p_seeds: float | None = None


@dataclass(frozen=True)
class Block:
    """One data set and task of a table.

    Attributes:
        dataset, task: of all its rows.
        columns: in order.
        rows: in order, some of them without any figure of ours.
        reference: the row that the differences are taken from; None without one.
        differences: see :class:`Difference`.
        conditions: under which ours were measured, in words, by protocol.
    """

    dataset: str
    task: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    reference: str | None = None
    differences: tuple[Difference, ...] = ()
    conditions: Mapping[str, str] = field(default_factory=dict)

    @property
    def measured(self) -> bool:
        """Whether any figure is ours."""
        return any(column.origin != PAPER for row in self.rows for column in row.figures)


@dataclass(frozen=True)
class Comparison:
    """A table or figure of a paper beside ours.

    Attributes:
        name: its folder, as ``elmrec/table-4``.
        paper: what is printed.
        blocks: those with figures of ours first.
        warnings: of reports that were measured under protocols that leak.
        settings: of our rows, flat, by method: what a figure's horizontal axis shows.
        pictures: files beside results, by title.
    """

    name: str
    paper: Paper
    blocks: tuple[Block, ...]
    warnings: tuple[str, ...] = ()
    settings: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    pictures: Mapping[str, str] = field(default_factory=dict)


Group = list[Result]
"""Results of one cell that differ by their seeds alone."""


def row_key(result: Result) -> str:
    """The row in which a result stands."""
    return result.place.method + ("-no-rerank" if result.place.raw_lists else "")


def groups_of(results: Iterable[Result]) -> dict[tuple[str, str], Group]:
    """Results by row and protocol, seeds in order."""
    found: dict[tuple[str, str], Group] = {}
    for result in results:
        found.setdefault((row_key(result), result.place.protocol), []).append(result)
    return {key: sorted(group, key=lambda r: r.place.seed or 0) for key, group in found.items()}


def figures_of(group: Group, task: str, protocol: str, system: int) -> dict[Column, Figure]:
    """The mean over seeds of every metric."""
    names = [each.systems(task)[system] if task != TIME else None for each in group]
    found = [each.figures(task, name) for each, name in zip(group, names, strict=True)]
    shared = [name for name in found[0] if all(name in each for each in found)]
    return {
        Column(name, protocol): _figure([each[name] for each in found], group) for name in shared
    }


def _figure(estimates: Sequence[Estimate], group: Group) -> Figure:
    means = [estimate.mean for estimate in estimates]
    # Intervals of single seeds say nothing of their mean: with several, users are drawn anew.
    only = estimates[0] if len(means) == 1 else None
    numbers = [_seed(result) for result in group]
    seeds = dict(zip(numbers, means, strict=True))
    deviation = statistics.stdev(means) if len(means) > 1 else None
    low, high = (only.low, only.high) if only else (None, None)
    return Figure(statistics.mean(means), low, high, seeds, deviation)


def _seed(result: Result) -> int:
    return result.content["run"]["seed"] if result.kind == "run" else result.content["seed"]


def baselines_of(
    groups: Mapping[tuple[str, str], Group], task: str
) -> dict[str, dict[Column, Figure]]:
    """The baseline beside the runs, once a protocol; seeds tell nothing about it but ties."""
    found: dict[str, dict[Column, Figure]] = {}
    for (_, protocol), group in groups.items():
        systems = group[0].systems(task) if task != TIME else []
        if len(systems) > 1:
            figures = figures_of(group[:1], task, protocol, 1)
            own = found.setdefault(baseline_key(systems[1]), {})
            own |= {column: figure for column, figure in figures.items() if column not in own}
    return found


def baseline_key(system: str) -> str:
    """The row in which a baseline stands."""
    return f"baseline:{system}"


def marked(block: Block, better: str) -> Block:
    """The block with best, second best and stars; none of them where no figure is good or bad.

    Equal figures share their place. A star says that the reference is better than every other row
    of the column with a Holm-adjusted p-value below .05.
    """
    if better == "none":
        return block
    places = dict(_places(block, 1 if better == "high" else -1))
    starred = set(_starred(block, 1 if better == "high" else -1))

    def with_marks(row: Row, column: Column, figure: Figure) -> Figure:
        place = places.get((column, figure.value), 0)
        return replace(figure, place=place, starred=(row.method, column) in starred)

    rows = tuple(
        replace(row, figures={c: with_marks(row, c, f) for c, f in row.figures.items()})
        for row in block.rows
    )
    return replace(block, rows=rows)


def _places(block: Block, sign: int) -> Iterator[tuple[tuple[Column, float], int]]:
    for column in block.columns:
        values = {row.figures[column].value for row in block.rows if column in row.figures}
        best = sorted(values, key=lambda value: -sign * value)
        if len(best) > 1:
            yield (column, best[0]), BEST
            yield (column, best[1]), SECOND


def _starred(block: Block, sign: int) -> Iterator[tuple[str, Column]]:
    for column in block.columns:
        mine = [each for each in block.differences if each.column == column]
        sure = [
            each.p_holm is not None and each.p_holm < LEVEL and sign * each.estimate.mean > 0
            for each in mine
        ]
        if mine and all(sure) and block.reference is not None:
            yield block.reference, column


Groups = Mapping[tuple[str, str], list[Result]]
_UNIT = ("user_index", "item_index")


@dataclass(frozen=True)
class Users:
    """A row's users (or pairs), each metric averaged over seeds.

    Attributes:
        unit: ``user_index`` (and ``item_index``), ascending, ``int[U, 1 or 2]``.
        values: by metric, ``float64[U]``.
    """

    unit: np.ndarray
    values: Mapping[str, np.ndarray]


def differences_of(block: Block, groups: Groups, wanted: str | None, runs: Path) -> Block:
    """The block with intervals of rows of several seeds, and with differences.

    Args:
        block: its rows.
        groups: the results behind them, by row and protocol.
        wanted: the reference; the first row of ours where it has none.
        runs: where users' rows are; what is absent there is left out, and the conditions say so.
    """
    if block.task == TIME:
        return block
    protocols = dict.fromkeys(column.origin for column in block.columns if column.origin != PAPER)
    found: list[Difference] = []
    reference = _reference(block, wanted)
    for protocol in protocols:
        users = _all_users(block, groups, protocol, runs)
        block = _with_intervals(_telling(block, users, protocol), users, protocol)
        if reference is not None:
            found += _adjusted(_differences(block, reference, users, protocol))
    return replace(block, reference=reference, differences=tuple(found))


def _reference(block: Block, wanted: str | None) -> str | None:
    ours = [
        row.method
        for row in block.rows
        if any(column.origin != PAPER for column in row.figures) and ":" not in row.method
    ]
    return wanted if wanted in ours else next(iter(ours), None)


def _all_users(block: Block, groups: Groups, protocol: str, runs: Path) -> dict[str, Users]:
    """Users by row, those of baselines from the first results that have them."""
    found: dict[str, Users] = {}
    for (method, under), group in groups.items():
        if under != protocol or group[0].kind != "run":
            continue
        frames = [each.rows(block.task, runs) for each in group]
        if users := _averaged(frames):
            found[method] = users
        name = group[0].systems(block.task)[1:]
        if name and f"baseline:{name[0]}" not in found:
            beside = _averaged([group[0].rows(block.task, runs, 1)])
            found |= {f"baseline:{name[0]}": beside} if beside else {}
    return found


def _telling(block: Block, users: Mapping[str, Users], protocol: str) -> Block:
    """The block whose conditions tell of rows whose users are not at hand."""
    columns = {column for column in block.columns if column.origin == protocol}
    ours = [row for row in block.rows if columns & row.figures.keys()]
    lacking = [row.label for row in ours if row.method not in users]
    if not lacking or protocol not in block.conditions:
        return block
    whose = "users' rows" + ("" if len(lacking) == len(ours) else f" of {', '.join(lacking)}")
    words = (
        f"{block.conditions[protocol]}; {whose} are not at hand: no intervals over users "
        "for means of seeds, no test over users"
    )
    return replace(block, conditions={**block.conditions, protocol: words})


def _averaged(frames: Sequence[pl.DataFrame | None]) -> Users | None:
    """Seeds averaged user by user; None where a seed's users are absent or others."""
    there = [frame for frame in frames if frame is not None]
    if len(there) < len(frames) or not there:
        return None
    keys = [name for name in _UNIT if name in there[0].columns]
    ordered = [frame.sort(keys) for frame in there]
    unit = ordered[0].select(keys).to_numpy()
    if not all(np.array_equal(unit, frame.select(keys).to_numpy()) for frame in ordered):
        return None
    names = [n for n, kind in ordered[0].schema.items() if n not in keys and kind.is_numeric()]
    values = {n: np.mean([frame[n].to_numpy() for frame in ordered], axis=0) for n in names}
    return Users(unit, values)


def _with_intervals(block: Block, users: Mapping[str, Users], protocol: str) -> Block:
    """Where several seeds were averaged, the interval of their mean over users."""
    rows = []
    for row in block.rows:
        values = users[row.method].values if row.method in users else {}
        own = {c: figure for c, figure in row.figures.items() if c.origin == protocol}
        lacking = [c for c in own if len(own[c].seeds) > 1 and c.metric in values]
        if lacking:
            table = np.column_stack([values[column.metric] for column in lacking])
            ends = zip(lacking, bootstrap_means(table, Bootstrap()), strict=True)
            wider = {c: replace(own[c], low=each.low, high=each.high) for c, each in ends}
            row = replace(row, figures={**row.figures, **wider})
        rows.append(row)
    return replace(block, rows=tuple(rows))


def _differences(
    block: Block, reference: str, users: Mapping[str, Users], protocol: str
) -> list[Difference]:
    """All columns and other rows under a protocol, by users where both have them."""
    mine = next(row.figures for row in block.rows if row.method == reference)
    plain = [
        _by_seeds(column, row, mine[column])
        for row in block.rows
        if row.method != reference
        for column in block.columns
        if column.origin == protocol and column in row.figures and column in mine
    ]
    pairs = [_pair(each, reference, users) for each in plain]
    known = [pair for pair in pairs if pair is not None]
    if not known:
        return plain
    tested = iter(paired_bootstrap(np.column_stack(known)))
    return [
        each if pair is None else _tested(each, *next(tested))
        for each, pair in zip(plain, pairs, strict=True)
    ]


def _by_seeds(column: Column, row: Row, mine: Figure) -> Difference:
    """The difference of two means, and the t-test over the seeds that both have."""
    other = row.figures[column]
    shared = sorted(mine.seeds.keys() & other.seeds.keys())
    first, second = ([figure.seeds[seed] for seed in shared] for figure in (mine, other))
    p_value = paired_t_test(first, second)
    estimate = Estimate(mine.value - other.value)
    return Difference(column, row.method, row.label, estimate, p_seeds=p_value)


def _pair(each: Difference, reference: str, users: Mapping[str, Users]) -> np.ndarray | None:
    mine, other = users.get(reference), users.get(each.method)
    metric = each.column.metric
    if mine is None or other is None or metric not in mine.values or metric not in other.values:
        return None
    if not np.array_equal(mine.unit, other.unit):
        return None
    return mine.values[metric] - other.values[metric]


def _tested(each: Difference, estimate: Estimate, p_users: float) -> Difference:
    return replace(each, estimate=estimate, p_users=p_users)


def _adjusted(differences: list[Difference]) -> list[Difference]:
    tested = [each for each in differences if each.p_users is not None]
    adjusted = dict(zip(map(id, tested), holm([e.p_users or 0.0 for e in tested]), strict=True))
    return [replace(each, p_holm=adjusted.get(id(each))) for each in differences]


_MUST_AGREE = {
    "part": "part",
    "max_users": "number of users",
    "max_pairs": "number of pairs",
    "users_seed": "sample of users",
    "pairs_seed": "sample of pairs",
    "num_negatives": "number of negatives",
    "negatives_seed": "sample of negatives",
    "split": "split",
    "split_seed": "seed of the split",
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


def conditions_of(results: Sequence[Result], task: str) -> dict[str, str]:
    """In words, by protocol: how many users, which split, which data."""
    found: dict[str, str] = {}
    for result in results:
        if result.kind != "run" or task == TIME:
            continue
        report = result.report(task)
        users = report.get("num_users")
        counted = f"{users:,} users" if users else f"{report['num_pairs']:,} pairs"
        checksum = result.data["checksum"][:12]
        words = f"{counted}, {report['settings']['split']} split, data {checksum}"
        found.setdefault(result.place.protocol, words)
    return found


def _conditions(result: Result, task: str) -> dict[str, Any]:
    found: dict[str, Any] = {"data checksum": result.data["checksum"][:12]}
    if result.kind != "run":
        return found
    protocol = recorded_protocol(result.content["run"].get("protocol")).to_dict()
    found |= {_PROTOCOL.get(key, key): value for key, value in protocol.items()}
    if task != TIME:
        settings = result.report(task)["settings"]
        found |= {said: settings[key] for key, said in _MUST_AGREE.items() if key in settings}
    return found


def _spelled(conditions: Mapping[str, Any], name: str) -> object:
    value = conditions.get(name, "not told")
    return "all" if value is None else value


def compare(
    results: Sequence[Result],
    layout: Layout,
    tables: Sequence[str] = (),
    *,
    reference: str | None = None,
) -> list[Comparison]:
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
    found: dict[str, Group] = {name: [] for name in tables}
    for result in sorted(results, key=lambda each: each.place.path):
        found.setdefault(result.place.table, []).append(result)
    return [_compared(name, group, layout, reference) for name, group in found.items()]


def _compared(name: str, results: Group, layout: Layout, reference: str | None) -> Comparison:
    paper = read_paper(layout.configs, name)
    if reference is not None:
        paper = replace(paper, reference=reference)
    asked = list(asked_cells(layout.configs, name))
    told = [(row.dataset, row.task) for row in paper.rows if row.dataset != ANY]
    wanted = dict.fromkeys([*_measured(results, paper), *_asked(asked, paper), *told])
    blocks = [_block(place, results, paper, asked, layout.runs) for place in wanted]
    if paper.by_dataset:
        blocks = by_dataset(blocks, paper)
    settings = {
        row_key(each): flat_settings(each.content["run"]["config"])
        for each in results
        if each.kind == "run"
    }
    warnings = dict.fromkeys(each.content["warning"] for each in results if each.leaks)
    return Comparison(name, paper, tuple(blocks), (*warnings,), settings, _pictures(results))


def _measured(results: Group, paper: Paper) -> Iterator[tuple[str, str]]:
    """Data sets and tasks of ours; seconds only where the paper has them in its table."""
    times = any(row.task == TIME for row in paper.rows)
    for result in results:
        tasks = [TIME] if times else list(result.content["results"])
        printed = {row.task for row in paper.rows}
        wanted = [task for task in tasks if not printed or task in printed]
        yield from ((result.place.dataset, task) for task in wanted)


def _asked(asked: Sequence[RequestedRow], paper: Paper) -> Iterator[tuple[str, str]]:
    """Data sets and tasks of configurations, as far as they or the paper name tasks."""
    printed = dict.fromkeys(row.task for row in paper.rows)
    for each in asked:
        tasks = [task for task in printed if each.has(task)]
        yield from ((each.dataset, task) for task in tasks or each.tasks)


def _block(
    place: tuple[str, str], results: Group, paper: Paper, asked: Sequence[RequestedRow], runs: Path
) -> Block:
    dataset, task = place
    mine = [each for each in results if each.place.dataset == dataset and _has(each, task)]
    groups = groups_of(mine)
    for protocol in {key[1] for key in groups}:
        check_same_conditions([r for r in mine if r.place.protocol == protocol], task)
    printed = paper.printed(dataset, task)
    columns = _columns(paper, mine, task, bool(printed))
    figures: dict[str, dict[Column, Figure]] = {
        m: {} for m in _methods(place, groups, paper, asked)
    }
    for row in printed:
        values = row.figures.items()
        figures[row.method] = {Column(name, PAPER): Figure(value) for name, value in values}
    for (method, protocol), group in groups.items():
        own = figures.setdefault(method, {})
        own |= figures_of(group, task, protocol, 0)
    figures |= baselines_of(groups, task)
    rows = tuple(
        Row(method, _label(method, task, paper), {c: f for c, f in own.items() if c in columns})
        for method, own in figures.items()
    )
    block = Block(dataset, task, columns, rows, conditions=conditions_of(mine, task))
    block = differences_of(block, groups, paper.reference, runs)
    return marked(block, paper.better)


def _methods(
    place: tuple[str, str],
    groups: Iterable[tuple[str, str]],
    paper: Paper,
    asked: Sequence[RequestedRow],
) -> list[str]:
    """The block's rows: printed, asked for or measured, in the paper's order."""
    dataset, task = place
    rows = [row.method for row in paper.printed(dataset, task)]
    mine = [each.method for each in asked if each.dataset == dataset and each.has(task)]
    found = dict.fromkeys([*rows, *mine, *(method for method, _ in groups)])
    return sorted(found, key=lambda method: paper.order(method, task))


def _has(result: Result, task: str) -> bool:
    return task in result.content["results"] or (task == TIME and result.kind == "run")


def _columns(paper: Paper, mine: Group, task: str, printed: bool) -> tuple[Column, ...]:
    metrics = paper.metrics or tuple(dict.fromkeys(m for each in mine for m in each.figures(task)))
    own = [row.figures for row in paper.rows if row.task == task and row.figures]
    if own:
        metrics = tuple(name for name in metrics if any(name in row for row in own))
    told = printed and bool(own)
    released = [paper.released] if paper.released and (printed or _under(mine, paper)) else []
    others = [r.place.protocol for r in mine if r.place.protocol != HONEST]
    first = [PAPER] if told else []
    origins: dict[str, None] = dict.fromkeys([*first, *released, *others, HONEST])
    return tuple(Column(metric, origin) for metric in metrics for origin in origins)


def _under(mine: Group, paper: Paper) -> bool:
    return any(each.place.protocol == paper.released for each in mine)


def _label(method: str, task: str, paper: Paper) -> str:
    if method.startswith("baseline:"):
        return method.removeprefix("baseline:")
    bare = method.removesuffix("-no-rerank")
    return paper.label(bare, task) + (", raw lists" if bare != method else "")


def _pictures(results: Group) -> dict[str, str]:
    """Pictures beside results of vectors."""
    files = {
        f"{result.place.dataset}, {kind}": picture_of(result.file, kind)
        for result in results
        if result.kind == "vectors"
        for kind in result.content["results"]
    }
    return {title: str(file) for title, file in files.items() if file.is_file()}
