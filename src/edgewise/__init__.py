"""Recommendations from language models that read the user-item graph, evaluated without leakage.

Importing edgewise is cheap; torch and transformers load when a model is first touched.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from edgewise.data.dataset import Dataset
    from edgewise.data.splits import Split, leave_one_out
    from edgewise.evaluation.evaluate import evaluate
    from edgewise.models.bert4rec import BERT4Rec
    from edgewise.models.caser import Caser
    from edgewise.models.ease import EASE
    from edgewise.models.elmrec.recommender import ELMRec
    from edgewise.models.elmrec.rsl import RSL
    from edgewise.models.esasrec import ESASRec
    from edgewise.models.fdsa import FDSA
    from edgewise.models.graph_filter import GraphFilter
    from edgewise.models.graph_gpt.recommender import GraphGPT
    from edgewise.models.grown import Grown
    from edgewise.models.gru4rec import GRU4Rec
    from edgewise.models.hgn import HGN
    from edgewise.models.item_knn import ItemKNN
    from edgewise.models.lightgcn import LightGCN
    from edgewise.models.md_cvae import MDCVAE
    from edgewise.models.multi_vae import MultiVAE
    from edgewise.models.ncl import NCL
    from edgewise.models.popularity import Popularity
    from edgewise.models.registry import load_model
    from edgewise.models.s3rec import S3Rec
    from edgewise.models.sasrec import SASRec
    from edgewise.models.session_knn import SessionKNN
    from edgewise.models.simplex import SimpleX
    from edgewise.models.tiger import TIGER
    from edgewise.models.transitions import Transitions
    from edgewise.models.unisrec import UniSRec
    from edgewise.models.xsimgcl import XSimGCL
    from edgewise.recommender import Recommender
    from edgewise.runs.run import open_run
    from edgewise.serving.batch import read_batch, write_batch
    from edgewise.serving.embeddings import export_embeddings, read_index

_PUBLIC = {
    "Dataset": "edgewise.data.dataset",
    "Split": "edgewise.data.splits",
    "leave_one_out": "edgewise.data.splits",
    "Recommender": "edgewise.recommender",
    "BERT4Rec": "edgewise.models.bert4rec",
    "Caser": "edgewise.models.caser",
    "ESASRec": "edgewise.models.esasrec",
    "GRU4Rec": "edgewise.models.gru4rec",
    "HGN": "edgewise.models.hgn",
    "FDSA": "edgewise.models.fdsa",
    "MDCVAE": "edgewise.models.md_cvae",
    "S3Rec": "edgewise.models.s3rec",
    "UniSRec": "edgewise.models.unisrec",
    "EASE": "edgewise.models.ease",
    "ELMRec": "edgewise.models.elmrec.recommender",
    "GraphFilter": "edgewise.models.graph_filter",
    "GraphGPT": "edgewise.models.graph_gpt.recommender",
    "Grown": "edgewise.models.grown",
    "ItemKNN": "edgewise.models.item_knn",
    "LightGCN": "edgewise.models.lightgcn",
    "Popularity": "edgewise.models.popularity",
    "RSL": "edgewise.models.elmrec.rsl",
    "SASRec": "edgewise.models.sasrec",
    "SessionKNN": "edgewise.models.session_knn",
    "NCL": "edgewise.models.ncl",
    "XSimGCL": "edgewise.models.xsimgcl",
    "SimpleX": "edgewise.models.simplex",
    "MultiVAE": "edgewise.models.multi_vae",
    "Transitions": "edgewise.models.transitions",
    "TIGER": "edgewise.models.tiger",
    "evaluate": "edgewise.evaluation.evaluate",
    "export_embeddings": "edgewise.serving.embeddings",
    "load_model": "edgewise.models.registry",
    "open_run": "edgewise.runs.run",
    "read_batch": "edgewise.serving.batch",
    "read_index": "edgewise.serving.embeddings",
    "write_batch": "edgewise.serving.batch",
}

__all__ = [
    "EASE",
    "FDSA",
    "HGN",
    "MDCVAE",
    "NCL",
    "RSL",
    "TIGER",
    "BERT4Rec",
    "Caser",
    "Dataset",
    "ELMRec",
    "ESASRec",
    "GRU4Rec",
    "GraphFilter",
    "GraphGPT",
    "Grown",
    "ItemKNN",
    "LightGCN",
    "MultiVAE",
    "Popularity",
    "Recommender",
    "S3Rec",
    "SASRec",
    "SessionKNN",
    "SimpleX",
    "Split",
    "Transitions",
    "UniSRec",
    "XSimGCL",
    "__version__",
    "evaluate",
    "export_embeddings",
    "leave_one_out",
    "load_model",
    "open_run",
    "read_batch",
    "read_index",
    "write_batch",
]


def __getattr__(name: str) -> object:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'edgewise' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
