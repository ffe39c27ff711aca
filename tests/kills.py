"""What a folder looks like if its writer is killed: before every single change of a file system."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_CHANGES = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "open")
_watched: list[tuple[Path, Path]] = []


@contextmanager
def every_kill(folder: Path, states: Path) -> Iterator[None]:
    """Copy a folder before each change that the block makes in it.

    A copy is what a SIGKILL at that moment would leave: nothing is cleaned up, and locks, which
    belong to open files and not to their names, are gone. Equal neighbours are kept once.

    Args:
        folder: that is written.
        states: gets one copy a change, numbered.
    """
    _install()
    states.mkdir(exist_ok=True)
    _watched.append((folder.resolve(), states))
    try:
        yield
    finally:
        _watched.pop()


def told_files(folder: Path) -> dict[str, bytes]:
    """Every file by name."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def _but_locks(folder: Path) -> dict[str, bytes]:
    return {name: text for name, text in told_files(folder).items() if not name.endswith(".lock")}


def left_overs(folder: Path) -> list[str]:
    """Hidden files and folders anywhere in it."""
    return [str(path) for path in sorted(folder.rglob(".*"))]


def _hook(event: str, arguments: tuple) -> None:
    if not _watched or event not in _CHANGES:
        return
    if event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        return
    folder, states = _watched[-1]
    if isinstance(arguments[0], int) or not Path(os.fsdecode(arguments[0])).is_relative_to(folder):
        return
    watched = _watched.pop()  # copying is not watched
    try:
        names = sorted(states.iterdir())
        copy = states / f"{int(names[-1].name) + 1 if names else 0:04}"
        shutil.copytree(folder, copy)
        if names and _but_locks(names[-1]) == _but_locks(copy):
            shutil.rmtree(names[-1])
    finally:
        _watched.append(watched)


def _install() -> None:
    """Hooks cannot be taken away again, so there is one."""
    if not getattr(sys, "_edgewise_kills", False):
        sys._edgewise_kills = True  # type: ignore[attr-defined]
        sys.addaudithook(_hook)
