"""The data set of a run, recognised by its content.

``run.json``: what a run is, so that it can be repeated, resumed and trusted.

Making room for a run; nothing here waits for torch.

The split of a run, as its protocol makes it.

A finished run, opened again with its data and split.
"""

from __future__ import annotations

import copy
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from edgewise.config import check, to_dict, updated, with_overrides
from edgewise.data.dataset import Dataset
from edgewise.data.splits import Split
from edgewise.errors import ConfigError, DataError, ModelFolderError
from edgewise.evaluation.protocols import HONEST, Protocol, recorded_protocol, split_under
from edgewise.files import is_taken, write_text
from edgewise.models.registry import DEFAULT_METHOD, Method, MethodConfig, find_method, setting
from edgewise.recommender import Task
from edgewise.runs.contract import Model
from edgewise.runs.provenance import code_versions, describe_machine
from edgewise.runs.spec import to_toml


@dataclass(frozen=True)
class DataInfo:
    """The data set of a run: its folder as it was given, its name and its content's checksum."""

    folder: str
    name: str
    checksum: str

    @classmethod
    def of(cls, dataset: Dataset, folder: str | Path) -> DataInfo:
        return cls(str(folder), dataset.name, dataset.checksum)

    def check(self, dataset: Dataset, folder: str | Path) -> None:
        """Refuse a data set whose content is not the one the run was fitted on.

        Raises:
            DataError: it differs.
        """
        if dataset.checksum != self.checksum:
            raise DataError(
                f"{folder}: not the data the run was fitted on ({self.name!r}, checksum "
                f"{self.checksum[:12]}): it was altered or is another data set. Give the original "
                "with --data, or fit again"
            )


def load_run_data(info: DataInfo, data: str | Path | None = None) -> Dataset:
    """The data set of a run, checked to be the same."""
    place = Path(data or info.folder)
    if not place.exists():
        raise DataError(
            f"{place}: the data set of the run is not there; say where it is with --data"
        )
    dataset = Dataset.load(place)
    info.check(dataset, place)
    return dataset


FILE = "run.json"
KIND = "edgewise run"
# What run.json said while there was a single method.
_OLD_KIND = "elmrec"
_VERSION = 1
TRAINING, FINISHED = "training", "finished"


@dataclass(frozen=True)
class RunInfo:
    """What ``run.json`` holds.

    Attributes:
        config: all settings of the method, seed included.
        data: the data set.
        split_kind, split_seed: how it was split.
        method_name: a key of :data:`edgewise.models.registry.METHODS`.
        status: ``training`` or ``finished``.
        training_seconds: without the time between an interruption and its resumption.
        command: the command line that made the run.
        versions, machine: of the libraries and edgewise's own source, and of the computer.
        protocol: under which it is fitted and measured.
    """

    config: MethodConfig
    data: DataInfo
    split_kind: str = "leave-one-out"
    split_seed: int = 0
    method_name: str = DEFAULT_METHOD
    status: str = TRAINING
    training_seconds: float = 0.0
    command: str = ""
    versions: Mapping[str, str] = field(default_factory=code_versions)
    machine: Mapping[str, object] = field(default_factory=describe_machine)
    protocol: Protocol = HONEST

    @property
    def method(self) -> Method:
        """The method that is fitted."""
        return find_method(self.method_name)

    def to_dict(self) -> dict[str, Any]:
        """As JSON values; the seed stands beside the configuration for quick reading."""
        return {
            "kind": KIND,
            "version": _VERSION,
            "method": self.method_name,
            "status": self.status,
            "seed": self.config.seed,
            "data": to_dict(self.data),
            "protocol": self.protocol.to_dict(),
            "split": {"kind": self.split_kind, "seed": self.split_seed},
            "training_seconds": round(self.training_seconds, 1),
            "command": self.command,
            "versions": dict(self.versions),
            "machine": dict(self.machine),
            "config": to_dict(self.config),
        }

    def write(self, folder: Path) -> None:
        """Put ``run.json`` into the folder, whole or not at all."""
        write_text(folder / FILE, json.dumps(self.to_dict(), indent=2) + "\n")


def is_run(folder: Path) -> bool:
    """Whether a run was started in the folder."""
    return (folder / FILE).is_file()


def read_info(folder: str | Path) -> RunInfo:
    """Read ``run.json``.

    Raises:
        ModelFolderError: it is missing, damaged, of another kind or version.
    """
    path = Path(folder) / FILE
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelFolderError(
            f"{folder} is no run folder ({FILE} is missing); make one with "
            f"'edgewise fit elmrec --data DIR --out {folder}'"
        ) from None
    except (OSError, ValueError) as error:
        raise ModelFolderError(f"{path} cannot be read ({error}); fit the run again") from None
    if not _is_ours(values):
        raise ModelFolderError(f"{path} was not written by this version of edgewise; fit again")
    try:
        return _from_dict(values)
    except (KeyError, TypeError, ConfigError) as error:
        raise ModelFolderError(
            f"{path} cannot be read by this version of edgewise ({error}); fit the run again"
        ) from None


def _is_ours(values: object) -> bool:
    if not isinstance(values, dict) or values.get("version") != _VERSION:
        return False
    return values.get("kind") == KIND or (
        values.get("kind") == _OLD_KIND and "method" not in values
    )


def _from_dict(values: Mapping[str, Any]) -> RunInfo:
    method = find_method(values.get("method", DEFAULT_METHOD))
    return RunInfo(
        config=updated(method.default_config(), values["config"]),
        data=DataInfo(**values["data"]),
        split_kind=values["split"]["kind"],
        split_seed=values["split"]["seed"],
        method_name=method.name,
        status=values["status"],
        training_seconds=values["training_seconds"],
        command=values["command"],
        versions=values["versions"],
        machine=values["machine"],
        protocol=recorded_protocol(values.get("protocol")),
    )


