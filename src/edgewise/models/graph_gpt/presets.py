"""Named settings: sizes for this machine, and the paper's own."""

from __future__ import annotations

from collections.abc import Callable

from edgewise.configuration import check, nearest, updated
from edgewise.models.graph_gpt.config import GraphGPTConfig

_SEQUENCE = {
    "epochs": 16,
    "patience": 3,
    "batch_size": 128,
    "learning_rate": 1e-3,
    "weight_decay": 0.01,
    "warmup_steps": 50,
}


def _tiny() -> GraphGPTConfig:
    """For the demo and for tests: seconds to minutes on two cores, explanations included."""
    return updated(
        GraphGPTConfig(),
        {
            "backbone": {"name": "tiny", "vocab_size": 600, "max_tokens": 256},
            "history": {"order": "time"},
            "stages": ("content", "sequence"),
            "training": {
                "content": {"epochs": 5, "batch_size": 32, "learning_rate": 2e-3},
                "sequence": {**_SEQUENCE, "batch_size": 32, "learning_rate": 2e-3},
            },
        },
    )


def _cpu() -> GraphGPTConfig:
    """For data of Beauty's size on two cores: a time-ordered recommender, trained in minutes."""
    return updated(
        GraphGPTConfig(),
        {
            "backbone": {
                "name": "cpu",
                "dropout": 0.5,
                "attention_dropout": 0.0,
                "init_std": 0.05,
                "item_start": "transitions",
            },
            "history": {"order": "time", "user_token": False, "selection": "ndcg"},
            "stages": ("sequence",),
            "training": {"sequence": {**_SEQUENCE, "schedule": "cosine", "patience": 5}},
        },
    )


def _cpu_stages() -> GraphGPTConfig:
    """The paper's three stages on unordered histories, at the size of two cores."""
    recommending = {"batch_size": 64, "learning_rate": 1e-3, "patience": 5, "warmup_steps": 50}
    return updated(
        GraphGPTConfig(),
        {
            "backbone": {"name": "cpu", "dropout": 0.4},
            "history": {"targets": "masked"},
            "training": {
                "content": {"epochs": 3, "batch_size": 64, "learning_rate": 1e-3},
                "events": {**recommending, "epochs": 30},
                "predictive": {**recommending, "epochs": 30},
            },
        },
    )


def _paper() -> GraphGPTConfig:
    """The paper's model, data and epochs; learning rates and batch sizes are its released code's.

    All epochs are run, without weight decay, as with the release's Adam; the epoch with the lowest
    validation loss is kept, of which both are silent.
    """
    adam = {"patience": 0, "weight_decay": 0.0}
    return updated(
        GraphGPTConfig(),
        {
            "backbone": {"name": "openai-community/gpt2", "dropout": 0.1},
            "history": {"max_items": 1000, "unknown_user_rate": 0.0},
            # The longest input is the only limit of texts, as in the paper.
            "content": {"max_text_tokens": 1000},
            # No source: the paper does not print lambda_V, and the release's sum over a batch is
            # another scale than our mean. A guess that nobody has tuned.
            "content_weight": 0.1,
            "training": {
                "content": {"epochs": 10, "batch_size": 4, "learning_rate": 1e-3, **adam},
                "events": {"epochs": 100, "batch_size": 32, "learning_rate": 1e-3, **adam},
                "predictive": {"epochs": 50, "batch_size": 32, "learning_rate": 1e-4, **adam},
            },
        },
    )


PRESETS: dict[str, Callable[[], GraphGPTConfig]] = {
    "tiny": _tiny,
    "cpu": _cpu,
    "cpu-stages": _cpu_stages,
    "paper": _paper,
}


def preset(name: str) -> GraphGPTConfig:
    """The settings of a preset.

    Raises:
        ConfigError: there is none of this name; the nearest is named.
    """
    check(name in PRESETS, f"unknown preset {name!r}.{nearest(name, PRESETS)}")
    return PRESETS[name]()
