"""Folders of models that are a few arrays: ``model.json`` and ``arrays.safetensors``."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from edgewise.errors import ModelFolderError

_VERSION = 1
_AGAIN = "fit the model and save it again"


def write_folder(
    folder: str | Path, kind: str, settings: dict[str, object], arrays: dict[str, np.ndarray]
) -> None:
    """Write the folder beside its final place and rename it; an older one is replaced.

    Args:
        folder: where the model is to stand.
        kind: the model's name, which :func:`read_folder` must be asked for.
        settings: what the model was made with, as JSON values.
        arrays: what it learned.
    """
    content = save(arrays)
    checksum = hashlib.sha256(content).hexdigest()
    about = {"kind": kind, "version": _VERSION, "settings": settings, "sha256": checksum}
    folder = Path(folder)
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    (partial / "arrays.safetensors").write_bytes(content)
    (partial / "model.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    _swap(partial, folder)


def read_folder(folder: str | Path, kind: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The settings and arrays given to :func:`write_folder`.

    Raises:
        ModelFolderError: the folder is missing, truncated, altered or another model's.
    """
    folder = Path(folder)
    about = _read_about(folder, kind)
    try:
        content = (folder / "arrays.safetensors").read_bytes()
    except OSError as error:
        raise ModelFolderError(f"{folder} has no readable arrays.safetensors; {_AGAIN}") from error
    if hashlib.sha256(content).hexdigest() != about.get("sha256"):
        raise ModelFolderError(
            f"{folder}/arrays.safetensors was truncated or altered after it was saved; {_AGAIN}"
        )
    try:
        return about["settings"], load(content)
    except (KeyError, SafetensorError) as error:
        raise ModelFolderError(f"{folder} cannot be read ({error}); {_AGAIN}") from error


def _read_about(folder: Path, kind: str) -> dict:
    path = folder / "model.json"
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelFolderError(
            f"{folder} is not a model folder of edgewise: {path.name} cannot be read ({error})"
        ) from error
    found = about.get("kind") if isinstance(about, dict) else None
    if found != kind:
        raise ModelFolderError(f"{path} describes {found!r}, not {kind!r}; load it as what it is")
    if about.get("version") != _VERSION:
        raise ModelFolderError(
            f"{path} has version {about.get('version')!r}, this edgewise reads {_VERSION}; {_AGAIN}"
        )
    return about


def _swap(partial: Path, folder: Path) -> None:
    """Put the finished folder in place of an older one."""
    old = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    partial.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
