"""Result files: what they hold, whether they can be believed, and whether they are what is asked.

A result counts for a cell if it was made as the table asks, on the data set that this machine has
under that name; otherwise the cell is made again (:func:`why_unfinished`), and tables refuse what
was measured on other data (:func:`check_data`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import polars as pl

from edgewise.config import (
    MethodConfig,
    Settings,
    check,
    differences,
    flat_settings,
    nearest,
    to_dict,
    updated,
)
from edgewise.data.dataset import MANIFEST, Dataset, read_manifest
from edgewise.errors import ConfigError, EdgewiseError
from edgewise.evaluation.protocols import RecordedProtocol, check_version, recorded_protocol
from edgewise.evaluation.report import (
    EVALUATION,
    OtherRowsError,
    ReportShape,
    load_report,
    load_rows,
)
from edgewise.evaluation.statistics import Estimate
from edgewise.experiments.grid import (
    EvaluationOptions,
    ExperimentCell,
    Layout,
    ResultKey,
    merged,
    nested,
)
from edgewise.models.registry import DEFAULT_METHOD, find_method
from edgewise.parsing import Shape, check_shape
from edgewise.runs.run import split_values
from edgewise.runs.user_figures import read_user_figures, user_figures_file

STATISTICS, VECTORS = "edgewise statistics", "edgewise vectors"
_KINDS = {EVALUATION: "run", STATISTICS: "data", VECTORS: "vectors"}
TIME = "time"
"""The task under which a cell's seconds stand."""
_RAW = ("", "-allow-seen")
_CHOSEN_BY = "training.sequence.validation_metric"
_VALUES_NOW = {(_CHOSEN_BY, "likelihood"): "loss", (_CHOSEN_BY, "ndcg"): "NDCG@10"}
C = TypeVar("C", bound=MethodConfig)


class _Data(Shape):
    folder: str
    checksum: str


class _Split(Shape):
    kind: str
    seed: int
    cold_items: float = 0.0


class _Run(Shape):
    data: _Data
    config: dict[str, Any]
    split: _Split
    training_seconds: float
    method: str = ""
    protocol: RecordedProtocol | None = None


class _TimedReport(ReportShape):
    seconds: float


class _RunResult(Shape):
    """What a result file holds beside what every report does."""

    run: _Run
    results: dict[str, dict[str, _TimedReport]]


class _DataResult(Shape):
    data: _Data
    protocol: RecordedProtocol | None = None


