"""Named settings: sizes for this machine, and the papers' own."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from edgewise.configuration import check, nearest, updated
from edgewise.models.elmrec.config import ELMRecConfig

_PAPER_TRAINING = {"epochs": 100, "patience": 5, "batch_size": 64, "weight_decay": 0.01}


_SMALL_TRAINING = {
    "batch_size": 32,
    "learning_rate": 5e-4,
    "embedding_rate": 5.0,
    "schedule": "cosine",
    "warmup_steps": 50,
}


def _small(
    backbone: dict[str, object], rank: int, segments: str, training: dict[str, object]
) -> ELMRecConfig:
    """What a small T5 from scratch needs beyond the paper; docs/results.md has the measurements."""
    return updated(
        ELMRecConfig(),
        {
            "backbone": backbone,
            "prompts": {
                "direct_likelihood": "candidates",
                "pointer": True,
                "catalogue_pointer": True,
                "segments": segments,
                "num_negatives": 24,
                "wording_rate": 0.1,
            },
            "whole_words": {"sequential": "graph", "decoder_scale": 1.0},
            "graph": {"rank": rank, "normalize": True, "num_folds": 10},
            "training": {**_SMALL_TRAINING, **training},
        },
    )


def _tiny() -> ELMRecConfig:
    """For the demo and for tests: seconds to minutes on two cores."""
    backbone = {"name": "tiny", "vocab_size": 600, "dropout": 0.2, "similarity_start": False}
    training = {"epochs": 10, "learning_rate": 2e-3, "embedding_rate": 1.0}
    # Many passes over few users: cut anew each time, their histories are learned by heart later.
    return _small(backbone, 32, "prefix", training)


def _cpu() -> ELMRecConfig:
    """For data of Beauty's size on two cores."""
    return _small({"name": "cpu", "dropout": 0.0}, 64, "whole", {"epochs": 10})


def _paper(
    direct: float, sequential: float, sigma: float, extra: int, rate: float
) -> Callable[[], ELMRecConfig]:
    """ELMRec's settings (its Table 9; learning rates are POD's, see docs/ideas.md)."""

    def build() -> ELMRecConfig:
        return updated(
            ELMRecConfig(),
            {
                "backbone": {"name": "t5-small", "similarity_start": False},
                "prompts": {"wording_rate": 0.0, "unknown_user_rate": 0.0},
                "whole_words": {
                    "direct_scale": direct,
                    "explanation_scale": direct,
                    "sequential_scale": sequential,
                },
                "graph": {"features": "trained", "init_std": sigma, "num_propagation_layers": 4},
                "training": {**_PAPER_TRAINING, "learning_rate": rate},
                "decoding": {"num_extra_candidates": extra, "filtering": "after"},
            },
        )

    return build


def _plain(**changes: Mapping[str, object]) -> Callable[[], ELMRecConfig]:
    """A predecessor of ELMRec, made of the same parts, without the graph and the reranking."""

    def build() -> ELMRecConfig:
        base: dict[str, object] = {
            "backbone": {"name": "t5-small", "similarity_start": False},
            "training": {**_PAPER_TRAINING, "learning_rate": 1e-3},
            "decoding": {"num_extra_candidates": 0, "filtering": "after"},
        }
        return updated(ELMRecConfig(), base | changes)

    return build


_INCREMENTAL = {"direct": "incremental", "sequential": "incremental", "explanation": "incremental"}
_NONE = {"direct": "none", "sequential": "none", "explanation": "none"}
_NO_NEWCOMERS = {"unknown_user_rate": 0.0}

PRESETS: dict[str, Callable[[], ELMRecConfig]] = {
    "tiny": _tiny,
    "cpu": _cpu,
    "paper-beauty": _paper(9, 6, 6, 15, 5e-4),
    "paper-sports": _paper(5, 1, 5, 10, 1e-3),
    "paper-toys": _paper(11, 9, 5, 10, 1e-3),
    "pod": _plain(whole_words=_INCREMENTAL, prompts={**_NO_NEWCOMERS, "wording_rate": 0.0}),
    "p5": _plain(whole_words=_INCREMENTAL, prompts={**_NO_NEWCOMERS, "num_prompt_vectors": 0}),
    "t5": _plain(whole_words=_NONE, prompts={**_NO_NEWCOMERS, "num_prompt_vectors": 0}),
}


def preset(name: str) -> ELMRecConfig:
    """The settings of a preset.

    Raises:
        ConfigError: there is none of this name; the nearest is named.
    """
    check(name in PRESETS, f"unknown preset {name!r}.{nearest(name, PRESETS)}")
    return PRESETS[name]()
