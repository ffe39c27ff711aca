"""Files and folders that appear whole or not at all, and the folder of a saved model.

A model folder holds ``model.json`` (which model, its settings, checksums of the other files), what
was learned as safetensors, the vocabularies with titles, and a card for people, ``README.md``.
"""

from __future__ import annotations

import hashlib
import json
import logging
import platform
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import edgewise
from edgewise.errors import ConfigError, ModelFolderError
from edgewise.locks import locked
from edgewise.parsing import Shape, read_json
from edgewise.seals import check_fields, seal_fields

ABOUT, CARD = "model.json", "README.md"
_VERSION = 3
_AGAIN = "fit the model and save it again"
_log = logging.getLogger("edgewise")


class _About(Shape):
    """``model.json``."""

    kind: str
    version: int
    settings: dict[str, Any]
    sha256: dict[str, str]


def is_taken(path: Path) -> bool:
    """Whether something is there that is not an empty folder; what a kill left does not count."""
    return path.exists() and not (path.is_dir() and all(map(_is_left_over, path.iterdir())))


def check_target(path: Path, *, folder: bool = False) -> None:
    """Refuse to write a file where a folder stands, or a folder where anything else does.

    Raises:
        ConfigError: something of another kind is there.
    """
    if not path.name or (not folder and path.is_dir()):
        raise ConfigError(f"{path}: is a folder; give the name of a file")
    if folder and path.exists() and not path.is_dir():
        raise ConfigError(f"{path}: is no folder; choose another name")


@contextmanager
def replacing(path: Path, *, folder: bool = False) -> Iterator[Path]:
    """A place to write a file or a folder, which takes its name at the end or is removed.

    What stood in its place is moved aside first and removed once the new one stands, so that nobody
    ever meets half of it. A process that is killed meanwhile leaves hidden files or folders beside
    it, which the next writer removes and from which :func:`recover` puts back the old folder.
    Pipes and devices, such as ``/dev/stdout``, are written as they are.

    Raises:
        LockedError: another process is writing it.
    """
    check_target(path, folder=folder)
    if path.exists() and not path.is_file() and not path.is_dir():
        yield path
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path):
        tidy(path)
        partial, old = _beside(path, "partial"), _beside(path, "old")
        try:
            yield partial
            if path.is_dir():
                path.rename(old)
            partial.replace(path)
        except BaseException:
            if old.exists() and not path.exists():
                old.rename(path)
            _remove(partial)
            raise
        _remove_old(path)


def recover(path: Path) -> None:
    """Put back the folder that a killed process had moved aside and not yet replaced; says so."""
    if path.exists() or not (old := _beside(path, "old")).exists():
        return
    with locked(path):
        if old.exists() and not path.exists():
            old.rename(path)
            _log.warning(
                "%s: recovered; a command that was replacing it was killed half-way, and what "
                "stood there before is back",
                path,
            )


def tidy(path: Path) -> None:
    """:func:`recover`, and remove what else killed writers left; only under the path's lock."""
    recover(path)
    _remove_old(path)
    _remove(_beside(path, "partial"))


def discard(folder: Path) -> None:
    """Remove a folder; cut short, it leaves nothing under its name."""
    aside = _beside(folder, "partial")
    _remove(aside)
    try:
        folder.rename(aside)
    except OSError:  # another disk is mounted there
        aside = folder
    _remove(aside)


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """:func:`replacing` with an empty folder to fill."""
    with replacing(folder, folder=True) as partial:
        partial.mkdir()
        yield partial


def write_text(path: Path, text: str) -> None:
    """Write a small file whole or not at all."""
    with replacing(path) as partial:
        # A file name that is not UTF-8 may stand in it.
        partial.write_text(text, encoding="utf-8", errors="replace")