@dataclass(frozen=True)
class Result:
    """One result file.

    Attributes:
        file: where it was read.
        place: what its name says, in the table in which it is shown.
        content: the whole file.
        home: its own place, where another table shows it.
    """

    file: Path
    place: ResultKey
    content: Mapping[str, Any]
    home: ResultKey | None = None

    @property
    def kind(self) -> str:
        """``run``, ``data`` or ``vectors``."""
        return _KINDS[self.content["kind"]]

    @property
    def method(self) -> str:
        """The method that was fitted, by name."""
        return self.content["run"].get("method", DEFAULT_METHOD)

    @property
    def settings(self) -> Mapping[str, Any]:
        """Of a run, by ``section.key`` as they are called today."""
        kind = find_method(self.method).config_class
        try:
            return flat_settings(to_dict(recorded_config(kind, self.content["run"]["config"])))
        except ConfigError as error:
            raise ConfigError(f"{self.file}: {error}") from None

    @property
    def data(self) -> Mapping[str, Any]:
        """Name and checksum of the data set."""
        return self.content["run"]["data"] if self.kind == "run" else self.content["data"]

    @property
    def leaks(self) -> bool:
        """Whether it was measured under a protocol that tells of the held-out rows."""
        return "warning" in self.content

    @property
    def tasks(self) -> list[str]:
        """What was measured."""
        return list(self.content["results"])

    def report(self, task: str, system: str | None = None) -> Mapping[str, Any]:
        """One system's report; the run's own, which stands first, if none is named."""
        systems = self.content["results"][task]
        return systems[next(iter(systems)) if system is None else system]

    def systems(self, task: str) -> list[str]:
        """The run's own system and its baseline."""
        return list(self.content["results"][task]) if self.kind == "run" else [""]

    def figures(self, task: str, system: str | None = None) -> dict[str, Estimate]:
        """Metrics of a task by name; of :data:`TIME`, seconds."""
        if task == TIME:
            return self._seconds()
        if self.kind != "run":
            return {name: Estimate(value) for name, value in self.content["results"][task].items()}
        metrics = self.report(task, system)["metrics"]
        return {name: Estimate(**value) for name, value in metrics.items()}

    def _seconds(self) -> dict[str, Estimate]:
        if self.kind != "run":
            return {}
        measured = {task: self.report(task)["seconds"] for task in self.tasks}
        seconds = {"training": self.content["run"]["training_seconds"], **measured}
        return {name: Estimate(value) for name, value in seconds.items()}

    def rows(self, task: str, runs: Path, system: int = 0) -> pl.DataFrame | None:
        """The users (or pairs) behind a report, None where they are not on this machine.

        They are looked for among the runs, then beside the result file.

        Args:
            task: which was measured.
            runs: the folder of runs.
            system: 0 for the run's own, 1 for the baseline.

        Raises:
            EdgewiseError: rows cannot be read, or the report's figures are not their means.
        """
        name = self.systems(task)[system]
        report = self.report(task, name)
        start = f"{task}-{report['settings'].get('part', 'test')}"
        end = ".parquet" if system == 0 else f"-{name.lower().replace(' ', '-')}.parquet"
        path = (self.home or self.place).path
        folders = (runs / "per-user" / path, runs / path / "evaluation")
        files = (folder / f"{start}{raw}{end}" for folder in folders for raw in _RAW)
        found = (_rows_of(report, each) for each in files if each.is_file())
        rows = next((rows for rows in found if rows is not None), None)
        digest = self.content.get("users_sha256")
        if rows is None and digest is not None:
            return read_user_figures(user_figures_file(self.file), digest, task, system)
        return rows


def _rows_of(report: Mapping[str, Any], file: Path) -> pl.DataFrame | None:
    """The rows behind a report, None where the file holds those of another evaluation."""
    try:
        return load_rows(file, report)
    except OtherRowsError:
        return None


def read_result(file: Path, root: Path, *, allow_unsealed: bool = False) -> Result:
    """Read one result file.

    Args:
        file: below ``root``.
        root: the folder of results.
        allow_unsealed: accept files that are older than seals.

    Raises:
        EdgewiseError: it is damaged, was changed by hand, is no result, or was measured under
            another version of its protocol.
    """
    content = load_report(file, allow_unsealed=allow_unsealed).values
    kind = content.get("kind")
    if kind not in _KINDS:
        raise EdgewiseError(f"{file}: no result of an experiment; leave it out")
    shape = _RunResult if kind == EVALUATION else _DataResult
    check_shape(content, shape, file, EdgewiseError, "measure it again, or leave it out")
    relative = file.relative_to(root) if file.is_relative_to(root) else Path(*file.parts[-3:])
    result = Result(file, ResultKey.of(relative), content)
    holder = content["run"] if result.kind == "run" else content
    protocol = recorded_protocol(holder.get("protocol"), f"{file}: ")
    check(
        protocol.name == result.place.protocol,
        f"{file}: measured under {protocol.name}, but its name says {result.place.protocol}: "
        "rename it, or run the cell again",
    )
    check_version(protocol, str(file))
    return result


def find_results(layout: Layout, name: str, is_table: bool = False) -> Iterator[Path]:
    """The result files that a file, a folder, or the name of a table stand for.

    Args:
        layout: where results are.
        name: a path, or one below ``results/``.
        is_table: whether a table bears the name, which may be without a result.

    Raises:
        EdgewiseError: there is nothing of the name.
    """
    place = layout.results / name
    if not place.exists():
        place = Path(name)
    check(
        place.exists() or is_table,
        f"{name}: no result file, folder or table, nor below {layout.results}/",
    )
    yield from sorted(place.rglob("*.json")) if place.is_dir() else [place] * place.exists()


