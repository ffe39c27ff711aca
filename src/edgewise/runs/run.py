"""Run folders: a fitted model with everything it came from.

``run.json`` (this file's :class:`RunInfo`), ``config.toml``, ``model/``, ``training/``,
``curves.json``, ``curves.png``, ``audit.json``, ``training-log.json``, ``evaluation/``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import copy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from edgewise.config import (
    MethodConfig,
    check,
    is_of_answers,
    nearest,
    to_dict,
    to_toml,
    updated,
    with_overrides,
)
from edgewise.errors import ConfigError, DataError, ModelFolderError
from edgewise.evaluation.protocols import RecordedProtocol, recorded_protocol
from edgewise.files import is_taken, recover, whole_folder, write_text
from edgewise.locks import locked
from edgewise.models.registry import find_method
from edgewise.parsing import Shape, check_shape, read_json
from edgewise.recommender import TASKS, Task
from edgewise.runs.provenance import code_versions, describe_machine
from edgewise.runs.spec import DataInfo, RunSpec, StartInfo, setting_of
from edgewise.seals import check_fields, seal_fields

if TYPE_CHECKING:
    from edgewise.data.dataset import Dataset
    from edgewise.data.fitted import FittedData
    from edgewise.data.splits import Split
    from edgewise.recommender import Recommender
    from edgewise.runs.growth import Growth

FILE = "run.json"
CONFIG = "config.toml"
KIND = "edgewise run"
_VERSION = 3
_AGAIN = "Put back what was there, or fit the run again"
TRAINING, FINISHED = "training", "finished"
WEIGHTS = ("fp32", "int8")
_WEIGHTS = "decoding.weights"


class _DataPart(Shape):
    folder: str
    name: str
    checksum: str


class _StartPart(Shape):
    folder: str
    checksum: str
    share: float


class _SplitPart(Shape):
    kind: str
    seed: int
    cold_items: float = 0.0


class _RunFile(Shape):
    """``run.json``."""

    method: str
    status: Literal["training", "finished"]
    data: _DataPart
    protocol: RecordedProtocol
    split: _SplitPart
    training_seconds: float
    command: str
    versions: dict[str, Any]
    machine: dict[str, Any]
    config: dict[str, Any]
    started_from: _StartPart | None = None


@dataclass(frozen=True)
class RunInfo:
    """What ``run.json`` holds, so that a run can be repeated, resumed and trusted.

    Attributes:
        spec: what was asked for.
        status: ``training`` or ``finished``.
        training_seconds: without the time between an interruption and its resumption.
        versions, machine: of the libraries and edgewise's own source, and of the computer.
    """

    spec: RunSpec
    status: str = TRAINING
    training_seconds: float = 0.0
    versions: Mapping[str, str] = field(default_factory=code_versions)
    machine: Mapping[str, object] = field(default_factory=describe_machine)

    def __repr__(self) -> str:
        return f"RunInfo({self.spec!r}, {self.status})"

    def to_dict(self) -> dict[str, Any]:
        """As JSON values; the seed stands beside the configuration for quick reading."""
        spec, start = self.spec, self.spec.started_from
        return {
            "kind": KIND,
            "version": _VERSION,
            "method": spec.method_name,
            "status": self.status,
            "seed": spec.config.seed,
            "data": to_dict(spec.data),
            "protocol": spec.protocol.to_dict(),
            "split": split_values(spec.split_kind, spec.split_seed, spec.cold_share),
            "training_seconds": round(self.training_seconds, 1),
            "command": spec.command,
            "versions": dict(self.versions),
            "machine": dict(self.machine),
            "config": to_dict(spec.config),
            **({"started_from": to_dict(start)} if start else {}),
        }

    def write(self, folder: Path) -> None:
        """Put ``run.json`` into the folder, sealed, whole or not at all."""
        write_text(folder / FILE, json.dumps(seal_fields(self.to_dict()), indent=2) + "\n")


@dataclass(frozen=True, eq=False)
class Run:
    """A fitted model with everything it came from.

    Attributes:
        folder: the run folder.
        info: settings, versions, machine.
        model: fitted; a :class:`~edgewise.models.grown.Grown` where the data have grown since.
        dataset: the data set it was fitted on, or what has grown from it.
        split: the very split it was fitted on, graph edges and texts included; the same kind of
            split of grown data, without held-out rows that the model knows.
        growth: how far the data have grown since; None where they have not.
        weights: ``fp32`` or ``int8``, where matrices are rounded in another way than the run's own
            settings say; None where they are not.
    """

    folder: Path
    info: RunInfo
    model: Recommender
    dataset: Dataset
    split: Split
    growth: Growth | None = None
    weights: str | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What the model cannot do for what has come since it was fitted, in sentences."""
        return getattr(self.model, "notes", ())

    def as_fitted(self) -> Run:
        """The run with the model and the data as they were when it was fitted."""
        if self.growth is None:
            return self
        fitted, model = self.growth.fitted, getattr(self.model, "model", self.model)
        return replace(self, model=model, dataset=fitted.dataset, split=fitted, growth=None)

    def __repr__(self) -> str:
        return f"Run({self.folder}: {self.model!r}, tasks {', '.join(self.tasks)})"

    @property
    def spec(self) -> RunSpec:
        """What was asked for."""
        return self.info.spec

    @property
    def config(self) -> MethodConfig:
        """The settings that the model has now."""
        return self.model.config

    @property
    def label(self) -> str:
        """The method, as tables call it."""
        return self.spec.method.label

    @property
    def tasks(self) -> list[Task]:
        """What it was trained for, in the order in which it is told: ranking first."""
        return [task for task in reversed(TASKS) if task in self.model.tasks]

    def require(self, task: str) -> None:
        """Refuse a task that the run was not trained for.

        Raises:
            ConfigError: it was trained for others only.
        """
        trained = ", ".join(self.tasks)
        message = f"--task {task}: {self.folder} was not trained for it, only for {trained}"
        check(task in self.model.tasks, message)

    def decoding_as(self, assignments: Sequence[str]) -> Run:
        """The same run, asked for its answers in another way.

        Args:
            assignments: ``decoding.key=value``, or ``priors.relearn=true``.

        Raises:
            ConfigError: another setting is named, which training has already used, or none such.
        """
        for assignment in assignments:
            check(
                is_of_answers(assignment.partition("=")[0].strip()),
                f"--set {assignment}: only decoding.* and priors.relearn can change after "
                "training; fit again",
            )
        if not assignments:
            return self
        config = with_overrides(self.config, assignments)
        weights = setting_of(config, _WEIGHTS, None)
        if weights == setting_of(self.config, _WEIGHTS, None):
            weights = self.weights
        self.model.config = config
        info = replace(self.info, spec=replace(self.spec, config=config))
        return replace(self, info=info, weights=weights)


