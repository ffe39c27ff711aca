"""The cells that a paper's table asks for, out of one TOML file a table.

.. code-block:: toml

    preset = "tiny"                  # what all rows share: settings of the method, and the keys of
    seeds = [0, 1, 2]                # :class:`RowOptions`
    training.epochs = 16
    data.k_core = 5

    [datasets.beauty]                # what differs on a data set; nothing does here

    [datasets.toys]
    only = ["full"]                  # the rows that are wanted on it; all if absent
    rows.full.edge_share = 0.489     # what differs in one row on it

    [rows.full]

    [rows.without-graph]
    like = "full"                    # begins as a row above
    graph.rank = 0

    [sweeps.alpha]                   # rows alpha-1, alpha-3: a value in one or more settings
    settings = ["whole_words.direct_alpha"]
    values = [1, 3]
    names = "alpha-{}"               # the default

What stands nearer to a cell goes before the rest: the table, the data set, the row, the row on the
data set. ``configs/elmrec/table-4.toml`` is the table ``elmrec/table-4``, its cell of Beauty's row
``full`` has the figures ``results/elmrec/table-4/beauty/full.json``, and beside it stands what the
paper prints (:mod:`edgewise.experiments.published`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from edgewise.config import (
    MethodConfig,
    Settings,
    check,
    nearest,
    read_toml,
    section,
    setting,
    to_dict,
    updated,
)
from edgewise.errors import ConfigError
from edgewise.evaluation.groups import Grouping
from edgewise.evaluation.protocols import Protocol, find_protocol
from edgewise.models.registry import DEFAULT_METHOD, find_method
from edgewise.recommender import DEFAULT_PRESET
from edgewise.runs.spec import resolve_config

CONFIGS = Path(__file__).with_name("configs")
"""The papers' tables, which come with the package."""
HONEST = "honest"
_NAME = re.compile(
    r"(?P<method>[^@]+?)(@(?P<protocol>[^@]+?))?(-seed(?P<seed>\d+))?(?P<raw>-no-rerank)?"
)


@dataclass(frozen=True)
class Layout:
    """Folders that mirror each other.

    Attributes:
        configs: tables, and the papers' figures.
        results: what was measured, one JSON file a cell; small enough to be committed.
        runs: fitted runs, imported data sets (``data/``), users' rows (``per-user/``), and what was
            printed meanwhile (``logs/``).
        raw: data sets as they were downloaded, by name.
    """

    configs: Path = CONFIGS
    results: Path = Path("results")
    runs: Path = Path("runs")
    raw: Path = Path("data")

    def result_file(self, key: ResultKey) -> Path:
        """The figures of a cell."""
        return self.results / f"{key.path}.json"

    def run_folder(self, key: ResultKey) -> Path:
        """The run that bears a cell's name; raw lists are measured on the run of the others."""
        return self.runs / replace(key, raw_lists=False).path

    def per_user_folder(self, key: ResultKey) -> Path:
        """The users of a cell, one row each."""
        return self.runs / "per-user" / key.path

    def log_file(self, key: ResultKey) -> Path:
        """What was printed while a cell was made."""
        return self.runs / "logs" / f"{key.path}.log"

    def data_folder(self, cell: ExperimentCell) -> Path:
        """The imported data set: named by how it is imported, so that two ways never meet."""
        source = [] if cell.options.data.source is None else [cell.options.data.source]
        given = cell.import_options.items()
        options = (f"{name}-{value}".removesuffix(".0") for name, value in given)
        name = "-".join([cell.key.dataset, *source, *options]).replace("/", "-")
        return self.runs / "data" / name

    def raw_source(self, cell: ExperimentCell) -> Path:
        """What the data set is imported from."""
        return self.raw / (cell.options.data.source or cell.key.dataset)


