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
from edgewise.data.folders import is_taken, whole_folder
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
def writing_model(folder: str | Path, kind: str, settings: Mapping[str, Any]) -> Iterator[Path]:
    """A folder to write files into; it takes its name, described and checksummed, at the end.

    Args:
        folder: where the model is to stand; an older model there is replaced.
        kind: the model's name, which :func:`read_model` must be asked for.
        settings: what the model was made with, as JSON values.

    Raises:
        ModelFolderError: the folder holds something else.
    """
    folder = Path(folder)
    if is_taken(folder) and not (folder / _ABOUT).exists():
        raise ModelFolderError(f"{folder} holds something that is no model; choose another folder.")
    with whole_folder(folder) as partial:
        yield partial
        describe(partial, kind, settings)


def describe(folder: Path, kind: str, settings: Mapping[str, Any]) -> None:
    """Write ``model.json`` beside the finished files of a folder, with their checksums."""
    about = {
        "kind": kind,
        "version": _VERSION,
        "settings": settings,
        "versions": versions(),
        "sha256": {name: file_checksum(folder / name) for name in _files(folder)},
    }
    (folder / _ABOUT).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")


def read_model(folder: str | Path, kind: str) -> dict[str, Any]:
    """The settings given to :func:`writing_model`, after checking every file.

    Raises:
        ModelFolderError: the folder is missing, truncated, altered or another model's.
    """
    folder = Path(folder)
    about = _read_about(folder)
    found, version_found = about.get("kind"), about.get("version")
    if found != kind:
        raise ModelFolderError(
            f"{folder} holds a {found!r} model, not {kind!r}: load it with its own class."
        )
    if version_found != _VERSION:
        raise ModelFolderError(
            f"{folder} has version {version_found!r}; this edgewise reads {_VERSION}. {_AGAIN}"
        )
    _check_files(folder, about["sha256"])
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
    is_ours = isinstance(about, dict) and all(
        isinstance(about.get(name), dict) for name in ("settings", "sha256")
    )
    if not is_ours:
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
