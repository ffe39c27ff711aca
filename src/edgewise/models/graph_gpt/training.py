"""The stages of training, one after the other through the one loop."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from edgewise.data.explanations import explanation_split
from edgewise.data.split import Split
from edgewise.errors import DataError
from edgewise.models.graph_gpt.batch import Distances
from edgewise.models.graph_gpt.config import RECOMMENDING, GraphGPTConfig, Stage
from edgewise.models.graph_gpt.modeling import GraphGPTModel
from edgewise.models.graph_gpt.sequence_data import build_sequence
from edgewise.models.graph_gpt.stages import build_stage
from edgewise.models.graph_gpt.tokens import TokenSpace
from edgewise.training.loop import TrainingData, train
from edgewise.training.progress import Progress

_log = logging.getLogger("edgewise")


def build_stages(
    config: GraphGPTConfig, split: Split, tokens: TokenSpace, distances: Distances | None
) -> dict[Stage, TrainingData]:
    """What each stage learns from, in order; a stage without data is left out.

    Raises:
        DataError: none is left that learns to recommend.
    """
    stages: dict[Stage, TrainingData] = {}
    for stage in config.stages:
        if stage == "sequence":
            data = build_sequence(config, split, tokens, distances)
        else:
            data = build_stage(stage, config, split, tokens, distances)
        if data is not None:
            stages[stage] = data
    _say_what_is_missing(config, split, stages)
    if not any(stage in RECOMMENDING for stage in stages):
        raise DataError(
            f"data set {split.dataset.name!r} has no train rows for the stages "
            f"{', '.join(config.stages)}: nothing to learn recommending from"
        )
    return stages


def _say_what_is_missing(
    config: GraphGPTConfig, split: Split, stages: Mapping[Stage, TrainingData]
) -> None:
    name = split.dataset.name
    in_time = config.history.order == "time" or "sequence" in stages
    if stages and in_time and split.train.timestamp is None:
        _log.warning("%s has no timestamps: the order of its rows is taken for time's", name)
    if config.content_weight > 0 and "content" not in stages:
        _log.warning(
            "%s has no content: content_weight = %g is without effect", name, config.content_weight
        )


def train_stages(
    model: GraphGPTModel,
    stages: Mapping[Stage, TrainingData],
    config: GraphGPTConfig,
    folder: Path | None,
    *,
    resume: bool,
    show_progress: bool,
) -> dict[str, Progress]:
    """Train every stage, each from the best weights of the one before.

    A stage that a resumed run had finished puts its best weights back and trains no more.

    Returns:
        The learning curves of each stage.
    """
    curves: dict[str, Progress] = {}
    for stage, data in stages.items():
        curves[stage] = train(
            model,
            data,
            config.training.of(stage),
            seed=config.seed,
            folder=None if folder is None else folder / stage,
            resume=resume,
            show_progress=show_progress,
        )
        if stage == "content":
            model.hold_on_to_content()
    return curves


def clear_stages(folder: Path) -> None:
    """Remove earlier checkpoints of all stages.

    The loop clears a stage when it comes to it; by then a run that stopped before would resume from
    a checkpoint that some older run left there.
    """
    if os.environ.get("RANK", "0") != "0":
        return
    for stage in ("content", *RECOMMENDING):
        shutil.rmtree(folder / stage, ignore_errors=True)


def learns_explanations(
    config: GraphGPTConfig, split: Split, stages: Mapping[Stage, TrainingData]
) -> bool:
    """Whether the content stage read users' reasons for buying."""
    read = "content" in stages and config.content.reviews
    return read and len(explanation_split(split).train) > 0
