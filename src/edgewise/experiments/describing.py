"""Cells without a model: the statistics of a data set, the whole-word vectors of its train graph.

ELMRec's Figs. 7 and 8 draw the vectors after each round of propagation, and colour users by an item
that they all took, and items by a user who took them all. Beside the picture stands a figure: the
share of a dot's nearest dots that have its colour.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from edgewise.config import to_dict
from edgewise.data.dataset import Dataset
from edgewise.data.describe import describe
from edgewise.errors import EdgewiseError
from edgewise.evaluation.protocols import split_under
from edgewise.evaluation.report import sealed, stamp
from edgewise.experiments.grid import ExperimentCell, Layout, path_text
from edgewise.experiments.results import STATISTICS, VECTORS, described
from edgewise.files import write_text
from edgewise.graph.bipartite import BipartiteGraph
from edgewise.graph.propagation import Variant, random_features
from edgewise.runs.provenance import code_versions, describe_machine
from edgewise.runs.spec import DataInfo

DIM = 512
"""Width of whole-word vectors in the paper (T5-small)."""
_NUM_GROUPS, _MOST_MEMBERS, _FEWEST_MEMBERS, _NUM_NEIGHBOURS = 8, 60, 5, 10

Figures = dict[str, dict[str, float]]
"""Of each task, by name."""


def describe_cell(cell: ExperimentCell, layout: Layout) -> None:
    """Write the cell's result file and its pictures."""
    folder, file = layout.data_folder(cell), layout.result_file(cell.key)
    dataset = Dataset.load(folder)
    is_data = cell.options.kind == "data"
    figures = statistics_of(cell, dataset) if is_data else measure_vectors(cell, dataset, file)
    content = {
        **stamp(cell.protocol),
        "kind": STATISTICS if is_data else VECTORS,
        "recipe": described(cell),
        "seed": cell.settings.seed,
        "data": to_dict(DataInfo.of(dataset, path_text(folder))),
        "results": figures,
        "versions": code_versions(),
        "machine": describe_machine(),
    }
    write_text(file, json.dumps(sealed(content), indent=2) + "\n")


def statistics_of(cell: ExperimentCell, dataset: Dataset) -> Figures:
    """What the papers' tables of statistics tell, and what they leave out."""
    info = asdict(describe(dataset))
    names = ("users", "items", "interactions", "duplicates", "cold_items")
    found: dict[str, float] = {name.replace("_", " "): info[name] for name in names}
    found["average"] = info["interactions"] / info["users"]
    found["density %"] = 100 * info["interactions"] / (info["users"] * info["items"])
    if info["same_day_ties"] is not None:
        found["same-day ties %"] = 100 * info["same_day_ties"]
    if cell.method == "graph-gpt":
        found["content"] = _num_texts(cell, dataset)
    return {"data": found}


def _num_texts(cell: ExperimentCell, dataset: Dataset) -> int:
    """Texts of items and of train rows, each of which makes one prompt of the content stage."""
    from edgewise.models.graph_gpt.stages.content import collect_texts

    split = split_under(cell.protocol, dataset)
    return sum(len(texts) for texts in collect_texts(split, cell.settings.content))


def measure_vectors(cell: ExperimentCell, dataset: Dataset, file: Path) -> Figures:
    """How pure the neighbourhoods are after each round; the pictures stand beside the file."""
    from edgewise.graph.plots import map_2d

    split = split_under(cell.protocol, dataset)
    sizes = (dataset.num_users, dataset.num_items)
    graph = BipartiteGraph.from_interactions(split.graph_edges(), *sizes)
    settings, seed = cell.settings.graph, cell.settings.seed
    figures: Figures = {}
    for dots in dots_of(graph, cell.options.rounds, settings.sigma, settings.variant, seed):
        figures[dots.kind] = dots.purities()
        panels = {f"{dots.kind}, {name}": each for name, each in dots.features.items()}
        map_2d(panels, dots.groups, picture_of(file, dots.kind), seed=seed)
    return figures


