"""The run that a training starts from: found, checked, and opened for its weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgewise.config import check
from edgewise.errors import ConfigError, ModelFolderError
from edgewise.files import ABOUT, file_checksum
from edgewise.runs.run import read_finished
from edgewise.runs.spec import RunSpec, StartInfo

if TYPE_CHECKING:
    from edgewise.recommender import Recommender


def find_start(folder: Path, method: str, share: float = 1.0) -> tuple[RunSpec, StartInfo]:
    """What a run to start from was asked for, and what is recorded of it.

    Args:
        folder: of the run.
        method: that is about to be fitted.
        share: what its weights will count.

    Raises:
        ModelFolderError: there is no finished run.
        ConfigError: it is of another method, or there is no such share.
    """
    check(0 < share <= 1, f"--start-share {share:g}: above 0 and at most 1 is wanted")
    spec = read_finished(folder).spec
    if spec.method_name != method:
        raise ConfigError(
            f"--from {folder}: a run of {spec.method_name}, and {method} is to be fitted: "
            f"'edgewise fit {spec.method_name} --from {folder} ...', or name a run of {method}"
        )
    return spec, StartInfo(str(folder), _checksum(folder), share)


def check_protocol(spec: RunSpec, older: RunSpec) -> None:
    """Refuse to start from a run that was shown rows which the new one's protocol keeps out.

    Raises:
        ConfigError: the older run's protocol is another one, and leaks.
    """
    if spec.protocol != older.protocol and not older.protocol.is_honest:
        raise ConfigError(
            f"--protocol {spec.protocol.name}: the run of --from was fitted under "
            f"{older.protocol.name}, which shows held-out rows: its weights know them. Leave out "
            "--protocol, or --from"
        )


def open_start(spec: RunSpec) -> Recommender | None:
    """The fitted model that a run starts from; None where it starts from scratch.

    Raises:
        ModelFolderError: it is gone, damaged, or another one than the run was begun with.
    """
    start = spec.started_from
    if start is None:
        return None
    folder = Path(start.folder)
    find_start(folder, spec.method_name)
    if _checksum(folder) != start.checksum:
        raise ModelFolderError(
            f"{folder}: the run was fitted again since it was to be started from (the checksum of "
            f"its model was {start.checksum[:12]}): put it back, or begin anew with --force"
        )
    return spec.method.recommender.from_pretrained(folder / "model")


def _checksum(folder: Path) -> str:
    """Of the list of the model's files, which has the checksum of each."""
    return file_checksum(folder / "model" / ABOUT)
