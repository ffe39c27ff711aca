"""What each stage of training learns from (Sections 3.3 and 3.4).

* content: crowd contextual prompts, texts of items and reviews (Section 3.3);
* events: who interacted with what (Section 3.4);
* predictive: what users will take, from a history with a part left out (Section 3.4);
* sequence: the next item of histories in order of time, beyond the paper.

Training batches are functions of the seed, the train rows and the catalogue; validation batches
read validation rows too. Test rows are never read.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol

from edgewise.data.splits import Split
from edgewise.errors import DataError
from edgewise.models.graph_gpt.batch import Distances
from edgewise.models.graph_gpt.config import RECOMMENDING, GraphGPTConfig, StageName
from edgewise.models.graph_gpt.model import GraphGPTModel
from edgewise.models.graph_gpt.stages.content import build_content
from edgewise.models.graph_gpt.stages.events import build_events
from edgewise.models.graph_gpt.stages.predictive import build_predictive
from edgewise.models.graph_gpt.stages.sequence import build_sequence
from edgewise.models.graph_gpt.tokens import TokenSpace
from edgewise.models.training_priors import TrainingPriors
from edgewise.training.trainer import Stage, TrainingData

_BUILDERS = {"content": build_content, "events": build_events, "predictive": build_predictive}
_log = logging.getLogger("edgewise")


class StageData(TrainingData, Protocol):
    """Training data that say how many prompts an epoch has."""

    @property
    def num_examples(self) -> int: ...


def build_stages(
    config: GraphGPTConfig,
    split: Split,
    tokens: TokenSpace,
    distances: Distances | None,
    network: GraphGPTModel,
    priors: TrainingPriors | None = None,
) -> list[Stage]:
    """The stages to be trained, in order; one without data is left out.

    Arguments as for :func:`build_stage`.

    Raises:
        DataError: none is left that learns to recommend.
    """
    stages: list[Stage] = []
    for name in config.stages:
        data = build_stage(name, config, split, tokens, distances, network, priors)
        if data is not None:
            on_end = network.hold_on_to_content if name == "content" else None
            stages.append(Stage(name, data, config.training.of(name), on_end=on_end))
    found = [stage.name for stage in stages]
    _log_what_is_missing(config, split, found)
    if not any(name in RECOMMENDING for name in found):
        raise DataError(
            f"data set {split.dataset.name!r} has no train rows for the stages "
            f"{', '.join(config.stages)}: nothing to learn recommending from"
        )
    return stages


def build_stage(
    name: StageName,
    config: GraphGPTConfig,
    split: Split,
    tokens: TokenSpace,
    distances: Distances | None,
    network: GraphGPTModel | None = None,
    priors: TrainingPriors | None = None,
) -> StageData | None:
    """Training data of one stage.

    Args:
        name: of the stage.
        config: settings.
        split: parts of the interactions.
        tokens: numbers of words, users and items.
        distances: of the train graph, laid into each batch where attention reads the graph.
        network: that is trained; read where a metric of ranking chooses the epoch.
        priors: in the loss of the sequence stage; None for a loss without them.

    Returns:
        None where the data has nothing to learn from, which a log line says.

    Raises:
        ConfigError: ``backbone.max_tokens`` is too small for the stage's prompts.
    """
    distances = distances if config.attention.kind == "graph" else None
    if name == "sequence":
        return build_sequence(config, split, tokens, distances, network, priors)
    return _BUILDERS[name](config, split, tokens, distances)


def _log_what_is_missing(config: GraphGPTConfig, split: Split, found: Sequence[str]) -> None:
    name = split.dataset.name
    in_time = config.history.order == "time" or "sequence" in found
    if found and in_time and split.train.timestamp is None:
        _log.warning("%s has no timestamps: the order of its rows is taken for time's", name)
    if config.lambda_v > 0 and "content" not in found:
        _log.warning("%s has no content: lambda_v = %g is without effect", name, config.lambda_v)
