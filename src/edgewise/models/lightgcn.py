"""LightGCN: embeddings that flow along the edges of the graph (He et al., SIGIR 2020).

arXiv 2002.02126. Every user and item has an embedding of layer 0, the only weights there are. A
layer is what the neighbours hold, normalised by degrees (eq. 3; N_u are the items of user u):

    ``e_u^(l+1) = sum over i in N_u of e_i^(l) / (sqrt|N_u| sqrt|N_i|)``, and items alike

The final embedding is the mean of layers 0..L (eq. 4 with ``alpha_l = 1 / (L + 1)``), a score the
product of two of them (eq. 5). The loss is BPR with a penalty on layer 0 (eq. 15), for a batch of
B pairs with a sampled item j each:

    ``mean of -ln s(y_ui - y_uj) + lambda / 2B * (|e_u^0|^2 + |e_i^0|^2 + |e_j^0|^2)``

With ``loss = "sampled_softmax"``, beyond the paper, i competes with many items j that the batch
shares, which takes a fraction of the epochs. How users are represented when they are asked about is
said in :mod:`edgewise.models.graph_training`, which holds what LightGCN's descendants share with
it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from edgewise.models.graph_training import GraphRecommender, GraphTrainingConfig


class LightGCNConfig(GraphTrainingConfig):
    """Settings of LightGCN."""


class LightGCN(GraphRecommender):
    """Ranks items by the product of propagated embeddings; see the module."""

    name, label = "lightgcn", "LightGCN"
    paper = "He et al., SIGIR 2020, arXiv 2002.02126"
    Config = LightGCNConfig
    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        # Seconds, for the demo and for tests.
        "tiny": {
            "embedding_size": 16,
            "training": {"epochs": 40, "batch_size": 64, "learning_rate": 1e-2},
        },
        # For data of Beauty's size on two cores.
        "cpu": {
            "embedding_size": 128,
            "loss": "sampled_softmax",
            "num_negatives": 1024,
            "hide_targets": True,
            "l2": 4e-2,
            "training": {
                "epochs": 10,
                "batch_size": 4096,
                "patience": 5,
                "learning_rate": 1e-2,
                "schedule": "cosine",
                "precision": "fp32",
            },
        },
        "paper": {},
    }