def is_main_process() -> bool:
    """Under ``torchrun`` only the process of rank 0 writes and prints."""
    return os.environ.get("RANK", "0") == "0"


def check_free(folder: Path, *, force: bool = False) -> None:
    """Refuse to train into a folder that holds something; a run is given up by ``force``.

    Raises:
        ConfigError: something is there.
    """
    if not is_taken(folder):
        return
    if not is_run(folder):
        raise ConfigError(f"--out {folder}: something else is there; choose another folder")
    if not force:
        raise ConfigError(f"--out {folder}: {_state(folder)}, or replace it with --force")


def prepare_folder(folder: Path, info: RunInfo, *, force: bool = False) -> None:
    """Make the run folder and say in it what will be trained; ``force`` removes an old run.

    Raises:
        ConfigError: see :func:`check_free`.
    """
    check_free(folder, force=force)
    if is_run(folder):
        _remove(folder)
    write_text(folder / "config.toml", to_toml(info.config, info.method_name))
    info.write(folder)


def _state(folder: Path) -> str:
    try:
        finished = read_info(folder).status == FINISHED
    except ModelFolderError:
        return "a damaged run is there; choose another folder"
    if finished:
        return "a finished run is there; choose another folder"
    return "an unfinished run is there; go on with --resume"


def _remove(folder: Path) -> None:
    # Moved aside first: a removal cut short must not leave half a run under its name.
    aside = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(aside, ignore_errors=True)
    folder.rename(aside)
    shutil.rmtree(aside)


def split_of(info: RunInfo, dataset: Dataset) -> Split:
    """The very split that a run is fitted on and measured with.

    Raises:
        ConfigError: the protocol does not allow the split or a setting of the run.
        DataError: the data set is not as the protocol asks.
    """
    check_settings(info.protocol, info.config)
    return split_under(info.protocol, dataset, info.split_kind, info.split_seed)


def check_settings(protocol: Protocol, config: MethodConfig) -> None:
    """Refuse settings by which a model would read more than its protocol shows.

    Raises:
        ConfigError: texts are to be dealt at random under a protocol that keeps them in their part.
    """
    dealt = setting(config, "prompts.explanations", "interaction") == "random"
    check(
        not dealt or protocol.explanation_rows != "own part",
        f"prompts.explanations = 'random' trains on texts of the test part, which the protocol "
        f"{protocol.name} keeps out: leave it out, or name --protocol elmrec-released",
    )


@dataclass(frozen=True, eq=False)
class Run:
    """A fitted model with everything it came from.

    Attributes:
        folder: the run folder.
        info: settings, versions, machine.
        model: fitted.
        dataset: the data set it was fitted on.
        split: the very split it was fitted on, graph edges and texts included.
    """

    folder: Path
    info: RunInfo
    model: Model
    dataset: Dataset
    split: Split

    @property
    def config(self) -> MethodConfig:
        """The settings it was fitted with."""
        return self.model.config

    @property
    def label(self) -> str:
        """The method, as tables call it."""
        return self.info.method.label

    @property
    def tasks(self) -> list[Task]:
        """What it was trained for, in the order in which it is told: ranking first."""
        order: tuple[Task, ...] = ("direct", "sequential", "explanation")
        return [task for task in order if task in self.model.tasks]

    def require(self, task: str) -> None:
        """Refuse a task that the run was not trained for.

        Raises:
            ConfigError: it was trained for others only.
        """
        trained = ", ".join(self.tasks)
        message = f"--task {task}: {self.folder} was not trained for it, only for {trained}"
        check(task in self.model.tasks, message)

    def without_reranking(self) -> Run:
        """The same run whose lists are the raw ones, which may hold seen items (Table 4).

        Raises:
            ConfigError: the method does not search first and rerank then.
        """
        reranks = setting(self.config, "decoding.rerank", None) is not None
        check(reranks, f"--no-rerank: {self.label} never ranks seen items, nothing to leave out")
        model = copy.copy(self.model)
        decoding = replace(model.config.decoding, rerank=False)
        model.config = replace(model.config, decoding=decoding)
        return replace(self, model=model)

    def decoding_as(self, assignments: Sequence[str]) -> Run:
        """The same run, asked for its answers in another way: ``decoding.key=value``.

        Raises:
            ConfigError: another setting is named, which training has already used, or none such.
        """
        for assignment in assignments:
            message = f"--set {assignment}: only decoding.* can change after training; fit again"
            check(assignment.partition("=")[0].strip().startswith("decoding."), message)
        if not assignments:
            return self
        config = with_overrides(self.config, assignments)
        model = copy.copy(self.model)
        model.config = config
        return replace(self, model=model, info=replace(self.info, config=config))


def open_run(folder: str | Path, data: str | Path | None = None) -> Run:
    """Open a finished run.

    Example:
        >>> run = open_run("runs/mine")                                    # doctest: +SKIP
        >>> run.model.recommend(run.dataset.users.indices_of(["u1"]), k=5)   # doctest: +SKIP

    Args:
        folder: made by ``edgewise fit``.
        data: where the data set stands now, if it has moved.

    Raises:
        ModelFolderError: there is no finished run, or its model is damaged.
        DataError: the data set is missing or is not the one the run was fitted on.
    """
    folder = Path(folder)
    info = read_info(folder)
    if info.status != FINISHED:
        raise ModelFolderError(
            f"{folder}: training did not finish; go on with "
            f"'edgewise fit {info.method_name} --out {folder} --resume'"
        )
    dataset = load_run_data(info.data, data)
    split = split_of(info, dataset)
    return Run(folder, info, info.method.load(folder / "model"), dataset, split)
