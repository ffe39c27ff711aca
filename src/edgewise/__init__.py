"""Recommendations from language models that read the user-item graph, evaluated without leakage.

Importing edgewise is cheap; torch and transformers load when a model is first touched.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from edgewise.data.dataset import Dataset
    from edgewise.data.splits import Split
    from edgewise.models.elmrec.recommender import ELMRec

_PUBLIC = {
    "Dataset": "edgewise.data.dataset",
    "Split": "edgewise.data.splits",
    "ELMRec": "edgewise.models.elmrec.recommender",
}

__all__ = ["Dataset", "ELMRec", "Split", "__version__"]


def __getattr__(name: str) -> object:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'edgewise' has no attribute {name!r}")