@dataclass(frozen=True, eq=False)
class RunData:
    """What a finished run was fitted on: enough to check a question before the model is loaded.

    Attributes:
        folder: the run folder.
        told: what ``run.json`` says.
        dataset: the one that stands where the run's should.
        place: its folder.
    """

    folder: Path
    told: Mapping[str, Any]
    dataset: Dataset
    place: Path

    def __repr__(self) -> str:
        return f"RunData({self.folder}: {self.dataset!r})"

    def open_run(self, weights: str | None = None) -> Run:
        """Load the model, too.

        Args:
            weights: as for :func:`open_run`.

        Raises:
            ConfigError: the method has no such weights.
            ModelFolderError: the model is damaged or another run's.
            DataError: the data set is not the one the run was fitted on.
        """
        info, dataset = _info_of(self.told, self.folder), self.dataset
        spec = info.spec
        if weights is not None:
            check_weights(spec, weights)
            return self.open_run().decoding_as([f"{_WEIGHTS}={weights}"])
        fitted = spec.split(spec.data.state_of(dataset, self.place))
        model = spec.method.recommender.from_pretrained(self.folder / "model")
        # Of a copy, so that columns that are read for it are kept no longer.
        _check_fitted_on(model.data, info, _unread(fitted), self.folder / "model")
        model.share_ids(fitted.dataset)
        if fitted.dataset is dataset:
            return Run(self.folder, info, model, dataset, fitted)
        from edgewise.models.grown import Grown
        from edgewise.runs.growth import grown_split

        split, growth = grown_split(spec.split(dataset), fitted)
        return Run(self.folder, info, Grown.of(model, dataset), dataset, split, growth)


def split_values(kind: str, seed: int, cold_share: float) -> dict[str, Any]:
    """A split as ``run.json`` says it; cold items only where there are some."""
    return {"kind": kind, "seed": seed, **({"cold_items": cold_share} if cold_share else {})}


