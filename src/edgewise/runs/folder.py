"""Making room for a run; nothing here waits for torch."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from edgewise.data.folders import is_taken
from edgewise.errors import ConfigError, ModelFolderError
from edgewise.runs.files import write_text
from edgewise.runs.info import FINISHED, RunInfo, is_run, read_info
from edgewise.runs.settings import to_toml


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
