"""Our figures out of result files: seeds averaged, baselines beside."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence

from edgewise.evaluation.intervals import Estimate
from edgewise.experiments.blocks import Column, Figure
from edgewise.experiments.results import TIME, Result

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
