"""Whole-word vectors after each round of propagation: how near similar users and items lie.

ELMRec's Figs. 7 and 8 colour users by an item that they all took, and items by a user who took them
all. Beside the picture stands a figure: the share of a dot's nearest dots that have its colour.

From a cell to the commands that make it: import, fit, evaluate, each as a person would type.

Whether a cell's figures are there already, made as the cell asks for.

Cells without a model: the statistics of a data set, the vectors of its train graph.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from edgewise.config import to_dict, updated
from edgewise.data.dataset import Dataset, load_dataset
from edgewise.data.describe import describe
from edgewise.errors import ConfigError, EdgewiseError
from edgewise.evaluation.protocols import Protocol, find_protocol, recorded_protocol, split_under
from edgewise.evaluation.report import sealed, stamp
from edgewise.experiments.grid import HONEST, ExperimentCell, Layout
from edgewise.experiments.results import (
    STATISTICS,
    VECTORS,
    Result,
    other_data,
    read_result,
    recorded_checksum,
)
from edgewise.files import write_text
from edgewise.graph.bipartite import BipartiteGraph
from edgewise.graph.propagation import Variant, random_features
from edgewise.models.graph_gpt.config import GraphGPTConfig
from edgewise.models.registry import setting
from edgewise.runs.provenance import code_versions, describe_machine
from edgewise.runs.run import DataInfo
from edgewise.runs.spec import DataRecipe, differences

DIM = 512
"""Width of whole-word vectors in the paper (T5-small)."""
_NUM_GROUPS, _MOST_MEMBERS, _FEWEST_MEMBERS, _NUM_NEIGHBOURS = 8, 60, 5, 10


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
    init_std: float = 1.0,
    variant: Variant = "mean",
    seed: int = 0,
) -> list[Dots]:
    """Users and items, each group around one node of the other side that all its members share.

    Args:
        graph: of the train rows.
        rounds: of propagation, one panel each; Eq. 7 with L = round, so 0 is the random start.
        init_std, variant: see :func:`edgewise.graph.propagation.random_features`.
        seed: of layer 0.

    Raises:
        EdgewiseError: the graph is too small to colour anything.
    """
    vectors = {
        f"round {count}": random_features(graph, DIM, count, init_std, seed, variant)
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


Words = list[str]


def data_folder(cell: ExperimentCell, layout: Layout) -> Path:
    """The imported data set: its name tells how it was imported, so that two ways never meet."""
    source = [] if cell.recipe.data.source is None else [cell.recipe.data.source]
    given = _import_options(cell).items()
    options = (f"{name}-{value}".removesuffix(".0") for name, value in given)
    name = "-".join([cell.place.dataset, *source, *options]).replace("/", "-")
    return layout.runs / "data" / name


def import_command(cell: ExperimentCell, layout: Layout) -> Words:
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


def fit_command(cell: ExperimentCell, layout: Layout, run: Path, *, force: bool = False) -> Words:
    """``edgewise fit`` from the start."""
    place = cell.place
    seed = [] if place.seed is None else ["--set", f"seed={place.seed}"]
    named = place.protocol != (cell.recipe.protocol or HONEST)
    protocol = ["--protocol", place.protocol] if named else []
    source = ["--data", path_text(data_folder(cell, layout)), "--config", path_text(cell.config)]
    again = ["--force"] if force else []
    return ["fit", cell.method, *source, *seed, *protocol, *again, "--out", path_text(run)]


def resume_command(cell: ExperimentCell, run: Path) -> Words:
    """``edgewise fit --resume``."""
    return ["fit", cell.method, "--resume", "--out", path_text(run)]


def evaluate_command(cell: ExperimentCell, layout: Layout, run: Path, fitted: Any) -> Words:
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


def reproduce_command(cell: ExperimentCell, layout: Layout) -> Words:
    """``edgewise reproduce`` for a cell that no other command makes."""
    place = cell.place
    row = ["--dataset", place.dataset, "--method", place.method]
    usual = asdict(Layout())
    given = {name: path for name, path in asdict(layout).items() if path != usual[name]}
    folders = {"data" if name == "raw" else name: path_text(path) for name, path in given.items()}
    return ["reproduce", place.table or ".", *row, *_flags(folders)]


RERANK = "decoding.rerank"


def result_file(cell: ExperimentCell, layout: Layout) -> Path:
    """Where the cell's figures go."""
    return layout.results / f"{cell.place.path}.json"