def is_main_process() -> bool:
    """Under ``torchrun`` only the process of rank 0 writes and prints."""
    return os.environ.get("RANK", "0") == "0"


def launched_together() -> bool:
    """Whether ``torchrun`` has started other processes of this command."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def writing_run(folder: Path) -> AbstractContextManager[None]:
    """Hold the lock of a run folder, in the one process that writes.

    Raises:
        LockedError: another process trains there.
    """
    if not is_main_process():
        return nullcontext()
    folder.parent.mkdir(parents=True, exist_ok=True)
    return locked(folder)


def is_run(folder: Path) -> bool:
    """Whether a run was started in the folder."""
    recover(folder)
    return (folder / FILE).is_file()


def read_info(folder: str | Path) -> RunInfo:
    """Read ``run.json``.

    Raises:
        ModelFolderError: it is missing, damaged, was edited, or is of another kind or version.
    """
    return _info_of(_read_values(folder), folder)


def _read_values(folder: str | Path) -> dict[str, Any]:
    """What ``run.json`` says, checked as far as no method need be loaded."""
    path = Path(folder) / FILE
    recover(Path(folder))
    if not path.exists():
        raise ModelFolderError(
            f"{folder} is no run folder ({FILE} is missing); make one with "
            f"'edgewise fit METHOD --data DIR --out {folder}'"
        )
    values = read_json(path, ModelFolderError, "fit the run again")
    if values.get("kind") != KIND or values.get("version") != _VERSION:
        raise ModelFolderError(f"{path} was not written by this version of edgewise; fit again")
    check_fields(values, path, _AGAIN, ModelFolderError)
    check_shape(values, _RunFile, path, ModelFolderError, "fit the run again")
    return values


def _info_of(values: Mapping[str, Any], folder: str | Path) -> RunInfo:
    try:
        return _from_dict(values)
    except ConfigError as error:
        raise ModelFolderError(
            f"{Path(folder) / FILE} cannot be read by this version of edgewise ({error}); fit the "
            "run again"
        ) from None


def check_free(folder: Path, *, force: bool = False) -> None:
    """Refuse to train into a folder that holds something; a run is given up by ``force``.

    Raises:
        ConfigError: something is there.
        LockedError: another process trains there.
    """
    recover(folder)
    if not is_taken(folder):
        return
    with locked(folder):
        pass
    if not is_run(folder):
        raise ConfigError(f"--out {folder}: something else is there; choose another folder")
    if not force:
        raise ConfigError(f"--out {folder}: {_state(folder)}, or replace it with --force")


def prepare_folder(folder: Path, info: RunInfo, *, force: bool = False) -> None:
    """Make the run folder and say in it what will be trained; ``force`` replaces an old run.

    Raises:
        ConfigError: see :func:`check_free`.
    """
    check_free(folder, force=force)
    if folder.exists() and not is_run(folder):
        _describe(folder, info)  # empty, and maybe another disk: it cannot be replaced
        return
    with whole_folder(folder) as partial:
        _describe(partial, info)


def _describe(folder: Path, info: RunInfo) -> None:
    # run.json first: whatever happens next, the folder is known as a run's.
    info.write(folder)
    write_config(folder, info)


def write_config(folder: Path, info: RunInfo) -> None:
    """Put the settings into the folder as ``fit --config`` takes them."""
    write_text(folder / CONFIG, to_toml(info.spec.config, info.spec.method_name))


def load_run_data(info: DataInfo, data: str | Path | None = None) -> Dataset:
    """The data set of a run, checked to be the same; where it has grown since, as it was.

    Raises:
        DataError: it is missing or another one.
    """
    return info.state_of(*_load_grown(info, data))


def _load_grown(info: DataInfo, data: str | Path | None) -> tuple[Dataset, Path]:
    """The data set that stands where a run's should, whichever it is, and where that is."""
    from edgewise.data.dataset import Dataset

    place = Path(data or info.folder)
    recover(place)
    if not place.exists():
        raise DataError(
            f"{place}: the data set of the run is not there; say where it is with --data"
        )
    return Dataset.load(place), place


def read_finished(folder: str | Path) -> RunInfo:
    """``run.json`` of a run that was trained to its end.

    Raises:
        ModelFolderError: there is none, or its training did not finish.
    """
    return _info_of(_read_finished(folder), folder)


def _read_finished(folder: str | Path) -> dict[str, Any]:
    values = _read_values(folder)
    if values["status"] != FINISHED:
        raise ModelFolderError(
            f"{folder}: training did not finish; go on with "
            f"'edgewise fit {values['method']} --out {folder} --resume'"
        )
    return values


