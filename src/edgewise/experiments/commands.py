"""From a cell to the commands that make it: import, fit, evaluate, each as a person would type."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from edgewise.configuration import to_dict
from edgewise.evaluation.protocols import Protocol, find_protocol
from edgewise.experiments.cells import Cell
from edgewise.experiments.layout import HONEST, Layout
from edgewise.runs.methods import setting
from edgewise.runs.recipe import DataRecipe

Words = list[str]


def data_folder(cell: Cell, layout: Layout) -> Path:
    """The imported data set: its name tells how it was imported, so that two ways never meet."""
    source = [] if cell.recipe.data.source is None else [cell.recipe.data.source]
    given = _import_options(cell).items()
    options = (f"{name}-{value}".removesuffix(".0") for name, value in given)
    name = "-".join([cell.place.dataset, *source, *options]).replace("/", "-")
    return layout.runs / "data" / name


def import_command(cell: Cell, layout: Layout) -> Words:
    """``edgewise data import``."""
    recipe = cell.recipe.data
    source = layout.raw / (recipe.source or cell.place.dataset)
    name = [] if recipe == DataRecipe() else ["--name", cell.place.dataset]
    options = [*name, *_flags(_import_options(cell))]
    return [
        "data",
        "import",
        path_text(source),
        *options,
        "--out",
        path_text(data_folder(cell, layout)),
    ]


def fit_command(cell: Cell, layout: Layout, run: Path, *, force: bool = False) -> Words:
    """``edgewise fit`` from the start."""
    place = cell.place
    seed = [] if place.seed is None else ["--set", f"seed={place.seed}"]
    named = place.protocol != (cell.recipe.protocol or HONEST)
    protocol = ["--protocol", place.protocol] if named else []
    source = ["--data", path_text(data_folder(cell, layout)), "--config", path_text(cell.config)]
    again = ["--force"] if force else []
    return ["fit", cell.method, *source, *seed, *protocol, *again, "--out", path_text(run)]


def resume_command(cell: Cell, run: Path) -> Words:
    """``edgewise fit --resume``."""
    return ["fit", cell.method, "--resume", "--out", path_text(run)]


def evaluate_command(cell: Cell, layout: Layout, run: Path, fitted: Any) -> Words:
    """``edgewise evaluate``.

    Args:
        cell: what is wanted.
        layout: where the figures go.
        run: the run that is measured, which may have been fitted for another cell.
        fitted: the settings of that run, which may differ in how it decodes.
    """
    recipe, place = cell.recipe.evaluation, cell.place
    repeated = {"--task": recipe.tasks, "--metric": recipe.metrics, "-k": recipe.ks}
    lists = [w for name, values in repeated.items() for v in values for w in (name, str(v))]
    single = {"negatives": recipe.negatives, "max_users": recipe.max_users}
    options = _flags({name: value for name, value in single.items() if value is not None})
    decoding = [word for change in _decoding(cell.settings, fitted) for word in ("--set", change)]
    raw = ["--no-rerank"] if place.raw_lists or not setting(cell.settings, RERANK, True) else []
    return [
        *["evaluate", path_text(run), *lists, *options, *decoding, *raw],
        *["--per-user", path_text(per_user_folder(cell, layout))],
        *["--json", path_text(result_file(cell, layout))],
    ]


def reproduce_command(cell: Cell, layout: Layout) -> Words:
    """``edgewise reproduce`` for a cell that no other command makes."""
    place = cell.place
    row = ["--dataset", place.dataset, "--method", place.method]
    usual = asdict(Layout())
    given = {name: path for name, path in asdict(layout).items() if path != usual[name]}
    folders = {"data" if name == "raw" else name: path_text(path) for name, path in given.items()}
    return ["reproduce", place.table or ".", *row, *_flags(folders)]


RERANK = "decoding.rerank"


def result_file(cell: Cell, layout: Layout) -> Path:
    """Where the cell's figures go."""
    return layout.results / f"{cell.place.path}.json"


def per_user_folder(cell: Cell, layout: Layout) -> Path:
    """Where the cell's users go, one row each."""
    return layout.runs / "per-user" / cell.place.path


def protocol_of(cell: Cell) -> Protocol:
    """The protocol, with the file's share of edges where it has one."""
    protocol = find_protocol(cell.place.protocol)
    share = cell.recipe.edge_share
    return replace(protocol, edge_share=share) if share and protocol.has_edge_share else protocol


def held_out(cell: Cell) -> tuple[str, int]:
    """The split and its seed."""
    recipe, protocol = cell.recipe, find_protocol(cell.place.protocol)
    return recipe.split or protocol.split_kind, recipe.split_seed or 0


def _import_options(cell: Cell) -> dict[str, Any]:
    numbers = find_protocol(cell.place.protocol).item_numbers
    own = {} if numbers == "shuffled" else {"item_numbers": numbers}
    return own | cell.recipe.data.options()


def _decoding(wanted: Any, fitted: Any) -> Iterator[str]:
    """Settings of decoding that the run was not fitted with, as ``decoding.key=value``."""
    new, old = (to_dict(config).get("decoding", {}) for config in (wanted, fitted))
    for key, value in new.items():
        if old.get(key) != value:
            yield f"decoding.{key}={json.dumps(value)}"


def _flags(values: Mapping[str, object]) -> Words:
    """``--name value`` for each, spelled as on a command line."""
    return [w for name, v in values.items() for w in (f"--{name.replace('_', '-')}", str(v))]


def path_text(path: Path) -> str:
    """A path as commands and results name it: without this machine's folders, if it can be."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def spelled(words: Sequence[str]) -> str:
    """The command as it stands in a log."""
    import shlex

    return shlex.join(["edgewise", *words])
