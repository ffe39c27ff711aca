"""All cells of a table: what is finished is left alone, what was interrupted goes on."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from edgewise.errors import EdgewiseError
from edgewise.experiments.cells import Cell
from edgewise.experiments.commands import (
    data_folder,
    evaluate_command,
    import_command,
)
from edgewise.experiments.describing import describe_cell
from edgewise.experiments.layout import Layout
from edgewise.experiments.planning import Work
from edgewise.experiments.steps import Commands, StoppedError
from edgewise.experiments.training import step_of_run
from edgewise.runs.info import read_info

OnStep = Callable[[Cell, str], None]
"""Told a cell and what happens to it: a step's name, ``finished``, ``failed``."""


@dataclass
class Outcome:
    """What became of the cells.

    Attributes:
        done, skipped: cells made now, and those that were there.
        failed: the reason by cell.
    """

    done: list[Cell] = field(default_factory=list)
    skipped: list[Cell] = field(default_factory=list)
    failed: dict[Cell, str] = field(default_factory=dict)


def reproduce(
    work: Work,
    layout: Layout,
    *,
    jobs: int = 1,
    force: bool = False,
    on_step: OnStep | None = None,
) -> Outcome:
    """Import, fit and measure what is left; a cell that fails stops no other.

    Args:
        work: from :func:`edgewise.experiments.planning.plan_work`.
        layout: where everything stands.
        jobs: groups at a time, one process of one thread each.
        force: replace runs of other settings that bear a cell's name.
        on_step: told what happens, from several threads.

    Raises:
        KeyboardInterrupt: after all processes have ended in a state that can be resumed.
    """
    runner = _Runner(layout, force, on_step or (lambda cell, step: None))
    runner.outcome.skipped.extend(work.finished)
    pool = ThreadPoolExecutor(max_workers=jobs)
    try:
        waiting = [pool.submit(runner.make, *group) for group in work.groups.items()]
        for each in waiting:
            each.result()
    except BaseException:
        runner.commands.stop()
        pool.shutdown(wait=True, cancel_futures=True)
        raise
    pool.shutdown()
    return runner.outcome


class _Runner:
    """Makes groups of cells; several threads may ask at once."""

    def __init__(self, layout: Layout, force: bool, on_step: OnStep) -> None:
        self.commands = Commands()
        self.outcome = Outcome()
        self._layout, self._force, self._on_step = layout, force, on_step
        self._imports: dict[Path, threading.Lock] = defaultdict(threading.Lock)

    def make(self, run: Path, cells: list[Cell]) -> None:
        """Bring one run to its end and measure it for each of its cells."""
        try:
            self._import(cells[0])
            if cells[0].recipe.kind == "run":
                self._fit(run, cells[0])
        except StoppedError:
            return
        except (EdgewiseError, OSError) as error:
            for cell in cells:
                self._fail(cell, error)
            return
        for cell in cells:
            self._finish(run, cell)

    def _finish(self, run: Path, cell: Cell) -> None:
        try:
            if cell.recipe.kind == "run":
                words = evaluate_command(cell, self._layout, run, read_info(run).config)
                self._step(cell, "evaluate", words)
            else:
                self._on_step(cell, "describe")
                describe_cell(cell, self._layout)
        except StoppedError:
            return
        except (EdgewiseError, OSError) as error:
            self._fail(cell, error)
        else:
            self.outcome.done.append(cell)
            self._on_step(cell, "finished")

    def _import(self, cell: Cell) -> None:
        folder = data_folder(cell, self._layout)
        with self._imports[folder]:
            if not folder.exists():
                self._step(cell, "import", import_command(cell, self._layout))

    def _fit(self, run: Path, cell: Cell) -> None:
        step = step_of_run(run, cell, self._layout, force=self._force)
        if step is not None:
            self._step(cell, *step)

    def _step(self, cell: Cell, name: str, words: Sequence[str]) -> None:
        self._on_step(cell, name)
        self.commands.run(words, self._layout.runs / "logs" / f"{cell.place.path}.log")

    def _fail(self, cell: Cell, error: Exception) -> None:
        self.outcome.failed[cell] = " ".join(str(error).split())
        self._on_step(cell, "failed")
