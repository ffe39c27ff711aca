"""What is left to do of a table: which cells, on which runs, and the commands that would do it.

Cells that differ in what only answers read (decoding, whether priors are counted anew) share one
training, whichever table they stand in, and a run that stands there is measured, not fitted again.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from edgewise.config import differences, flat_settings, is_of_answers, to_dict
from edgewise.errors import EdgewiseError
from edgewise.experiments.grid import HONEST, DataOptions, ExperimentCell, Layout, path_text
from edgewise.experiments.results import recorded_checksum, why_unfinished
from edgewise.models.registry import find_method
from edgewise.runs.run import FILE, FINISHED, RunInfo, is_run, read_info
from edgewise.runs.spec import setting_of

_RERANK = "decoding.rerank"
_SHOWN = 4


@dataclass(frozen=True)
class Training:
    """What a model is fitted with; equal for cells that may share a run.

    Attributes:
        method, split, split_seed: names and seed.
        protocol: name, version and options, as JSON.
        data: name of the folder of the imported data set; with a checksum where it is of other
            content than the folder of that name on this machine.
        settings: of the method, as JSON, without those that only answers read.
        cold_items: share of the items that are kept out.
    """

    method: str
    protocol: str
    split: str
    split_seed: int
    data: str
    settings: str
    cold_items: float = 0.0

    @classmethod
    def of_cell(cls, cell: ExperimentCell, layout: Layout) -> Training:
        protocol, data = _json(cell.protocol.to_dict()), layout.data_folder(cell).name
        settings, cold = _trained_settings(cell.settings), cell.options.cold_items
        return cls(cell.method, protocol, *cell.split, data, settings, cold)

    @classmethod
    def of_run(cls, info: RunInfo, layout: Layout) -> Training:
        spec = info.spec
        data, found = Path(spec.data.folder).name, spec.data.checksum
        wanted = recorded_checksum(layout.runs / "data" / data)
        data = data if wanted in (None, found) else f"{data} with checksum {found[:12]}"
        protocol, split = _json(spec.protocol.to_dict()), (spec.split_kind, spec.split_seed)
        settings = _trained_settings(spec.config)
        return cls(spec.method_name, protocol, *split, data, settings, spec.cold_share)


def fitted_otherwise(info: RunInfo, cell: ExperimentCell, layout: Layout) -> str | None:
    """How a run differs from the one that a cell is measured on, None if it does not."""
    found, wanted = Training.of_run(info, layout), Training.of_cell(cell, layout)
    if found == wanted:
        return None
    names = ("method", "protocol", "split", "split_seed", "data", "cold_items")
    pairs = {name: (getattr(found, name), getattr(wanted, name)) for name in names}
    changed = [f"{name} ({old}, now {new})" for name, (old, new) in pairs.items() if old != new]
    if found.method == wanted.method:
        settings = differences(info.spec.config, cell.settings)
        changed += [each for each in settings if not is_of_answers(each)]
    more = ", ..." if len(changed) > _SHOWN else ""
    return f"a run of other settings ({', '.join(changed[:_SHOWN])}{more})"


class OtherRunError(EdgewiseError):
    """A run of other settings stands where a cell's is to be.

    Attributes:
        other: how it differs, from :func:`fitted_otherwise`.
    """

    def __init__(self, run: Path, other: str) -> None:
        super().__init__(f"{run} holds {other}; remove it or replace it with --force")
        self.other = other


Step = Literal["fit", "resume", "replace"]


def step_of_run(
    run: Path, cell: ExperimentCell, layout: Layout, *, force: bool = False
) -> Step | None:
    """What brings a cell's run to its end, None where it is finished.

    Raises:
        OtherRunError: another run stands there, and ``force`` does not replace it.
        EdgewiseError: what stands there cannot be read.
    """
    if not is_run(run):
        return "fit"
    info = read_info(run)
    other = fitted_otherwise(info, cell, layout)
    if other is None:
        return None if info.status == FINISHED else "resume"
    if not force:
        raise OtherRunError(run, other)
    return "replace"


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
        training, own = Training.of_cell(cell, layout), layout.run_folder(cell.key)
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
        if any(part.startswith(".") for part in file.relative_to(layout.runs).parts):
            continue  # being written or removed
        try:
            info = read_info(file.parent)
        except EdgewiseError:
            continue
        if info.status == FINISHED:
            found.setdefault(Training.of_run(info, layout), file.parent)
    return found


def _trained_settings(config: Any) -> str:
    settings = flat_settings(to_dict(config))
    return _json({key: value for key, value in settings.items() if not is_of_answers(key)})


def _json(values: Mapping[str, Any]) -> str:
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
    groups = shared_runs([cell for cell in left if cell.options.kind == "run"], layout)
    for cell in left:
        if cell.options.kind != "run":
            groups[layout.run_folder(cell.key)] = [cell]
    return Work(groups, left, [cell for cell in cells if cell not in left])


def commands_of(work: Work, layout: Layout, *, force: bool = False) -> list[str]:
    """What would be done from the start, as commands that a person may type.

    A run that stands in the way is a comment instead, unless ``force`` replaces it: measuring it
    would put figures of other settings under the cell's name.
    """
    lines: list[str] = []
    for run, cells in work.groups.items():
        first = cells[0]
        if not layout.data_folder(first).exists():
            lines.append(import_command(first, layout))
        if first.options.kind == "run":
            lines += _run_commands(run, cells, layout, force)
        else:
            lines += [reproduce_command(cell, layout) for cell in cells]
    return list(dict.fromkeys(lines))


def _run_commands(
    run: Path, cells: Sequence[ExperimentCell], layout: Layout, force: bool
) -> Iterator[str]:
    """Fit or resume a run, and measure it for each of its cells."""
    try:
        step = step_of_run(run, cells[0], layout, force=force)
        if step is not None:
            yield fit_command(cells[0], layout, run, step)
        fitted = read_info(run).spec.config if step in (None, "resume") else cells[0].settings
    except OtherRunError as error:
        yield f"# {path_text(run)} holds {error.other}: the same with --force replaces it"
        return
    except EdgewiseError as error:
        yield f"# {error}"
        return
    yield from (evaluate_command(cell, layout, run, fitted) for cell in cells)


def import_command(cell: ExperimentCell, layout: Layout) -> str:
    """``edgewise data import``."""
    name = [] if cell.options.data == DataOptions() else ["--name", cell.key.dataset]
    source, out = (path_text(p) for p in (layout.raw_source(cell), layout.data_folder(cell)))
    return _spelled("data", "import", source, *name, *_flags(cell.import_options), "--out", out)


def fit_command(cell: ExperimentCell, layout: Layout, run: Path, step: Step) -> str:
    """``edgewise fit``, with every setting that differs from the preset's."""
    words = ["fit", cell.method]
    if step == "resume":
        return _spelled(*words, "--resume", "--out", path_text(run))
    options, protocol = cell.options, cell.protocol
    preset = find_method(cell.method).preset_config(options.preset)
    words += ["--data", path_text(layout.data_folder(cell)), "--preset", options.preset]
    words += _assignments(cell.settings, preset)
    given: dict[str, Any] = {"split": options.split, "split_seed": options.split_seed or None}
    given |= {"cold_items": options.cold_items or None}
    if protocol.name != HONEST:
        share = options.edge_share if protocol.has_edge_share else None
        given |= {"protocol": protocol.name, "edge_share": share}
    words += _flags({name: value for name, value in given.items() if value is not None})
    force = ["--force"] if step == "replace" else []
    return _spelled(*words, *force, "--out", path_text(run))


