"""Run folders: a fitted model, the settings and data it came from, and what was measured of it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgewise.runs.run import Run, open_run
    from edgewise.runs.spec import RunSpec
    from edgewise.runs.train import train

_PUBLIC = {
    "Run": "edgewise.runs.run",
    "RunSpec": "edgewise.runs.spec",
    "open_run": "edgewise.runs.run",
    "train": "edgewise.runs.train",
}

__all__ = ["Run", "RunSpec", "open_run", "train"]


def __getattr__(name: str) -> object:
    # A command that only reads run.json should not wait for the rest.
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'edgewise.runs' has no attribute {name!r}")