def path_text(path: Path) -> str:
    """A path as commands and results name it: without this machine's folders, if it can be."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


@dataclass(frozen=True)
class ResultKey:
    """Which cell, as the path of its result file and of its run says.

    Attributes:
        table: such as ``elmrec/table-4``; may be empty.
        dataset, method: the data set, and the row of the table.
        protocol: a key of :data:`edgewise.evaluation.protocols.PROTOCOLS`.
        seed: None where the settings' own counts.
        raw_lists: whether lists were measured as they were searched, seen items and all.
    """

    table: str
    dataset: str
    method: str
    protocol: str = HONEST
    seed: int | None = None
    raw_lists: bool = False

    @property
    def name(self) -> str:
        """File name without suffix; the honest protocol goes without saying."""
        protocol = "" if self.protocol == HONEST else f"@{self.protocol}"
        seed = "" if self.seed is None else f"-seed{self.seed}"
        return f"{self.method}{protocol}{seed}{'-no-rerank' if self.raw_lists else ''}"

    @property
    def path(self) -> str:
        """Below ``results/`` and ``runs/``, without suffix."""
        return PurePosixPath(self.table, self.dataset, self.name).as_posix()

    @classmethod
    def of(cls, path: PurePosixPath | Path) -> ResultKey:
        """What the path of a file, relative to its folder, tells: the inverse of :attr:`path`."""
        found = _NAME.fullmatch(PurePosixPath(path).with_suffix("").name)
        assert found, f"{path}: no file name"
        folder = PurePosixPath(*path.parent.parts)
        return cls(
            folder.parent.as_posix().removeprefix("."),
            folder.name,
            found["method"],
            found["protocol"] or HONEST,
            None if found["seed"] is None else int(found["seed"]),
            found["raw"] is not None,
        )


class DataOptions(Settings):
    """How the data set is imported; what is none is left to the import."""

    source: str | None = setting(
        None, "A folder or file among the raw data, where it is not called as the data set is."
    )
    format: str | None = setting(None, "Of the source; detected if none.")
    min_rating: float | None = setting(None, "Rows rated lower are left out.")
    duplicates: str | None = setting(None, "Which of a user's rows about one item is kept.")
    max_users: int | None = setting(None, "A seeded sample of the users is kept.")
    k_core: int | None = setting(None, "Rows that users and items have at least.")
    item_numbers: str | None = setting(None, "source keeps the numbers of a P5 folder.")
    shuffle_ties: bool | None = setting(None, "Rows of equal time are ordered by chance.")
    seed: int | None = setting(None, "Of the import.")

    def options(self) -> dict[str, Any]:
        """Options of the import that differ from its own defaults."""
        given = to_dict(self)
        del given["source"]
        return {name: value for name, value in given.items() if value is not None}


class EvaluationOptions(Settings):
    """How a run is measured; what is empty or none is left to the protocol."""

    tasks: tuple[str, ...] = setting((), "What is measured; all that was trained if empty.")
    metrics: tuple[str, ...] = setting((), "Of ranked lists.")
    ks: tuple[int, ...] = setting((), "Lengths of lists.")
    max_users: int | None = setting(None, "Measure a seeded sample of the users.")
    negatives: int | None = setting(None, "Beside each held-out item of the direct task.")
    by: tuple[Grouping, ...] = setting((), "Groups of users whose means are kept, too.")
    first_events: int = setting(0, "Rows of each cold item that are told after training.")


class RowOptions(Settings):
    """What a table says of a row beside the settings of its method."""

    method: str = setting(DEFAULT_METHOD, "By name.")
    preset: str = setting(DEFAULT_PRESET, "Of the method.")
    protocols: tuple[str, ...] = setting((HONEST,), "Under each of which the row is wanted.")
    edge_share: float | None = setting(None, "Of those protocols that have one.")
    split: str | None = setting(None, "How rows are held out; the protocol's own if none.")
    split_seed: int = setting(0, "Of a split by chance.")
    cold_items: float = setting(0.0, "Share of the items that are kept out of training.")
    seeds: tuple[int, ...] = setting(
        (), "Of the runs that the row is the mean of; the settings' own where it is empty."
    )
    kind: Literal["run", "data", "vectors"] = setting(
        "run",
        "run: a fitted and measured model; data: statistics of the data set; vectors: whole-word "
        "embeddings of the train graph, drawn and measured.",
    )
    rounds: tuple[int, ...] = setting((), "Of propagation, after which they are looked at.")
    data: DataOptions = section(DataOptions)
    evaluation: EvaluationOptions = section(EvaluationOptions)


_OWN = list(RowOptions.model_fields)


@dataclass(frozen=True)
class TableRow:
    """One row of a table on one data set.

    Attributes:
        table, dataset, name: where it stands.
        options: what is not the method's.
        settings: the method's, as far as the table changes the preset; nested.
        where: file and row, for messages.
    """

    table: str
    dataset: str
    name: str
    options: RowOptions
    settings: Mapping[str, Any]
    where: str

    @property
    def path(self) -> str:
        """Of its cells, as far as seed and protocol do not matter."""
        return f"{self.table}/{self.dataset}/{self.name}"

    @property
    def trained_tasks(self) -> tuple[str, ...]:
        """Those that the table names; empty where the preset's count."""
        return tuple(self.settings.get("prompts", {}).get("tasks", ()))

    def config(self) -> MethodConfig:
        """All settings of the method.

        Raises:
            ConfigError: an unknown preset, key or value, with the nearest valid one.
        """
        method = find_method(self.options.method, self.where)
        known = [*_OWN, *method.config_class.model_fields]
        old = method.config_class.RENAMED
        for key in self.settings:
            check(
                key in known or key in old, f"{self.where}unknown key {key!r}.{nearest(key, known)}"
            )
        try:
            return resolve_config(method, self.options.preset, self.settings)
        except ConfigError as error:
            raise ConfigError(f"{self.where}{error}") from None


