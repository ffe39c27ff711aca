"""All cells of a table: what is finished is left alone, what was interrupted goes on.

Each step of a cell (import, fit, evaluate) is made by a worker: a process of its own that prints
into the cell's log (:mod:`edgewise.experiments.workers`).
"""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from edgewise.config import flat_settings, is_of_answers, to_dict
from edgewise.errors import EdgewiseError
from edgewise.experiments.describing import describe_cell
from edgewise.experiments.grid import DataOptions, ExperimentCell, Layout, path_text
from edgewise.experiments.plan import (
    Step,
    Work,
    evaluate_command,
    fit_command,
    import_command,
    reproduce_command,
    shows_raw_lists,
    step_of_run,
)
from edgewise.experiments.workers import StoppedError, Workers
from edgewise.recommender import FitPlan
from edgewise.runs.run import read_info

OnStep = Callable[[ExperimentCell, str], None]
"""Told a cell and what happens to it: a step's name, ``finished``, ``failed``."""


@dataclass
class Outcome:
    """What became of the cells.

    Attributes:
        done, skipped: cells made now, and those that were there.
        failed: the reason by cell.
    """

    done: list[ExperimentCell] = field(default_factory=list)
    skipped: list[ExperimentCell] = field(default_factory=list)
    failed: dict[ExperimentCell, str] = field(default_factory=dict)


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
        work: from :func:`edgewise.experiments.plan.plan_work`.
        layout: where everything stands.
        jobs: runs at a time, one process of one thread each.
        force: replace runs of other settings that bear a cell's name.
        on_step: told what happens, from several threads.

    Raises:
        KeyboardInterrupt: after all workers have ended in a state that can be resumed.
    """
    runner = _Runner(layout, force, on_step or (lambda cell, step: None))
    runner.outcome.skipped.extend(work.finished)
    pool = ThreadPoolExecutor(max_workers=jobs)
    try:
        waiting = [pool.submit(runner.make, *group) for group in work.groups.items()]
        for each in waiting:
            each.result()
    except BaseException:
        runner.workers.stop()
        pool.shutdown(wait=True, cancel_futures=True)
        raise
    pool.shutdown()
    return runner.outcome


class _Runner:
    """Makes groups of cells; several threads may ask at once."""

    def __init__(self, layout: Layout, force: bool, on_step: OnStep) -> None:
        self.workers = Workers()
        self.outcome = Outcome()
        self._layout, self._force, self._on_step = layout, force, on_step
        self._imports: dict[Path, threading.Lock] = defaultdict(threading.Lock)

    def make(self, run: Path, cells: list[ExperimentCell]) -> None:
        """Bring one run to its end and measure it for each of its cells."""
        try:
            self._import(cells[0])
            if cells[0].options.kind == "run":
                self._fit(run, cells[0])
        except StoppedError:
            return
        except (EdgewiseError, OSError) as error:
            for cell in cells:
                self._fail(cell, error)
            return
        for cell in cells:
            self._finish(run, cell)

    def _finish(self, run: Path, cell: ExperimentCell) -> None:
        layout = self._layout
        try:
            if cell.options.kind == "run":
                command = evaluate_command(cell, layout, run, read_info(run).spec.config)
                self._step(cell, "evaluate", command, evaluate_cell, run, command)
            else:
                self._step(cell, "describe", reproduce_command(cell, layout), describe_cell)
        except StoppedError:
            return
        except (EdgewiseError, OSError) as error:
            self._fail(cell, error)
        else:
            self.outcome.done.append(cell)
            self._on_step(cell, "finished")

    def _import(self, cell: ExperimentCell) -> None:
        folder = self._layout.data_folder(cell)
        with self._imports[folder]:
            if not folder.exists():
                self._step(cell, "import", import_command(cell, self._layout), import_data)

    def _fit(self, run: Path, cell: ExperimentCell) -> None:
        step = step_of_run(run, cell, self._layout, force=self._force)
        if step is not None:
            command = fit_command(cell, self._layout, run, step)
            name = "resume" if step == "resume" else "fit"
            self._step(cell, name, command, fit_cell, run, step, command)

    def _step(
        self,
        cell: ExperimentCell,
        name: str,
        command: str,
        function: Callable[..., None],
        *more: Any,
    ) -> None:
        self._on_step(cell, name)
        log = self._layout.log_file(cell.key)
        self.workers.run(function, cell, self._layout, *more, command=command, log=log)

    def _fail(self, cell: ExperimentCell, error: Exception) -> None:
        self.outcome.failed[cell] = " ".join(str(error).split())
        self._on_step(cell, "failed")


def import_data(cell: ExperimentCell, layout: Layout) -> None:
    """Make the data set of a cell as its table and protocol ask."""
    from edgewise.data.filters import Filters
    from edgewise.data.importing import ImportOptions, import_dataset

    given = dict(cell.import_options)
    names = ("min_rating", "duplicates", "max_users", "k_core")
    filters = {name: given.pop(name) for name in names if name in given}
    # A data set that is imported as it comes keeps the name of its source.
    name = None if cell.options.data == DataOptions() else cell.key.dataset
    seed = given.get("seed", 0)
    options = ImportOptions(name, filters=Filters(**filters, seed=seed), **given)
    import_dataset(layout.raw_source(cell), layout.data_folder(cell), options)


def fit_cell(
    cell: ExperimentCell, layout: Layout, run: Path, step: Step, command: str = ""
) -> None:
    """Train the run of a cell, or go on with it."""
    from edgewise.data.dataset import Dataset
    from edgewise.runs.spec import DataInfo, RunSpec
    from edgewise.runs.train import train

    def told(plan: FitPlan) -> None:
        for name, value in plan.rows:
            print(f"{name}: {value}", flush=True)

    if step == "resume":
        train(read_info(run).spec, run, resume=True, on_plan=told)
        return
    folder = layout.data_folder(cell)
    dataset = Dataset.load(folder)
    data = DataInfo.of(dataset, path_text(folder))
    spec = RunSpec(cell.method, cell.settings, data, cell.protocol, *cell.split, command)
    spec = replace(spec, cold_share=cell.options.cold_items)
    train(spec, run, dataset=dataset, force=step == "replace", on_plan=told)


def evaluate_cell(cell: ExperimentCell, layout: Layout, run: Path, command: str = "") -> None:
    """Measure the run of a cell and write its result file and its users."""
    from edgewise.runs.audit import saved_headline
    from edgewise.runs.evaluate import Conditions, evaluate_run, write_document
    from edgewise.runs.run import open_run

    wanted, audited = cell.options.evaluation, saved_headline(run)
    opened = open_run(run).decoding_as(decoding_of(cell.settings))
    conditions = Conditions(
        ks=wanted.ks,
        metrics=wanted.metrics,
        num_negatives=wanted.negatives,
        max_users=wanted.max_users,
        allow_seen=shows_raw_lists(cell),
        by=wanted.by,
        first_events=wanted.first_events,
    )
    folder = layout.per_user_folder(cell.key)
    results = evaluate_run(opened, conditions, wanted.tasks, folder=folder)  # type: ignore[arg-type]
    for found in results:
        for name, report in found.reports.items():
            means = (f"{metric} {each.mean:.4f}" for metric, each in report.metrics.items())
            print(f"{found.task}, {name}: {', '.join(means)}", flush=True)
    write_document(layout.result_file(cell.key), opened, results, audited, command)


def decoding_of(settings: Any) -> list[str]:
    """All settings that only answers read, ``decoding.key=value`` each."""
    values = flat_settings(to_dict(settings))
    return [f"{key}={json.dumps(value)}" for key, value in values.items() if is_of_answers(key)]
