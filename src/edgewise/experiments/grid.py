"""Where configurations, figures and runs stand, and how a file's name tells its cell.

The cells that a table asks for, out of its folder of configurations.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from edgewise.config import check, nearest
from edgewise.models.registry import DEFAULT_METHOD
from edgewise.runs.spec import Recipe, read_recipe, resolve_config

HONEST = "honest"
_NAME = re.compile(
    r"(?P<method>[^@]+?)(@(?P<protocol>[^@]+?))?(-seed(?P<seed>\d+))?(?P<raw>-no-rerank)?"
)


@dataclass(frozen=True)
class Layout:
    """Four folders that mirror each other.

    Attributes:
        experiments: configurations, and the papers' figures.
        results: what was measured, one JSON file a cell; small enough to be committed.
        runs: fitted runs, imported data sets (``data/``), users' rows (``per-user/``), and what the
            commands printed (``logs/``).
        raw: data sets as they were downloaded, by name.
    """

    experiments: Path = Path("experiments")
    results: Path = Path("results")
    runs: Path = Path("runs")
    raw: Path = Path("data")


@dataclass(frozen=True)
class ResultKey:
    """A cell's place below each of the folders, and what it says of the cell.

    Attributes:
        table: folder of the table, such as ``elmrec/table-4``; may be empty.
        dataset: folder of the data set.
        method: stem of the configuration.
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


@dataclass(frozen=True, eq=False)
class ExperimentCell:
    """One run to be fitted and measured, or one data set or graph to be described.

    Attributes:
        place: where it stands.
        config: its configuration file.
        recipe: what the file says, with what the command line says instead.
    """

    place: ResultKey
    config: Path
    recipe: Recipe

    @property
    def method(self) -> str:
        """What is fitted, by name."""
        return self.recipe.method or DEFAULT_METHOD

    @cached_property
    def settings(self) -> Any:
        """All settings of the method, seed included."""
        seed = [] if self.place.seed is None else [f"seed={self.place.seed}"]
        return resolve_config(None, self.config, seed, method=self.method)


@dataclass(frozen=True)
class Selection:
    """Which cells of a table are wanted; None and empty stand for all.

    Attributes:
        dataset, method: folder of the data set, stem of the configuration.
        num_seeds: seeds 0, 1, ... instead of the configurations' own.
        protocol: instead of the configurations' own.
        max_users: measure a sample, instead of the configurations' own.
        raw_lists: measure the sequential lists without filtering, too.
    """

    dataset: str | None = None
    method: str | None = None
    num_seeds: int | None = None
    protocol: str | None = None
    max_users: int | None = None
    raw_lists: bool = False


def find_cells(
    layout: Layout, tables: Sequence[str], choice: Selection | None = None
) -> list[ExperimentCell]:
    """The cells of tables, in the order of their files.

    Args:
        layout: where the configurations are.
        tables: folders or files below ``experiments/``, as ``elmrec/table-4`` or
            ``elmrec/table-4/beauty``; spelled with or without ``experiments/``.
        choice: which of them.

    Raises:
        ConfigError: there is no such table, data set or method; the nearest is named.
    """
    choice = choice or Selection()
    files = [file for table in tables for file in _files(layout.experiments, table)]
    files = _chosen(list(dict.fromkeys(files)), "dataset", choice.dataset)
    files = _chosen(files, "method", choice.method)
    return [cell for file in files for cell in _cells(layout.experiments, file, choice)]


def table_names(experiments: Path) -> list[str]:
    """All tables, as they may be asked for."""
    files = experiments.rglob("*.toml")
    return sorted({file.parent.parent.relative_to(experiments).as_posix() for file in files})


def _files(experiments: Path, table: str) -> list[Path]:
    name = table.removeprefix(f"{experiments.as_posix()}/").rstrip("/")
    place = experiments / name
    if place.suffix == ".toml" and place.is_file():
        return [place]
    found = sorted(place.rglob("*.toml")) if place.is_dir() else []
    known = table_names(experiments)
    check(bool(known), f"{experiments}: no configurations there; name the folder: --experiments")
    check(bool(found), f"no table {table!r} under {experiments}/.{nearest(table, known)}")
    return found


def _chosen(files: list[Path], what: str, wanted: str | None) -> list[Path]:
    names = {file: file.parent.name if what == "dataset" else file.stem for file in files}
    if wanted is None:
        return files
    check(
        wanted in names.values(),
        f"--{what} {wanted}: the table has none.{nearest(wanted, set(names.values()))}",
    )
    return [file for file, name in names.items() if name == wanted]


def _cells(experiments: Path, file: Path, choice: Selection) -> Iterator[ExperimentCell]:
    recipe = read_recipe(file)
    if choice.max_users is not None:
        sampled = replace(recipe.evaluation, max_users=choice.max_users)
        recipe = replace(recipe, evaluation=sampled)
    here = ResultKey.of(file.relative_to(experiments))
    for protocol in _protocols(recipe, choice):
        for seed in _seeds(recipe, choice):
            place = replace(here, protocol=protocol, seed=seed)
            yield ExperimentCell(place, file, recipe)
            if choice.raw_lists and recipe.kind == "run":
                raw = replace(recipe.evaluation, tasks=("sequential",))
                yield ExperimentCell(
                    replace(place, raw_lists=True), file, replace(recipe, evaluation=raw)
                )


def _protocols(recipe: Recipe, choice: Selection) -> Sequence[str]:
    if recipe.kind != "run":
        return (HONEST,)
    asked = (choice.protocol,) if choice.protocol else recipe.protocols
    return asked or (recipe.protocol or HONEST,)


def _seeds(recipe: Recipe, choice: Selection) -> Sequence[int | None]:
    if recipe.kind != "run":
        return (None,)
    return range(choice.num_seeds) if choice.num_seeds else recipe.seeds or (None,)