def table_names(configs: Path) -> list[str]:
    """All tables that are asked for, as they may be named."""
    found = configs.rglob("*.toml")
    return sorted(file.relative_to(configs).with_suffix("").as_posix() for file in found)


def table_file(configs: Path, table: str) -> Path:
    """Where a table stands, whether there is one or not."""
    return configs / f"{table}.toml"


def read_table(configs: Path, table: str) -> list[TableRow]:
    """The rows of a table on its data sets, in the order of its file.

    Raises:
        ConfigError: the file cannot be read, or a key is wrong.
    """
    file = table_file(configs, table)
    common = read_toml(file)
    datasets, rows, sweeps = (
        _sections(file, name, common.pop(name, {})) for name in ("datasets", "rows", "sweeps")
    )
    named = _named_rows(file, rows) | _swept_rows(file, sweeps)
    check(bool(datasets), f"{file}: no data set; add a section such as [datasets.beauty]")
    check(bool(named), f"{file}: no row; add a section such as [rows.full]")
    found: list[TableRow] = []
    for dataset, values in datasets.items():
        place = f"{file}: [datasets.{dataset}]: "
        own = dict(values)
        only, special = own.pop("only", list(named)), own.pop("rows", {})
        for name in [*only, *special]:
            check(name in named, f"{place}no such row: {name!r}.{nearest(str(name), named)}")
        for name in (name for name in named if name in only):
            layers = (common, own, named[name], special.get(name, {}))
            found.append(_row(file, table, dataset, name, reduce(merged, layers)))
    return found


def _sections(file: Path, name: str, values: Any) -> dict[str, dict[str, Any]]:
    fits = isinstance(values, dict) and all(isinstance(each, dict) for each in values.values())
    check(fits, f"{file}: {name} holds sections, such as [{name}.NAME]")
    return values


