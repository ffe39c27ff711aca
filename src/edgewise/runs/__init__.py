"""Run folders: a fitted model, the settings and data it came from, and what was measured of it.

run.json  config.toml  model/  training/  curves.json  curves.png  evaluation/
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgewise.runs.run import Run, open_run

_PUBLIC = {"Run": "edgewise.runs.run", "open_run": "edgewise.runs.run"}

__all__ = ["Run", "open_run"]


def __getattr__(name: str) -> object:
    # A command that only reads run.json should not wait for torch.
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'edgewise.runs' has no attribute {name!r}")