def check_weights(spec: RunSpec, weights: str) -> None:
    """Refuse weights that there are not, or that a run's method cannot answer with.

    Raises:
        ConfigError: says which there are.
    """
    check(
        weights in WEIGHTS, f"--weights {weights}: choose fp32 or int8.{nearest(weights, WEIGHTS)}"
    )
    check(
        setting_of(spec.config, _WEIGHTS, None) is not None,
        f"--weights {weights}: {spec.method_name} has no matrices that could be rounded; the "
        "language models elmrec, rsl and graph-gpt have. Leave --weights out",
    )


def open_run(folder: str | Path, data: str | Path | None = None, weights: str | None = None) -> Run:
    """Open a finished run.

    Where its data set has grown since it was fitted (``edgewise data append``), the model is asked
    about all of it: newest histories, new users and new items.

    Example:
        >>> run = open_run("runs/mine")                                    # doctest: +SKIP
        >>> run.model.recommend(["u1"], k=5).to_frame()                      # doctest: +SKIP

    Args:
        folder: made by ``edgewise fit``.
        data: where the data set stands now, if it has moved.
        weights: ``int8`` to answer with matrices of 8-bit integers, ``fp32`` without; None as the
            run's own ``decoding.weights`` says.

    Raises:
        ConfigError: the method has no such weights.
        ModelFolderError: there is no finished run, or its model is damaged or another run's.
        DataError: the data set is missing or is not the one the run was fitted on.
    """
    return open_data(folder, data).open_run(weights)


def open_data(folder: str | Path, data: str | Path | None = None) -> RunData:
    """Open the data set of a finished run and not yet its model.

    Args:
        folder: made by ``edgewise fit``.
        data: where the data set stands now, if it has moved.

    Raises:
        ModelFolderError: there is no finished run.
        DataError: the data set is missing.
    """
    values = _read_finished(folder)
    return RunData(Path(folder), values, *_load_grown(DataInfo(**values["data"]), data))


def _unread(split: Split) -> Split:
    """The same split, whose parts keep for themselves which columns have been read."""
    return replace(split, train=copy(split.train), valid=copy(split.valid), test=copy(split.test))


def _check_fitted_on(fitted: FittedData, info: RunInfo, split: Split, place: Path) -> None:
    """Refuse a model that another run has fitted: its index numbers would mean other items.

    Raises:
        ModelFolderError: names what differs.
    """
    data, dataset = info.spec.data, split.dataset
    known = split.known_before("valid")
    told = f"{info.spec.split_kind}, seed {info.spec.split_seed}"
    told += f", cold items {info.spec.cold_share:g}" if info.spec.cold_share else ""
    pairs = {
        f"data.checksum ({fitted.checksum[:12]}, in {FILE} {data.checksum[:12]})": (
            fitted.checksum == data.checksum
        ),
        "the users' ids": fitted.users.ids == dataset.users.ids,
        "the items' ids": fitted.items.ids == dataset.items.ids,
        f"the train rows (split in {FILE}: {told})": np.array_equal(
            fitted.histories.offsets, known.offsets
        )
        and np.array_equal(fitted.histories.values, known.values),
    }
    other = [name for name, equal in pairs.items() if not equal]
    if other:
        raise ModelFolderError(
            f"{place}: the model of another run ({fitted.name}); it differs in {other[0]}. "
            "Put the run's own model back, or fit the run again"
        )


def _from_dict(values: Mapping[str, Any]) -> RunInfo:
    method = find_method(values["method"])
    spec = RunSpec(
        method.name,
        updated(method.config_class(), values["config"]),
        DataInfo(**values["data"]),
        recorded_protocol(values["protocol"]),
        values["split"]["kind"],
        values["split"]["seed"],
        values["command"],
        values["split"].get("cold_items", 0.0),
        StartInfo(**values["started_from"]) if values.get("started_from") else None,
    )
    return RunInfo(
        spec,
        values["status"],
        values["training_seconds"],
        values["versions"],
        values["machine"],
    )


def _state(folder: Path) -> str:
    try:
        finished = read_info(folder).status == FINISHED
    except ModelFolderError:
        return "a damaged run is there; choose another folder"
    if finished:
        return "a finished run is there; choose another folder"
    return "an unfinished run is there; go on with --resume"