def picture_of(file: Path, kind: str) -> Path:
    """The picture of users or of items that stands beside a result file."""
    return file.with_name(f"{file.stem}-{kind}.png")


@dataclass(frozen=True)
class Dots:
    """The dots of one picture.

    Attributes:
        kind: ``users`` or ``items``.
        nodes: of the graph, ``int[n]``.
        groups: colour of each, ``int[n]``.
        features: vectors by title of a panel, each ``float32[n, D]``.
    """

    kind: str
    nodes: np.ndarray
    groups: np.ndarray
    features: dict[str, np.ndarray]

    def purities(self) -> dict[str, float]:
        """Share of each dot's nearest dots that have its colour, by panel; and what chance gives.

        Nearness is the cosine of the vectors themselves, not of their places in the picture.
        """
        sizes = np.bincount(self.groups)
        chance = float((sizes * (sizes - 1)).sum() / (len(self.groups) * (len(self.groups) - 1)))
        found = {name: _purity(vectors, self.groups) for name, vectors in self.features.items()}
        return {**found, "chance": chance}


def dots_of(
    graph: BipartiteGraph,
    rounds: Sequence[int],
    sigma: float = 1.0,
    variant: Variant = "mean",
    seed: int = 0,
) -> list[Dots]:
    """Users and items, each group around one node of the other side that all its members share.

    Args:
        graph: of the train rows.
        rounds: of propagation, one panel each; Eq. 7 with L = round, so 0 is the random start.
        sigma, variant: see :func:`edgewise.graph.propagation.random_features`.
        seed: of layer 0.

    Raises:
        EdgewiseError: the graph is too small to colour anything.
    """
    vectors = {
        f"round {count}": random_features(graph, DIM, count, sigma, seed, variant)
        for count in rounds
    }
    ones = np.ones(graph.num_edges, dtype=np.int8)
    shape = (graph.num_users, graph.num_items)
    taken = sp.csr_array((ones, (graph.users, graph.items)), shape=shape)
    found = []
    for kind, table, first in (("users", taken.T.tocsr(), 0), ("items", taken, graph.num_users)):
        members, groups = _disjoint_groups(table)
        nodes = members + first
        found.append(Dots(kind, nodes, groups, {n: v[nodes] for n, v in vectors.items()}))
    return found


def _disjoint_groups(table: Any) -> tuple[np.ndarray, np.ndarray]:
    """Members of the largest rows of a CSR table that share none, and the row's number for each.

    Rows are taken from the longest on; a row that shares a tenth of its members with those taken
    is passed by, and members that stand in two rows are left out.
    """
    times = np.zeros(table.shape[1], dtype=np.int64)
    chosen: list[np.ndarray] = []
    for row in np.argsort(-np.diff(table.indptr), kind="stable"):
        members = table.indices[table.indptr[row] : table.indptr[row + 1]]
        if len(members) < _FEWEST_MEMBERS or len(chosen) == _NUM_GROUPS:
            break
        if (times[members] > 0).sum() * 10 <= len(members):
            times[members] += 1
            chosen.append(np.sort(members))
    own = [members[times[members] == 1][:_MOST_MEMBERS] for members in chosen]
    if len(own) < 2:
        raise EdgewiseError("the graph has too few busy nodes to colour; take a larger data set")
    return np.concatenate(own), np.repeat(np.arange(len(own)), [len(each) for each in own])


def _purity(vectors: np.ndarray, groups: np.ndarray) -> float:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    directions = vectors / np.where(lengths > 0, lengths, 1)
    near = directions @ directions.T
    np.fill_diagonal(near, -np.inf)
    most = min(_NUM_NEIGHBOURS, len(groups) - 1)
    neighbours = np.argpartition(-near, most - 1, axis=1)[:, :most]
    return float((groups[neighbours] == groups[:, None]).mean())