def file_checksum(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that a result depends on."""
    return dict(_versions())


@cache
def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "edgewise": edgewise.__version__}
    for name in ("torch", "transformers", "tokenizers", "numpy", "scipy"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


@contextmanager
def writing_model(folder: str | Path, kind: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """A folder to write a model's files into, described and checksummed at the end.

    Args:
        folder: where the model is to stand; an older model there is replaced.
        kind: the model's name, which :func:`read_model` must be asked for.

    Yields:
        The folder, and a dictionary to be filled with what :func:`read_model` gives back (JSON).

    Raises:
        ModelFolderError: the folder holds something else.
    """
    folder = Path(folder)
    if is_taken(folder) and not (folder / ABOUT).exists():
        raise ModelFolderError(f"{folder} holds something that is no model; choose another folder.")
    settings: dict[str, Any] = {}
    with whole_folder(folder) as partial:
        yield partial, settings
        describe(partial, kind, settings)


def describe(folder: Path, kind: str, settings: Mapping[str, Any]) -> None:
    """Write ``model.json`` beside the finished files of a folder, with their checksums.

    The card is for people, who may edit it: it has none.
    """
    about = {
        "kind": kind,
        "version": _VERSION,
        "settings": settings,
        "versions": versions(),
        "sha256": {name: file_checksum(folder / name) for name in _files(folder)},
    }
    text = json.dumps(seal_fields(about), indent=2)
    (folder / ABOUT).write_text(text + "\n", encoding="utf-8")


def read_model(folder: str | Path, kind: str | None = None) -> dict[str, Any]:
    """What was said of a model when it was saved, after checking every file.

    Args:
        folder: written by :func:`writing_model`.
        kind: the model that is wanted; None takes any.

    Returns:
        The settings given to :func:`writing_model`.

    Raises:
        ModelFolderError: the folder is missing, truncated, altered or another model's.
    """
    folder = Path(folder)
    about = _read_about(folder)
    found, version_found = about.get("kind"), about.get("version")
    if kind is not None and found != kind:
        raise ModelFolderError(
            f"{folder} holds a {found!r} model, not {kind!r}: load it with its own class, or with "
            "edgewise.load_model."
        )
    if version_found != _VERSION:
        raise ModelFolderError(
            f"{folder} has version {version_found!r}; this edgewise reads {_VERSION}; {_AGAIN}"
        )
    check_fields(about, folder / ABOUT, _AGAIN, ModelFolderError)
    _check_files(folder, about["sha256"])
    return about["settings"]


def kind_of(folder: str | Path) -> str:
    """The name of the model that stands in a folder.

    Raises:
        ModelFolderError: there is none.
    """
    return str(_read_about(Path(folder)).get("kind"))


def write_card(folder: Path, title: str, facts: Mapping[str, str], text: Sequence[str]) -> None:
    """Write the model card, ``README.md`` with the head that the hub reads.

    Args:
        folder: of the model.
        title: of the page.
        facts: rows of its table.
        text: further paragraphs.
    """
    from huggingface_hub import ModelCardData

    data = ModelCardData(library_name="edgewise", tags=["recommender-system"], license="other")
    rows = [f"| {name} | {_cell(value)} |" for name, value in facts.items()]
    parts = [
        f"---\n{data.to_yaml()}\n---",
        f"# {title}",
        "\n".join(["| | |", "| --- | --- |", *rows]),
        *text,
    ]
    write_text(folder / CARD, "\n\n".join(parts) + "\n")


def add_to_card(folder: Path, heading: str, lines: Sequence[str]) -> None:
    """Put a section into the card, in place of an older one of the same heading."""
    path = folder / CARD
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    before, found, after = text.partition(f"\n## {heading}\n")
    rest = after.partition("\n## ")
    kept = f"\n## {rest[2]}" if found and rest[1] else ""
    section = "\n".join([f"\n## {heading}", "", *lines, ""])
    write_text(path, before.rstrip("\n") + "\n" + section + kept)


def _cell(value: str) -> str:
    return " ".join(str(value).split()).replace("|", "\\|")


def _read_about(folder: Path) -> dict[str, Any]:
    recover(folder)
    if not (folder / ABOUT).is_file():
        raise ModelFolderError(f"{folder} is not a model folder of edgewise: it has no {ABOUT}.")
    about = read_json(folder / ABOUT, ModelFolderError, _AGAIN, _About)
    for name in about["sha256"]:
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise ModelFolderError(f"{folder / ABOUT}: {name!r} is no file of the folder; {_AGAIN}")
    return about


def _check_files(folder: Path, checksums: Mapping[str, str]) -> None:
    for name, checksum in checksums.items():
        path = folder / name
        if not path.is_file():
            raise ModelFolderError(f"{folder} lacks {name}; {_AGAIN}")
        if file_checksum(path) != checksum:
            raise ModelFolderError(f"{path} was truncated or altered after it was saved; {_AGAIN}")


def _files(folder: Path) -> list[str]:
    paths = (p for p in folder.rglob("*") if p.is_file() and p.name not in (ABOUT, CARD))
    return sorted(p.relative_to(folder).as_posix() for p in paths)


def _beside(path: Path, end: str) -> Path:
    """The hidden place beside a file or folder for what is being written, or was there before."""
    path = path if path.name else path.resolve()  # "."
    return path.with_name(f".{path.name}.{end}")


def _is_left_over(path: Path) -> bool:
    return path.name.startswith(".") and path.suffix in (".partial", ".lock")


def _remove_old(path: Path) -> None:
    """Remove what was replaced, under a name from which nobody would recover half of it."""
    if (old := _beside(path, "old")).exists():
        partial = _beside(path, "partial")
        _remove(partial)
        old.rename(partial)
        _remove(partial)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
