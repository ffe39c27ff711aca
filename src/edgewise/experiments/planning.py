"""Which cells of a table are left to do, and the commands that will do them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgewise.experiments.cells import Cell
from edgewise.experiments.commands import (
    data_folder,
    evaluate_command,
    fit_command,
    import_command,
    spelled,
)
from edgewise.experiments.finished import why_unfinished
from edgewise.experiments.layout import Layout
from edgewise.experiments.training import shared_runs
from edgewise.runs.info import is_run, read_info


@dataclass(frozen=True)
class Work:
    """Cells to be made, by the run that they share, and why each is wanted."""

    groups: dict[Path, list[Cell]]
    reasons: dict[Cell, str]
    finished: list[Cell]


def plan_work(cells: Sequence[Cell], layout: Layout) -> Work:
    """Which of the cells are left to do, and on which run each is measured."""
    reasons = {cell: why_unfinished(cell, layout) for cell in cells}
    left = {cell: reason for cell, reason in reasons.items() if reason is not None}
    models = [cell for cell in left if cell.recipe.kind == "run"]
    groups = shared_runs(models, layout)
    for cell in left:
        if cell.recipe.kind != "run":
            groups[layout.runs / cell.place.path] = [cell]
    return Work(groups, left, [cell for cell in cells if cell not in left])


def commands_of(work: Work, layout: Layout) -> list[str]:
    """The commands that would be run from the start, as a person would type them."""
    lines: list[str] = []
    for run, cells in work.groups.items():
        first, data = cells[0], data_folder(cells[0], layout)
        if not data.exists():
            lines.append(spelled(import_command(first, layout)))
        if first.recipe.kind != "run":
            continue
        if not is_run(run):
            lines.append(spelled(fit_command(first, layout, run)))
        for cell in cells:
            fitted = read_info(run).config if is_run(run) else first.settings
            lines.append(spelled(evaluate_command(cell, layout, run, fitted)))
    return list(dict.fromkeys(lines))
