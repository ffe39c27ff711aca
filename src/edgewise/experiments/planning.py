"""Which cells of a table are left to do, and the commands that will do them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgewise.errors import EdgewiseError
from edgewise.experiments.cells import Cell
from edgewise.experiments.commands import (
    data_folder,
    evaluate_command,
    fit_command,
    import_command,
    path_text,
    reproduce_command,
    resume_command,
    spelled,
)
from edgewise.experiments.finished import why_unfinished
from edgewise.experiments.layout import Layout
from edgewise.experiments.training import fitted_otherwise, shared_runs
from edgewise.runs.info import FINISHED, is_run, read_info


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


def commands_of(work: Work, layout: Layout, *, force: bool = False) -> list[str]:
    """The commands that would be run from the start, as a person would type them.

    A run that stands in the way is a comment instead, unless ``force`` replaces it: measuring it
    would put figures of other settings under the cell's name.
    """
    lines: list[str] = []
    for run, cells in work.groups.items():
        first = cells[0]
        if not data_folder(first, layout).exists():
            lines.append(spelled(import_command(first, layout)))
        if first.recipe.kind == "run":
            lines += _run_commands(run, cells, layout, force)
        else:
            lines += [spelled(reproduce_command(cell, layout)) for cell in cells]
    return list(dict.fromkeys(lines))


def _run_commands(run: Path, cells: Sequence[Cell], layout: Layout, force: bool) -> list[str]:
    """Fit or resume a run, and measure it for each of its cells."""
    first = cells[0]
    config, fit = first.settings, [spelled(fit_command(first, layout, run, force=is_run(run)))]
    if is_run(run):
        try:
            info = read_info(run)
            other = fitted_otherwise(info, first, layout)
        except EdgewiseError as error:
            return [f"# {error}"]
        if other is not None and not force:
            return [f"# {path_text(run)} holds {other}: the same with --force replaces it"]
        if other is None:
            config, resume = info.config, [spelled(resume_command(first, run))]
            fit = [] if info.status == FINISHED else resume
    return fit + [spelled(evaluate_command(cell, layout, run, config)) for cell in cells]