def recorded_config(kind: type[C], values: Mapping[str, Any]) -> C:
    """The settings that a result was made with, under the names that they have today.

    A setting that is younger than the result had its default's effect.

    Raises:
        ConfigError: a setting is no more, or does not take the value.
    """
    found: dict[str, Any] = {}
    for path, value in flat_settings(values).items():
        now = _name_now(kind, path)
        spelled = _VALUES_NOW.get((now, value), value) if isinstance(value, str) else value
        found = merged(found, nested(now, spelled))
    return updated(kind(), found)


def _name_now(kind: type[Settings], path: str) -> str:
    *sections, key = path.split(".")
    for name in sections:
        hint = kind.model_fields[name].annotation if name in kind.model_fields else None
        if not (isinstance(hint, type) and issubclass(hint, Settings)):
            return path
        kind = hint
    now = kind.RENAMED.get(key, key)
    return now if "." in now else ".".join([*sections, now])


def why_unfinished(cell: ExperimentCell, layout: Layout) -> str | None:
    """What the cell's result file lacks, None where nothing is left to do."""
    file = layout.result_file(cell.key)
    if not file.exists():
        return "not measured yet"
    try:
        result = read_result(file, layout.results, allow_unsealed=True)
    except EdgewiseError as error:
        return str(error)
    return (
        _made_otherwise(cell, result)
        or _on_other_data(cell, result, layout)
        or _measured_otherwise(cell, result)
    )


def described(cell: ExperimentCell) -> dict[str, Any]:
    """What the figures of a data set or a graph depend on, as JSON values."""
    options = cell.options
    found: dict[str, Any] = {"kind": options.kind, "data": options.data.options()}
    if options.kind == "vectors":
        graph = cell.settings.graph
        found |= {"seed": cell.settings.seed, "rounds": list(options.rounds)}
        # Sealed results call sigma as it was called when they were made.
        found |= {"init_std": graph.sigma, "variant": graph.variant}
    return found


def _made_otherwise(cell: ExperimentCell, result: Result) -> str | None:
    if result.kind != cell.options.kind:
        return f"holds {result.kind} figures instead of {cell.options.kind} figures"
    if cell.options.kind != "run":
        return None if result.content.get("recipe") == described(cell) else "settings changed"
    run, (split, seed) = result.content["run"], cell.split
    protocol = recorded_protocol(run.get("protocol")).to_dict()
    found = {"method": result.method, "protocol": protocol, "split": run["split"]}
    wanted = {
        "method": cell.method,
        "protocol": cell.protocol.to_dict(),
        "split": split_values(split, seed, cell.options.cold_items),
    }
    for name, value in wanted.items():
        if found[name] != value:
            return f"{name} {found[name]}, now {value}"
    return _changed_settings(cell, run["config"])


def _changed_settings(cell: ExperimentCell, values: Mapping[str, Any]) -> str | None:
    try:
        changed = differences(recorded_config(type(cell.settings), values), cell.settings)
    except ConfigError as error:
        return str(error)
    return f"settings changed: {', '.join(changed)}" if changed else None


def _on_other_data(cell: ExperimentCell, result: Result, layout: Layout) -> str | None:
    """Whether the data set on this machine, if it is here, is another than was measured."""
    folder, found = layout.data_folder(cell), result.data
    if _name(result) != folder.name:
        return f"measured on the data set {_name(result)}, now {folder.name}"
    try:
        wanted = recorded_checksum(folder)
    except EdgewiseError as error:
        return str(error)
    return None if wanted in (None, found["checksum"]) else other_data(found["checksum"], wanted)


def _measured_otherwise(cell: ExperimentCell, result: Result) -> str | None:
    if cell.options.kind != "run":
        return None
    for task in cell.options.evaluation.tasks or result.tasks:
        if task not in result.tasks:
            return f"{task} not measured"
        if reason := _task_measured_otherwise(cell, task, result.report(task)):
            return f"{task} {reason}"
    return None


