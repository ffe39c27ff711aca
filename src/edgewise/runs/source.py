"""Which state of the source code a result was computed with."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

from edgewise.model_folder import versions

_PACKAGE = Path(__file__).resolve().parents[1]


def code_versions() -> dict[str, str]:
    """Versions of the libraries, and the commit of edgewise itself where git knows it."""
    commit = source_commit(_PACKAGE)
    return versions() | ({"commit": commit} if commit else {})


@cache
def source_commit(folder: Path) -> str | None:
    """The commit that a folder of tracked files stands at, None where git tells nothing.

    ``+changes`` is added where a tracked file below the folder differs from that commit.
    """
    commit = _git(folder, "rev-parse", "HEAD")
    tracked = _git(folder, "ls-files", "--error-unmatch", "__init__.py")
    if not commit or not tracked:
        return None
    return commit + ("+changes" if _git(folder, "status", "--porcelain", "--", ".") else "")


def _git(folder: Path, *words: str) -> str | None:
    command = ["git", "-C", str(folder), *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
