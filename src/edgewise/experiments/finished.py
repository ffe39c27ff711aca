"""Whether a cell's figures are there already, made as the cell asks for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgewise.configuration import updated
from edgewise.errors import ConfigError, EdgewiseError
from edgewise.evaluation.recorded import recorded_protocol
from edgewise.experiments.cells import Cell
from edgewise.experiments.commands import data_folder, held_out, protocol_of, result_file
from edgewise.experiments.data_sets import other_data, recorded_checksum
from edgewise.experiments.layout import Layout
from edgewise.experiments.results import Result, read_result
from edgewise.runs.settings import differences


def why_unfinished(cell: Cell, layout: Layout) -> str | None:
    """What the cell's result file lacks, None where nothing is left to do."""
    file = result_file(cell, layout)
    if not file.exists():
        return "not measured yet"
    try:
        result = read_result(file, layout.results, allow_unsealed=True)
    except EdgewiseError as error:
        return str(error)
    return (
        _fitted_otherwise(cell, result)
        or _on_other_data(cell, result, layout)
        or _measured_otherwise(cell, result)
    )


def _fitted_otherwise(cell: Cell, result: Result) -> str | None:
    if result.kind != cell.recipe.kind:
        return f"holds {result.kind} figures instead of {cell.recipe.kind} figures"
    if cell.recipe.kind != "run":
        return None if result.content.get("recipe") == described(cell) else "settings changed"
    run = result.content["run"]
    split, seed = held_out(cell)
    expected: dict[str, Any] = {"method": cell.method, "protocol": protocol_of(cell).to_dict()}
    protocol = recorded_protocol(run.get("protocol")).to_dict()
    found: dict[str, Any] = {"method": result.method, "protocol": protocol}
    expected |= {"split": {"kind": split, "seed": seed}}
    found |= {"split": run["split"]}
    for name, value in expected.items():
        if found[name] != value:
            return f"{name} {found[name]}, now {value}"
    return _changed_settings(cell, run["config"])


def _on_other_data(cell: Cell, result: Result, layout: Layout) -> str | None:
    """Whether the data set on this machine, if it is here, is another than was measured."""
    folder, found = data_folder(cell, layout), result.data
    if Path(found["folder"]).name != folder.name:
        return f"measured on the data set {Path(found['folder']).name}, now {folder.name}"
    try:
        wanted = recorded_checksum(folder)
    except EdgewiseError as error:
        return str(error)
    return None if wanted in (None, found["checksum"]) else other_data(found["checksum"], wanted)


def _changed_settings(cell: Cell, values: Mapping[str, Any]) -> str | None:
    try:
        # A setting that is younger than the result had its default's effect.
        before = updated(type(cell.settings)(), values)
    except ConfigError as error:
        return str(error)
    changed = differences(before, cell.settings)
    return f"settings changed: {', '.join(changed)}" if changed else None


def _measured_otherwise(cell: Cell, result: Result) -> str | None:
    wanted = cell.recipe.evaluation
    if cell.recipe.kind != "run":
        return None
    for task in wanted.tasks or result.tasks:
        if task not in result.tasks:
            return f"{task} not measured"
        settings, metrics = result.report(task)["settings"], result.report(task)["metrics"]
        most = settings.get("max_pairs" if task == "explanation" else "max_users")
        if most != wanted.max_users:
            return f"{task} measured on {most or 'all'} users, now {wanted.max_users or 'all'}"
        negatives = wanted.negatives or protocol_of(cell).num_negatives
        if task == "direct" and settings["num_negatives"] != negatives:
            return f"{task} measured with {settings['num_negatives']} negatives"
        missing = [] if task == "explanation" else _missing(wanted.metrics, wanted.ks, metrics)
        if missing:
            return f"{task} without {', '.join(missing)}"
    return None


def _missing(names: tuple[str, ...], ks: tuple[int, ...], metrics: Mapping[str, Any]) -> list[str]:
    measured = list(metrics)
    lengths = [f"@{k}" for k in ks]
    lost = [k for k in lengths if not any(name.endswith(k) for name in measured)]
    return lost + [n for n in names if not any(m.startswith(f"{n}@") for m in measured)]


def described(cell: Cell) -> dict[str, Any]:
    """What the figures of a data set or a graph depend on, as JSON values."""
    recipe = cell.recipe
    found: dict[str, Any] = {"kind": recipe.kind, "data": recipe.data.options()}
    if recipe.kind == "vectors":
        graph = cell.settings.graph
        names = ("init_std", "variant")
        found |= {"seed": cell.settings.seed, "rounds": list(recipe.rounds)}
        found |= {name: getattr(graph, name) for name in names}
    return found