def _task_measured_otherwise(
    cell: ExperimentCell, task: str, report: Mapping[str, Any]
) -> str | None:
    wanted, settings = cell.options.evaluation, report["settings"]
    most = settings.get("max_pairs" if task == "explanation" else "max_users")
    if most != wanted.max_users:
        return f"measured on {most or 'all'} users, now {wanted.max_users or 'all'}"
    negatives = wanted.negatives or cell.protocol.num_negatives
    if task == "direct" and settings.get("num_negatives") != negatives:
        return f"measured with {settings.get('num_negatives')} negatives"
    missing = [] if task == "explanation" else _missing(wanted, list(report["metrics"]))
    return f"without {', '.join(missing)}" if missing else None


def _missing(wanted: EvaluationOptions, measured: Sequence[str]) -> list[str]:
    lengths = [f"@{k}" for k in wanted.ks]
    lost = [k for k in lengths if not any(name.endswith(k) for name in measured)]
    return lost + [n for n in wanted.metrics if not any(m.startswith(f"{n}@") for m in measured)]


def recorded_checksum(folder: Path) -> str | None:
    """The checksum that a data set folder tells of itself; None where there is none.

    Raises:
        DataError: ``dataset.json`` is damaged, or of another version.
    """
    return read_manifest(folder)["checksum"] if (folder / MANIFEST).is_file() else None


def other_data(found: str, wanted: str) -> str:
    """In words, that something was made of one data set and not of the other."""
    return f"measured on other data (checksum {found[:12]}, now {wanted[:12]})"


def check_same_data(results: Sequence[Result]) -> None:
    """Refuse results whose data sets bear one name and are not the same.

    Raises:
        EdgewiseError: names both files.
    """
    first: dict[str, Result] = {}
    for result in results:
        known = first.setdefault(f"{_name(result)} {result.place.protocol}", result)
        if known.data["checksum"] != result.data["checksum"]:
            raise EdgewiseError(
                f"{result.file}: measured on other data than {known.file} (checksum "
                f"{result.data['checksum'][:12]} instead of {known.data['checksum'][:12]}), though "
                f"both call it {_name(result)!r}; leave one of them out, or name the data set that "
                "you mean with --data DIR: the other file is then told, and how to make it again"
            )


def check_data(results: Sequence[Result], layout: Layout, given: Path | None = None) -> None:
    """Refuse results that were measured on other data than this machine has under their names.

    Data sets are known by the names of their folders: one that was imported otherwise, as
    protocols may ask, has another name and is no matter of the first.

    Args:
        results: what is to be shown.
        layout: ``data/`` below its runs is looked into; what is not there cannot be compared.
        given: a data set folder, or a folder of them, that counts instead for what it holds.

    Raises:
        EdgewiseError: names the file; or nothing in ``given`` belongs to any result.
    """
    named = _named(results, given) if given is not None else {}
    whole = {name: Dataset.load(folder).checksum for name, folder in named.items()}
    for result in results:
        name = _name(result)
        folder = named.get(name, layout.runs / "data" / name)
        wanted = whole.get(name) or recorded_checksum(folder)
        if wanted is not None and wanted != result.data["checksum"]:
            home = result.home or result.place
            raise EdgewiseError(
                f"{result.file}: {other_data(result.data['checksum'], wanted)} than {folder} "
                f"holds; leave the file out, make it again with 'edgewise reproduce "
                f"{home.table} --dataset {home.dataset} --method {home.method} --force', or "
                "name the data set that it was measured on with --data DIR"
            )


def _named(results: Sequence[Result], given: Path) -> dict[str, Path]:
    """Folders of the results' data sets, by name: the one that was given, or those in it."""
    names = sorted({_name(result) for result in results})
    own = given.resolve().name
    if (given / MANIFEST).is_file():
        folders = {own: given} if own in names else {}
    else:
        folders = {name: given / name for name in names if (given / name / MANIFEST).is_file()}
    check(
        bool(folders) or not names,
        f"--data {given}: no result was measured on a data set folder of that name, nor on one in "
        f"it.{nearest(own, names)}",
    )
    return folders


def _name(result: Result) -> str:
    return Path(result.data["folder"]).name
