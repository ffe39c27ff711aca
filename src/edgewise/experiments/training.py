"""Which run a cell is measured on: cells that differ in decoding alone share one training."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgewise.configuration import to_dict
from edgewise.errors import EdgewiseError
from edgewise.experiments.cells import Cell
from edgewise.experiments.commands import (
    Words,
    data_folder,
    fit_command,
    held_out,
    protocol_of,
    resume_command,
)
from edgewise.experiments.data_sets import recorded_checksum
from edgewise.experiments.layout import Layout
from edgewise.runs.info import FILE, FINISHED, RunInfo, is_run, read_info
from edgewise.runs.settings import differences

_SHOWN = 4


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
    def of_cell(cls, cell: Cell, layout: Layout) -> Training:
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


def fitted_otherwise(info: RunInfo, cell: Cell, layout: Layout) -> str | None:
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


def step_of_run(
    run: Path, cell: Cell, layout: Layout, *, force: bool = False
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


def own_run(cell: Cell, layout: Layout) -> Path:
    """The run folder that bears the cell's name."""
    return layout.runs / replace(cell.place, raw_lists=False).path


def shared_runs(cells: Iterable[Cell], layout: Layout) -> dict[Path, list[Cell]]:
    """Cells by the run that they are measured on, in order.

    A run that stands in ``runs/`` already serves every cell that would train the same; otherwise
    the first of several such cells gives it its name.
    """
    standing = _finished_runs(layout)
    found: dict[Training, Path] = {}
    grouped: dict[Path, list[Cell]] = {}
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
