"""Folders of saved models: any files, and a ``model.json`` that describes and checksums them."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from edgewise.data.checksum import file_checksum
from edgewise.data.folders import whole_folder
from edgewise.errors import ModelFolderError

_ABOUT = "model.json"
_VERSION = 1
_AGAIN = "Fit the model and save it again."


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that a result depends on."""
    found = {"python": platform.python_version()}
    for name in ("edgewise", "torch", "transformers", "tokenizers", "numpy", "scipy"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


@contextmanager
def writing_model(
    folder: str | Path, kind: str, settings: Mapping[str, Any]
) -> Iterator[Path]:
    """A folder to write files into; it takes its name, described and checksummed, at the end.

    Args:
        folder: where the model is to stand; an older model there is replaced.
        kind: the model's name, which :func:`read_model` must be asked for.
        settings: what the model was made with, as JSON values.
    """
    folder = Path(folder)
    if folder.exists() and any(folder.iterdir()) and not (folder / _ABOUT).exists():
        raise ModelFolderError(f"{folder} holds something that is no model; choose another folder.")
    with whole_folder(folder) as partial:
        yield partial
        about = {
            "kind": kind,
            "version": _VERSION,
            "settings": settings,
            "versions": versions(),
            "sha256": {name: file_checksum(partial / name) for name in _files(partial)},
        }
        (partial / _ABOUT).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")


def read_model(folder: str | Path, kind: str) -> dict[str, Any]:
    """The settings given to :func:`writing_model`, after checking every file.

    Raises:
        ModelFolderError: the folder is missing, truncated, altered or another model's.
    """
    folder = Path(folder)
    about = _read_about(folder)
    if about.get("kind") != kind:
        raise ModelFolderError(
            f"{folder} holds a {about.get('kind')!r} model, not {kind!r}: load it with its own class."
        )
    if about.get("version") != _VERSION:
        raise ModelFolderError(
            f"{folder} has version {about.get('version')!r}; this edgewise reads {_VERSION}. {_AGAIN}"
        )
    _check_files(folder, about.get("sha256", {}))
    return about["settings"]


def kind_of(folder: str | Path) -> str:
    """The name of the model that stands in a folder.

    Raises:
        ModelFolderError: there is none.
    """
    return str(_read_about(Path(folder)).get("kind"))


def _read_about(folder: Path) -> dict[str, Any]:
    try:
        about = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelFolderError(
            f"{folder} is not a model folder of edgewise: {_ABOUT} cannot be read ({error})."
        ) from error
    if not isinstance(about, dict) or not isinstance(about.get("settings"), dict):
        raise ModelFolderError(f"{folder / _ABOUT} does not describe a model. {_AGAIN}")
    return about


def _check_files(folder: Path, checksums: Mapping[str, str]) -> None:
    for name, checksum in checksums.items():
        path = folder / name
        if not path.is_file():
            raise ModelFolderError(f"{folder} lacks {name}. {_AGAIN}")
        if file_checksum(path) != checksum:
            raise ModelFolderError(f"{path} was truncated or altered after it was saved. {_AGAIN}")


def _files(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
