"""One command of a cell, run as a process of its own whose words go into a log.

Which run a cell is measured on: cells that differ in decoding alone share one training.

Which cells of a table are left to do, and the commands that will do them.

All cells of a table: what is finished is left alone, what was interrupted goes on.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from edgewise.config import to_dict
from edgewise.errors import EdgewiseError
from edgewise.experiments.describing import (
    Words,
    data_folder,
    describe_cell,
    evaluate_command,
    fit_command,
    held_out,
    import_command,
    path_text,
    protocol_of,
    reproduce_command,
    resume_command,
    spelled,
    why_unfinished,
)
from edgewise.experiments.grid import ExperimentCell, Layout
from edgewise.experiments.results import recorded_checksum
from edgewise.runs.run import FILE, FINISHED, RunInfo, is_run, read_info
from edgewise.runs.spec import differences

EDGEWISE = (sys.executable, "-m", "edgewise.cli.main")
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS")
_PATIENCE = 30
_SHOWN = 300


class StepError(EdgewiseError):
    """A command of a cell failed; the message is its last line of error and names the log."""


class StoppedError(EdgewiseError):
    """Somebody asked all cells to stop."""


class Commands:
    """Runs ``edgewise`` commands in processes of one thread each, until told to stop.

    Args:
        program: what the words of a command are given to.
    """

    def __init__(self, program: Sequence[str] = EDGEWISE) -> None:
        self._program = program
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._stopping = threading.Event()

    def run(self, words: Sequence[str], log: Path) -> None:
        """Run one command to its end.

        Raises:
            StepError: it failed.
            StoppedError: :meth:`stop` was called.
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        mark = log.with_suffix(".pid")
        _refuse_second(mark)
        with log.open("ab") as file:
            file.write(f"$ {spelled(words)}\n".encode())
            file.flush()
            process = self._started(words, file)
            mark.write_text(str(process.pid), encoding="utf-8")
            code = self._wait(process)
        mark.unlink(missing_ok=True)
        if self._stopping.is_set():
            raise StoppedError("stopped")
        if code:
            raise StepError(f"{_last_words(log) or f'exit code {code}'} (see {log})")

    def stop(self) -> None:
        """End what is running as Ctrl-C would, so that it can be resumed; start nothing more."""
        self._stopping.set()
        with self._lock:
            for process in self._running:
                # SIGINT is ignored by whatever a script starts in the background.
                process.send_signal(signal.SIGTERM)

    def _started(self, words: Sequence[str], log: object) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._stopping.is_set():
                raise StoppedError("stopped")
            process = subprocess.Popen(
                [*self._program, *words],
                stdin=subprocess.DEVNULL,
                stdout=log,  # type: ignore[arg-type]
                stderr=subprocess.STDOUT,
                env=os.environ | dict.fromkeys(_THREADS, "1"),
                # Ctrl-C reaches it through stop(), once, and not twice through the terminal.
                start_new_session=True,
            )
            self._running.add(process)
            return process

    def _wait(self, process: subprocess.Popen[bytes]) -> int:
        try:
            while process.poll() is None:
                try:
                    return process.wait(timeout=_PATIENCE if self._stopping.is_set() else 1)
                except subprocess.TimeoutExpired:
                    if self._stopping.is_set():
                        process.kill()
            return process.returncode
        finally:
            with self._lock:
                self._running.discard(process)


def _refuse_second(mark: Path) -> None:
    """Leave a cell alone on which a process of an earlier call, killed since, still works."""
    try:
        number = int(mark.read_text(encoding="utf-8"))
        words = Path(f"/proc/{number}/cmdline").read_bytes()
    except (OSError, ValueError):
        return
    if b"edgewise" in words:
        raise StepError(
            f"process {number} of an earlier call still works on it: wait for it, or end it with "
            f"'kill -TERM {number}', which leaves a run that can be resumed, and try again"
        )


