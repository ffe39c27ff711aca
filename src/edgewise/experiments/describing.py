"""Cells without a model: the statistics of a data set, the vectors of its train graph."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgewise.configuration import to_dict
from edgewise.data.info import describe
from edgewise.data.interactions import Dataset
from edgewise.data.storage import load_dataset
from edgewise.evaluation.applying import split_under
from edgewise.evaluation.protocols import find_protocol
from edgewise.evaluation.report import stamp
from edgewise.evaluation.seal import sealed
from edgewise.experiments.cells import Cell
from edgewise.experiments.commands import data_folder, path_text, result_file
from edgewise.experiments.finished import described
from edgewise.experiments.layout import Layout
from edgewise.experiments.results import STATISTICS, VECTORS
from edgewise.models.graph_gpt.config import GraphGPTConfig
from edgewise.runs.data import DataInfo
from edgewise.runs.files import write_text
from edgewise.runs.machine import describe_machine
from edgewise.runs.source import code_versions

Figures = dict[str, dict[str, float]]


def describe_cell(cell: Cell, layout: Layout) -> None:
    """Write the cell's result file and its pictures."""
    folder, file = data_folder(cell, layout), result_file(cell, layout)
    dataset = load_dataset(folder)
    kind, figures_of = _KINDS[cell.recipe.kind]
    content = {
        **stamp(find_protocol(cell.place.protocol)),
        "kind": kind,
        "recipe": described(cell),
        "seed": cell.settings.seed,
        "data": to_dict(DataInfo.of(dataset, path_text(folder))),
        "results": figures_of(cell, dataset, file),
        "versions": code_versions(),
        "machine": describe_machine(),
    }
    write_text(file, json.dumps(sealed(content), indent=2) + "\n")


def _statistics(cell: Cell, dataset: Dataset, file: Path) -> Figures:
    """What the papers' tables of statistics tell, and what they leave out."""
    info = asdict(describe(dataset))
    names = ("users", "items", "interactions", "duplicates", "cold_items")
    found: dict[str, float] = {name.replace("_", " "): info[name] for name in names}
    found["average"] = info["interactions"] / info["users"]
    found["density %"] = 100 * info["interactions"] / (info["users"] * info["items"])
    if info["same_day_ties"] is not None:
        found["same-day ties %"] = 100 * info["same_day_ties"]
    if isinstance(cell.settings, GraphGPTConfig):
        found["content"] = _num_texts(cell, dataset, cell.settings)
    return {"data": found}


def _num_texts(cell: Cell, dataset: Dataset, config: GraphGPTConfig) -> int:
    """Texts of items and of train rows, each of which makes one prompt of the content stage."""
    from edgewise.models.graph_gpt.stages.texts import collect_texts

    split = split_under(find_protocol(cell.place.protocol), dataset)
    return sum(len(texts) for texts in collect_texts(split, config.content))


def _vectors(cell: Cell, dataset: Dataset, file: Path) -> Figures:
    """How pure the neighbourhoods are after each round; the pictures stand beside the file."""
    from edgewise.experiments.vectors import dots_of
    from edgewise.graph.bipartite import BipartiteGraph
    from edgewise.graph.visual import map_2d

    split = split_under(find_protocol(cell.place.protocol), dataset)
    sizes = (dataset.num_users, dataset.num_items)
    graph = BipartiteGraph.from_interactions(split.graph_edges(), *sizes)
    settings = cell.settings.graph
    seed = cell.settings.seed
    figures: Figures = {}
    for dots in dots_of(graph, cell.recipe.rounds, settings.init_std, settings.variant, seed):
        figures[dots.kind] = dots.purities()
        panels = {f"{dots.kind}, {name}": each for name, each in dots.features.items()}
        map_2d(panels, dots.groups, picture_of(file, dots.kind), seed=seed)
    return figures


def picture_of(file: Path, kind: str) -> Path:
    """The picture of users or of items that stands beside a result file."""
    return file.with_name(f"{file.stem}-{kind}.png")


_KINDS: dict[str, tuple[str, Callable[[Cell, Dataset, Path], Any]]] = {
    "data": (STATISTICS, _statistics),
    "vectors": (VECTORS, _vectors),
}