def _named_rows(file: Path, rows: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for name, values in rows.items():
        own = dict(values)
        like = own.pop("like", "")
        known = not like or like in found
        check(known, f"{file}: [rows.{name}]: no row {like!r} above it.{nearest(str(like), found)}")
        found[name] = merged(found.get(like, {}), own)
    return found


def _swept_rows(file: Path, sweeps: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for sweep, values in sweeps.items():
        own = dict(values)
        settings, steps = own.pop("settings", None), own.pop("values", None)
        fits = isinstance(settings, list) and isinstance(steps, list) and settings and steps
        wanted = 'settings = ["section.key"] and values = [1, 2]'
        check(bool(fits), f"{file}: [sweeps.{sweep}]: give {wanted}")
        names = own.pop("names", f"{sweep}-{{}}")
        for step in steps:
            layers = (nested(setting, step) for setting in settings)
            found[names.format(step)] = reduce(merged, layers, own)
    return found


def nested(setting: str, value: Any) -> dict[str, Any]:
    """``section.key`` as a TOML file nests it."""
    for name in reversed(setting.split(".")):
        value = {name: value}
    return value


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Both, section by section; the second goes first."""
    both = dict(base)
    for key, value in over.items():
        before = both.get(key)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            value = merged(before, value)
        both[key] = value
    return both


def _row(file: Path, table: str, dataset: str, name: str, values: dict[str, Any]) -> TableRow:
    where = f"{file}: {name} on {dataset}: "
    own = {key: values.pop(key) for key in _OWN if key in values}
    options = updated(RowOptions(), own, where)
    find_method(options.method, where)
    for protocol in options.protocols:
        find_protocol(protocol, where)
    repeated = len(set(options.seeds)) < len(options.seeds)
    check(not repeated, f"{where}seeds = {list(options.seeds)} names a seed twice")
    both = bool(options.seeds) and "seed" in values
    check(not both, f"{where}seed and seeds contradict each other: keep one")
    drawn = options.kind != "vectors" or bool(options.rounds)
    check(drawn, f'{where}kind = "vectors" needs rounds, for example rounds = [1, 3]')
    return TableRow(table, dataset, name, options, values, where)


@dataclass(frozen=True, eq=False)
class ExperimentCell:
    """One run to be fitted and measured, or one data set or graph to be described.

    Attributes:
        key: which.
        options: what the table says, with what the command line says instead.
        settings: all settings of the method, seed included.
        protocol: with the share of edges that the table names.
    """

    key: ResultKey
    options: RowOptions
    settings: Any
    protocol: Protocol

    @property
    def method(self) -> str:
        """What is fitted, by name."""
        return self.options.method

    @property
    def split(self) -> tuple[str, int]:
        """The split and its seed."""
        return self.options.split or self.protocol.split_kind, self.options.split_seed

    @property
    def import_options(self) -> dict[str, Any]:
        """Options of the import, by name, that the protocol or the table asks for."""
        numbers = self.protocol.item_numbers
        own = {} if numbers == "shuffled" else {"item_numbers": numbers}
        return own | self.options.data.options()


@dataclass(frozen=True)
class Selection:
    """Which cells of a table are wanted; None and empty stand for all.

    Attributes:
        dataset, method: a data set and a row of the table.
        num_seeds: seeds 0, 1, ... instead of the table's own.
        protocol: instead of the table's own.
        max_users: measure a sample, instead of what the table says.
        raw_lists: measure the sequential lists without filtering, too.
    """

    dataset: str | None = None
    method: str | None = None
    num_seeds: int | None = None
    protocol: str | None = None
    max_users: int | None = None
    raw_lists: bool = False


def find_cells(
    layout: Layout, names: Sequence[str], selection: Selection | None = None
) -> list[ExperimentCell]:
    """The cells of tables, in the order of their files.

    Args:
        layout: where the tables are.
        names: tables as ``elmrec/table-4``, folders of them, their data sets or rows as
            ``elmrec/table-4/beauty/full``; or files, with or without the folder of configurations.
        selection: which of them.

    Raises:
        ConfigError: there is no such table, data set or row, the nearest is named; or a table
            cannot be read.
    """
    chosen = selection or Selection()
    found = (row for name in names for row in _rows_named(layout.configs, name))
    rows = list({row.path: row for row in found}.values())
    rows = _only(rows, "dataset", chosen.dataset)
    rows = _only(rows, "method", chosen.method)
    return [cell for row in rows for cell in _cells(row, chosen)]


def _rows_named(configs: Path, name: str) -> list[TableRow]:
    bare = name.removeprefix(f"{configs.as_posix()}/").rstrip("/").removesuffix(".toml")
    known = table_names(configs)
    check(bool(known), f"{configs}: no tables there; name the folder: --configs")
    tables = [each for each in known if _within(each, bare) or _within(bare, each)]
    check(bool(tables), f"no table {bare!r} under {configs}/.{nearest(bare, known)}")
    rows = [row for table in tables for row in read_table(configs, table)]
    found = [row for row in rows if _within(row.path, bare)]
    nearby = {f"{row.table}/{row.dataset}" for row in rows} | {row.path for row in rows}
    check(bool(found), f"no cells {bare!r} under {configs}/.{nearest(bare, nearby)}")
    return found


def _within(path: str, folder: str) -> bool:
    return folder in ("", ".") or path == folder or path.startswith(f"{folder}/")


def _only(rows: list[TableRow], what: str, wanted: str | None) -> list[TableRow]:
    if wanted is None:
        return rows
    names = {row.dataset if what == "dataset" else row.name for row in rows}
    check(wanted in names, f"--{what} {wanted}: the table has none.{nearest(wanted, names)}")
    return [row for row in rows if wanted == (row.dataset if what == "dataset" else row.name)]


def _cells(row: TableRow, chosen: Selection) -> Iterator[ExperimentCell]:
    options, config = row.options, row.config()
    if chosen.max_users is not None:
        options = updated(options, {"evaluation": {"max_users": chosen.max_users}})
    is_run = options.kind == "run"
    raw = updated(options, {"evaluation": {"tasks": ("sequential",)}})
    for protocol in _protocols(row, chosen) if is_run else [find_protocol(HONEST)]:
        for seed in _seeds(options, chosen) if is_run else [None]:
            key = ResultKey(row.table, row.dataset, row.name, protocol.name, seed)
            settings = config if seed is None else updated(config, {"seed": seed})
            yield ExperimentCell(key, options, settings, protocol)
            if chosen.raw_lists and is_run:
                yield ExperimentCell(replace(key, raw_lists=True), raw, settings, protocol)


def _protocols(row: TableRow, chosen: Selection) -> Iterator[Protocol]:
    for name in [chosen.protocol] if chosen.protocol else row.options.protocols:
        share = row.options.edge_share if find_protocol(name).has_edge_share else None
        yield find_protocol(name, row.where, edge_share=share)


def _seeds(options: RowOptions, chosen: Selection) -> Sequence[int | None]:
    return range(chosen.num_seeds) if chosen.num_seeds else options.seeds or (None,)
