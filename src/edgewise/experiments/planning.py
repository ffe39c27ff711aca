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
    import_command,
    path_text,
    reproduce_command,
    spelled,
)
from edgewise.experiments.finished import why_unfinished
from edgewise.experiments.layout import Layout
from edgewise.experiments.training import OtherRunError, shared_runs, step_of_run
from edgewise.runs.info import read_info


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
    try:
        step = step_of_run(run, first, layout, force=force)
    except OtherRunError as error:
        return [f"# {path_text(run)} holds {error.other}: the same with --force replaces it"]
    except EdgewiseError as error:
        return [f"# {error}"]
    name, words = step or ("", [])
    fitted = first.settings if name == "fit" else read_info(run).config
    measured = [spelled(evaluate_command(cell, layout, run, fitted)) for cell in cells]
    return [spelled(words), *measured] if words else measured
