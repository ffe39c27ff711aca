"""What each stage of training learns from (Sections 3.3 and 3.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgewise.data.splits import Split
from edgewise.errors import ConfigError
from edgewise.models.graph_gpt.batch import Distances
from edgewise.models.graph_gpt.config import GraphGPTConfig
from edgewise.models.graph_gpt.stages.content import build_content
from edgewise.models.graph_gpt.stages.events import build_events
from edgewise.models.graph_gpt.stages.predictive import build_predictive
from edgewise.models.graph_gpt.tokens import TokenSpace

if TYPE_CHECKING:
    from edgewise.training.trainer import TrainingData

_BUILDERS = {"content": build_content, "events": build_events, "predictive": build_predictive}


def build_stage(
    name: str,
    config: GraphGPTConfig,
    split: Split,
    tokens: TokenSpace,
    distances: Distances | None,
) -> TrainingData | None:
    """Training data of the content, events or predictive stage.

    Training batches are functions of the seed, the train rows and the catalogue; validation batches
    read validation rows too. Test rows are never read.

    Args:
        name: of the stage.
        config: settings.
        split: parts of the interactions.
        tokens: numbers of words, users and items.
        distances: of the train graph, laid into each batch where attention reads the graph.

    Returns:
        None where the data has nothing to learn from, which a log line says.

    Raises:
        ConfigError: no such stage, or ``backbone.max_tokens`` is too small for its prompts.
    """
    if name not in _BUILDERS:
        raise ConfigError(f"no stage {name!r} is built here: choose {', '.join(_BUILDERS)}")
    reads_graph = config.attention.kind == "graph"
    return _BUILDERS[name](config, split, tokens, distances if reads_graph else None)
