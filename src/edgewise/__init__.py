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
    from edgewise.evaluation.evaluate import evaluate
    from edgewise.models.ease import EASE
    from edgewise.models.elmrec.recommender import ELMRec
    from edgewise.models.graph_gpt.recommender import GraphGPT
    from edgewise.models.lightgcn import LightGCN
    from edgewise.models.popularity import Popularity
    from edgewise.models.registry import load_model
    from edgewise.models.sasrec import SASRec

_PUBLIC = {
    "Dataset": "edgewise.data.dataset",
    "Split": "edgewise.data.splits",
    "evaluate": "edgewise.evaluation.evaluate",
    "load_model": "edgewise.models.registry",
    "EASE": "edgewise.models.ease",
    "ELMRec": "edgewise.models.elmrec.recommender",
    "GraphGPT": "edgewise.models.graph_gpt.recommender",
    "LightGCN": "edgewise.models.lightgcn",
    "Popularity": "edgewise.models.popularity",
    "SASRec": "edgewise.models.sasrec",
}

__all__ = [
    "EASE",
    "Dataset",
    "ELMRec",
    "GraphGPT",
    "LightGCN",
    "Popularity",
    "SASRec",
    "Split",
    "__version__",
    "evaluate",
    "load_model",
]


def __getattr__(name: str) -> object:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'edgewise' has no attribute {name!r}")
