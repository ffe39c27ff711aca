"""Folders that appear whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4


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
