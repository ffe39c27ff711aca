"""The paper's figure, ours under the released protocol, and ours under the honest one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from edgewise.experiments.asked import Asked, asked_cells, by_dataset
from edgewise.experiments.blocks import PAPER, Block, Column, Comparison, Figure, Row
from edgewise.experiments.conditions import check_same_conditions, conditions_of
from edgewise.experiments.describing import picture_of
from edgewise.experiments.differences import differences_of
from edgewise.experiments.gathering import Group, baselines_of, figures_of, groups_of, row_key
from edgewise.experiments.layout import HONEST, Layout
from edgewise.experiments.marking import marked
from edgewise.experiments.paper import ANY, Paper, read_paper
from edgewise.experiments.results import TIME, Result
from edgewise.runs.settings import flat_settings


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
        layout: where ``paper.csv`` files and users' rows are.
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
    paper = read_paper(layout.experiments / name)
    if reference is not None:
        paper = replace(paper, reference=reference)
    asked = list(asked_cells(layout.experiments / name))
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


def _asked(asked: Sequence[Asked], paper: Paper) -> Iterator[tuple[str, str]]:
    """Data sets and tasks of configurations, as far as they or the paper name tasks."""
    printed = dict.fromkeys(row.task for row in paper.rows)
    for each in asked:
        tasks = [task for task in printed if each.has(task)]
        yield from ((each.dataset, task) for task in tasks or each.tasks)


def _block(
    place: tuple[str, str], results: Group, paper: Paper, asked: Sequence[Asked], runs: Path
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
    place: tuple[str, str], groups: Iterable[tuple[str, str]], paper: Paper, asked: Sequence[Asked]
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
