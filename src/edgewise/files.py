"""Folders that appear whole or not at all.

Small files that appear whole or not at all.

Folders of saved models: any files, and a ``model.json`` that describes and checksums them.
"""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from uuid import uuid4

from edgewise.errors import ModelFolderError


def is_taken(folder: Path) -> bool:
    """Whether something is there that is not an empty folder."""
    return folder.exists() and not (folder.is_dir() and next(folder.iterdir(), None) is None)


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A folder to fill under a temporary name, renamed at the end and removed on an error.

    What stood in its place is moved aside first and removed once the new folder stands.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    tag = uuid4().hex[:8]
    partial = folder.with_name(f".{folder.name}.{tag}.partial")
    old = folder.with_name(f".{folder.name}.{tag}.old")
    partial.mkdir()
    try:
        yield partial
        if folder.exists():
            folder.rename(old)
        partial.rename(folder)
    except BaseException:
        if old.exists() and not folder.exists():
            old.rename(folder)
        shutil.rmtree(partial, ignore_errors=True)
        raise
    shutil.rmtree(old, ignore_errors=True)


def file_checksum(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_text(path: Path, text: str) -> None:
    """Write beside the file and rename, so that a reader never meets half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


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


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path to write to, renamed over ``path`` at the end and removed on an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