def per_user_folder(cell: ExperimentCell, layout: Layout) -> Path:
    """Where the cell's users go, one row each."""
    return layout.runs / "per-user" / cell.place.path


def protocol_of(cell: ExperimentCell) -> Protocol:
    """The protocol, with the file's share of edges where it has one."""
    protocol = find_protocol(cell.place.protocol)
    share = cell.recipe.edge_share
    return replace(protocol, edge_share=share) if share and protocol.has_edge_share else protocol


def held_out(cell: ExperimentCell) -> tuple[str, int]:
    """The split and its seed."""
    recipe, protocol = cell.recipe, find_protocol(cell.place.protocol)
    return recipe.split or protocol.split_kind, recipe.split_seed or 0


def _import_options(cell: ExperimentCell) -> dict[str, Any]:
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


def why_unfinished(cell: ExperimentCell, layout: Layout) -> str | None:
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


def _fitted_otherwise(cell: ExperimentCell, result: Result) -> str | None:
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


def _on_other_data(cell: ExperimentCell, result: Result, layout: Layout) -> str | None:
    """Whether the data set on this machine, if it is here, is another than was measured."""
    folder, found = data_folder(cell, layout), result.data
    if Path(found["folder"]).name != folder.name:
        return f"measured on the data set {Path(found['folder']).name}, now {folder.name}"
    try:
        wanted = recorded_checksum(folder)
    except EdgewiseError as error:
        return str(error)
    return None if wanted in (None, found["checksum"]) else other_data(found["checksum"], wanted)


def _changed_settings(cell: ExperimentCell, values: Mapping[str, Any]) -> str | None:
    try:
        # A setting that is younger than the result had its default's effect.
        before = updated(type(cell.settings)(), values)
    except ConfigError as error:
        return str(error)
    changed = differences(before, cell.settings)
    return f"settings changed: {', '.join(changed)}" if changed else None


def _measured_otherwise(cell: ExperimentCell, result: Result) -> str | None:
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


def described(cell: ExperimentCell) -> dict[str, Any]:
    """What the figures of a data set or a graph depend on, as JSON values."""
    recipe = cell.recipe
    found: dict[str, Any] = {"kind": recipe.kind, "data": recipe.data.options()}
    if recipe.kind == "vectors":
        graph = cell.settings.graph
        names = ("init_std", "variant")
        found |= {"seed": cell.settings.seed, "rounds": list(recipe.rounds)}
        found |= {name: getattr(graph, name) for name in names}
    return found


Figures = dict[str, dict[str, float]]


def describe_cell(cell: ExperimentCell, layout: Layout) -> None:
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


def _statistics(cell: ExperimentCell, dataset: Dataset, file: Path) -> Figures:
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


def _num_texts(cell: ExperimentCell, dataset: Dataset, config: GraphGPTConfig) -> int:
    """Texts of items and of train rows, each of which makes one prompt of the content stage."""
    from edgewise.models.graph_gpt.stages.content import collect_texts

    split = split_under(find_protocol(cell.place.protocol), dataset)
    return sum(len(texts) for texts in collect_texts(split, config.content))


def _vectors(cell: ExperimentCell, dataset: Dataset, file: Path) -> Figures:
    """How pure the neighbourhoods are after each round; the pictures stand beside the file."""
    from edgewise.graph.bipartite import BipartiteGraph
    from edgewise.graph.plots import map_2d

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


_KINDS: dict[str, tuple[str, Callable[[ExperimentCell, Dataset, Path], Any]]] = {
    "data": (STATISTICS, _statistics),
    "vectors": (VECTORS, _vectors),
}