def _last_words(log: Path) -> str:
    """The last error that a command printed, or its last line."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").split("\n")]
    said = [line for line in lines if line and not line.startswith("$ ")]
    errors = [line.removeprefix("error: ") for line in said if line.startswith("error: ")]
    return (errors or said or [""])[-1][:_SHOWN]


_SHOWN_training = 4


@dataclass(frozen=True)
class Training:
    """What a model is fitted with; equal for cells that may share a run.

    Attributes:
        method, split, split_seed: names and seed.
        protocol: name, version and options, as JSON.
        data: name of the folder of the imported data set; with a checksum where it is of other
            content than the folder of that name on this machine.
        settings: of the method, as JSON, without those of decoding.
    """

    method: str
    protocol: str
    split: str
    split_seed: int
    data: str
    settings: str

    @classmethod
    def of_cell(cls, cell: ExperimentCell, layout: Layout) -> Training:
        split, seed = held_out(cell)
        data = data_folder(cell, layout).name
        settings = _settings(cell.settings)
        protocol = _spelled(protocol_of(cell).to_dict())
        return cls(cell.method, protocol, split, seed, data, settings)

    @classmethod
    def of_run(cls, info: RunInfo, layout: Layout) -> Training:
        data, found = Path(info.data.folder).name, info.data.checksum
        wanted = recorded_checksum(layout.runs / "data" / data)
        data = data if wanted in (None, found) else f"{data} with checksum {found[:12]}"
        protocol = _spelled(info.protocol.to_dict())
        names = (info.method_name, protocol, info.split_kind, info.split_seed)
        return cls(*names, data, _settings(info.config))


def fitted_otherwise(info: RunInfo, cell: ExperimentCell, layout: Layout) -> str | None:
    """How a run differs from the one that a cell is measured on, None if it does not."""
    found, wanted = Training.of_run(info, layout), Training.of_cell(cell, layout)
    if found == wanted:
        return None
    names = ("method", "protocol", "split", "split_seed", "data")
    pairs = {name: (getattr(found, name), getattr(wanted, name)) for name in names}
    changed = [f"{name} ({old}, now {new})" for name, (old, new) in pairs.items() if old != new]
    if found.method == wanted.method:
        settings = differences(info.config, cell.settings)
        changed += [each for each in settings if not each.startswith("decoding.")]
    more = ", ..." if len(changed) > _SHOWN_training else ""
    return f"a run of other settings ({', '.join(changed[:_SHOWN_training])}{more})"


class OtherRunError(EdgewiseError):
    """A run of other settings stands where a cell's is to be.

    Attributes:
        other: how it differs, from :func:`fitted_otherwise`.
    """

    def __init__(self, run: Path, other: str) -> None:
        super().__init__(f"{run} holds {other}; remove it or replace it with --force")
        self.other = other


def step_of_run(
    run: Path, cell: ExperimentCell, layout: Layout, *, force: bool = False
) -> tuple[str, Words] | None:
    """What brings a cell's run to its end: ``fit`` or ``resume``, and the command of it.

    Returns:
        None where the run is finished.

    Raises:
        OtherRunError: another run stands there, and ``force`` does not replace it.
        EdgewiseError: what stands there cannot be read.
    """
    if not is_run(run):
        return "fit", fit_command(cell, layout, run, force=False)
    info = read_info(run)
    other = fitted_otherwise(info, cell, layout)
    if other is None:
        return None if info.status == FINISHED else ("resume", resume_command(cell, run))
    if not force:
        raise OtherRunError(run, other)
    return "fit", fit_command(cell, layout, run, force=True)


def own_run(cell: ExperimentCell, layout: Layout) -> Path:
    """The run folder that bears the cell's name."""
    return layout.runs / replace(cell.place, raw_lists=False).path


def shared_runs(
    cells: Iterable[ExperimentCell], layout: Layout
) -> dict[Path, list[ExperimentCell]]:
    """Cells by the run that they are measured on, in order.

    A run that stands in ``runs/`` already serves every cell that would train the same; otherwise
    the first of several such cells gives it its name.
    """
    standing = _finished_runs(layout)
    found: dict[Training, Path] = {}
    grouped: dict[Path, list[ExperimentCell]] = {}
    for cell in cells:
        training, own = Training.of_cell(cell, layout), own_run(cell, layout)
        if training not in found:
            found[training] = own if _holds(own, training, layout) else standing.get(training, own)
        grouped.setdefault(found[training], []).append(cell)
    return grouped


def _holds(folder: Path, training: Training, layout: Layout) -> bool:
    """Whether a run of this training was begun in the folder."""
    try:
        return Training.of_run(read_info(folder), layout) == training
    except EdgewiseError:
        return False


def _finished_runs(layout: Layout) -> Mapping[Training, Path]:
    found: dict[Training, Path] = {}
    for file in sorted(layout.runs.rglob(FILE)):
        try:
            info = read_info(file.parent)
        except EdgewiseError:
            continue
        if info.status == FINISHED:
            found.setdefault(Training.of_run(info, layout), file.parent)
    return found


def _settings(config: Any) -> str:
    values = {key: value for key, value in to_dict(config).items() if key != "decoding"}
    return _spelled(values)


def _spelled(values: Mapping[str, Any]) -> str:
    return json.dumps(values, sort_keys=True)


@dataclass(frozen=True)
class Work:
    """Cells to be made, by the run that they share, and why each is wanted."""

    groups: dict[Path, list[ExperimentCell]]
    reasons: dict[ExperimentCell, str]
    finished: list[ExperimentCell]


def plan_work(cells: Sequence[ExperimentCell], layout: Layout) -> Work:
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


def _run_commands(
    run: Path, cells: Sequence[ExperimentCell], layout: Layout, force: bool
) -> list[str]:
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
        work: from :func:`edgewise.experiments.runner.plan_work`.
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

    def make(self, run: Path, cells: list[ExperimentCell]) -> None:
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

    def _finish(self, run: Path, cell: ExperimentCell) -> None:
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

    def _import(self, cell: ExperimentCell) -> None:
        folder = data_folder(cell, self._layout)
        with self._imports[folder]:
            if not folder.exists():
                self._step(cell, "import", import_command(cell, self._layout))

    def _fit(self, run: Path, cell: ExperimentCell) -> None:
        step = step_of_run(run, cell, self._layout, force=self._force)
        if step is not None:
            self._step(cell, *step)

    def _step(self, cell: ExperimentCell, name: str, words: Sequence[str]) -> None:
        self._on_step(cell, name)
        self.commands.run(words, self._layout.runs / "logs" / f"{cell.place.path}.log")

    def _fail(self, cell: ExperimentCell, error: Exception) -> None:
        self.outcome.failed[cell] = " ".join(str(error).split())
        self._on_step(cell, "failed")
