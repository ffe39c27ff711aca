"""``run.json``: what a run is, so that it can be repeated, resumed and trusted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgewise.configuration import to_dict, updated
from edgewise.errors import ConfigError, ModelFolderError
from edgewise.evaluation.protocols import HONEST, Protocol
from edgewise.evaluation.recorded import recorded_protocol
from edgewise.runs.data import DataInfo
from edgewise.runs.files import write_text
from edgewise.runs.machine import describe_machine
from edgewise.runs.methods import DEFAULT_METHOD, Method, MethodConfig, find_method
from edgewise.runs.source import code_versions

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
        method_name: a key of :data:`edgewise.runs.methods.METHODS`.
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
