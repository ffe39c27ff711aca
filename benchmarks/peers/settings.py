"""The same model twice: its settings in RecBole's words and in edgewise's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

LEARNING_RATE = 1e-3
MIN_ITEMS = 5
MAX_ITEMS = 50


@dataclass(frozen=True)
class Peer:
    """A model that both packages have.

    Attributes:
        name: of the method in edgewise.
        model: its class in RecBole.
        batch_size: rows of a training batch. RecBole cuts a history into one row for each item to
            be told; a row of ours is a whole history, with all of them.
        recbole: settings by RecBole's names.
        ours: settings by edgewise's names.
        max_items: the newest items of a history that are read; None for a model that reads no
            order, which gets pairs of a user and an item.
        evaluated: whether it is evaluated over the whole catalogue, too.
        variant: after the name, where a model is compared more than once.
        our_batch_size: of edgewise, where it is another.
        min_items: items that an attribute has at least; None for a model that reads none.
        stage: of ours that is timed, its first one.
    """

    name: str
    model: str
    batch_size: int
    recbole: Mapping[str, Any]
    ours: Mapping[str, Any]
    max_items: int | None = None
    evaluated: bool = False
    variant: str = ""
    our_batch_size: int | None = None
    min_items: int | None = None
    stage: str = "training"

    @property
    def key(self) -> str:
        """Of its figures."""
        return self.name + self.variant


_BLOCKS = {"n_layers": 2, "n_heads": 2, "hidden_size": 64, "inner_size": 256}
_DROPOUTS = {"hidden_dropout_prob": 0.2, "attn_dropout_prob": 0.2}
_OUR_BLOCKS = {"num_layers": 2, "num_heads": 2, "hidden_size": 64, "inner_size": 256}
_SOFTMAX = {"loss_type": "CE", "train_neg_sample_args": None}

_SASREC = Peer(
    "sasrec",
    "SASRec",
    256,
    _BLOCKS | _DROPOUTS | _SOFTMAX,
    {**_OUR_BLOCKS, "dropout": 0.2, "loss": "softmax"},
    MAX_ITEMS,
    evaluated=True,
)
# As many items to be told in a batch of ours, where Amazon Beauty's histories have 5.9 each.
_SAME_TARGETS = replace(_SASREC, variant="_same_targets", our_batch_size=44, evaluated=False)

PEERS = (
    Peer(
        "lightgcn",
        "LightGCN",
        2048,
        {"embedding_size": 64, "n_layers": 3, "reg_weight": 1e-4},
        {"embedding_size": 64, "num_layers": 3, "l2": 1e-4, "loss": "bpr"},
        evaluated=True,
    ),
    _SASREC,
    _SAME_TARGETS,
    Peer(
        "gru4rec",
        "GRU4Rec",
        256,
        {
            "embedding_size": 64,
            "hidden_size": 128,
            "num_layers": 1,
            "dropout_prob": 0.2,
            **_SOFTMAX,
        },
        {"hidden_size": 64, "inner_size": 128, "num_layers": 1, "dropout": 0.2, "loss": "softmax"},
        MAX_ITEMS,
    ),
    Peer(
        "bert4rec",
        "BERT4Rec",
        256,
        {**_BLOCKS, **_DROPOUTS, **_SOFTMAX, "mask_ratio": 0.2},
        {**_OUR_BLOCKS, "dropout": 0.2, "mask_rate": 0.2, "loss": "softmax"},
        MAX_ITEMS,
    ),
    Peer(
        "caser",
        "Caser",
        256,
        {"embedding_size": 64, "n_h": 16, "n_v": 4, "dropout_prob": 0.5, **_SOFTMAX},
        {"hidden_size": 64, "window": 5, "num_targets": 1, "loss": "softmax"},
        5,
    ),
    Peer(
        "hgn",
        "HGN",
        256,
        {"embedding_size": 64, "loss_type": "BPR"},
        {"hidden_size": 64, "window": 5, "num_targets": 1, "loss": "bpr"},
        5,
    ),
    Peer(
        "simplex",
        "SimpleX",
        1024,
        {
            "embedding_size": 64,
            "margin": 0.5,
            "negative_weight": 10,
            "gamma": 0.5,
            "aggregator": "mean",
            "history_len": MAX_ITEMS,
            "reg_weight": 1e-5,
            "train_neg_sample_args": {"distribution": "uniform", "sample_num": 100},
            "train_batch_size": 1024 * 100,  # which RecBole counts in sampled items
        },
        {"embedding_size": 64, "num_negatives": 100},
    ),
    Peer(
        "multi-vae",
        "MultiVAE",
        500,
        {
            "mlp_hidden_dimension": [600],
            "latent_dimension": 200,
            "dropout_prob": 0.5,
            "anneal_cap": 0.2,
            "total_anneal_steps": 200_000,
            "train_neg_sample_args": None,
        },
        {"hidden_size": 600, "latent_size": 200, "dropout": 0.5, "beta": 0.2},
    ),
    Peer(
        "ncl",
        "NCL",
        2048,
        {"embedding_size": 64, "n_layers": 3, "num_clusters": 200, "warm_up_step": 0, "m_step": 1},
        {"embedding_size": 64, "num_prototypes": 200, "warmup_epochs": 0},
        evaluated=True,
    ),
    Peer(
        "fdsa",
        "FDSA",
        256,
        {**_BLOCKS, **_DROPOUTS, **_SOFTMAX, "selected_features": ["attributes"]},
        {**_OUR_BLOCKS, "dropout": 0.2, "loss": "softmax", "read_texts": False},
        MAX_ITEMS,
        evaluated=True,
        min_items=MIN_ITEMS,
    ),
    Peer(
        "s3rec",
        "S3Rec",
        256,
        {**_BLOCKS, **_DROPOUTS, **_SOFTMAX, "item_attribute": "attributes"},
        {**_OUR_BLOCKS, "dropout": 0.2, "loss": "softmax"},
        MAX_ITEMS,
        min_items=MIN_ITEMS,
        stage="pretraining",
    ),
)