def evaluate_command(cell: ExperimentCell, layout: Layout, run: Path, fitted: Any) -> str:
    """``edgewise evaluate``.

    Args:
        cell: what is wanted.
        layout: where the figures go.
        run: the run that is measured, which may have been fitted for another cell.
        fitted: the settings of that run, which may differ in how it decodes.
    """
    wanted = cell.options.evaluation
    repeated = {"--task": wanted.tasks, "--metric": wanted.metrics, "-k": wanted.ks}
    repeated |= {"--by": wanted.by}
    lists = [w for name, values in repeated.items() for v in values for w in (name, str(v))]
    single = {"negatives": wanted.negatives, "max_users": wanted.max_users}
    single |= {"first_events": wanted.first_events or None}
    options = _flags({name: value for name, value in single.items() if value is not None})
    raw = ["--include-seen"] if shows_raw_lists(cell) else []
    users, figures = layout.per_user_folder(cell.key), layout.result_file(cell.key)
    words = ["evaluate", path_text(run), *lists, *options, *_assignments(cell.settings, fitted)]
    return _spelled(*words, *raw, "--per-user", path_text(users), "--json", path_text(figures))


def reproduce_command(cell: ExperimentCell, layout: Layout) -> str:
    """``edgewise reproduce`` for a cell that no other command makes."""
    usual = asdict(Layout())
    given = {name: path for name, path in asdict(layout).items() if path != usual[name]}
    names = {"raw": "raw_data"}
    folders = {names.get(name, name): path_text(path) for name, path in given.items()}
    row = ("--dataset", cell.key.dataset, "--method", cell.key.method)
    return _spelled("reproduce", cell.key.table, *row, *_flags(folders))


def shows_raw_lists(cell: ExperimentCell) -> bool:
    """Whether lists are measured as they were searched, seen items and all."""
    return cell.key.raw_lists or not setting_of(cell.settings, _RERANK, True)


def _assignments(wanted: Any, before: Any) -> list[str]:
    """``--set section.key=value`` for every setting that is another than before."""
    old = flat_settings(to_dict(before))
    changed = {k: v for k, v in flat_settings(to_dict(wanted)).items() if old.get(k) != v}
    return [word for k, v in changed.items() for word in ("--set", f"{k}={_typed(v)}")]


def _typed(value: Any) -> str:
    if value is None:
        return "none"
    words = isinstance(value, list) and bool(value) and all(isinstance(v, str) for v in value)
    return ",".join(value) if words else value if isinstance(value, str) else json.dumps(value)


def _flags(values: Mapping[str, object]) -> list[str]:
    """``--name value`` for each, spelled as on a command line; ``--name`` of what is true."""
    flags = ((f"--{name.replace('_', '-')}", value) for name, value in values.items())
    return [w for flag, v in flags for w in ((flag,) if v is True else (flag, str(v)))]


def _spelled(*words: str) -> str:
    return shlex.join(["edgewise", *words])
