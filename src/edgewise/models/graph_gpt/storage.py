"""The graph-attentive GPT-2 on disk: safetensors, JSON and the tokenizer's own files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file as load_arrays
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import load_model, save_model
from transformers import GPT2Config, GPT2Model

from edgewise.configuration import to_dict, updated
from edgewise.data.interactions import Histories
from edgewise.errors import ConfigError, ModelFolderError
from edgewise.model_folder import read_model, writing_model
from edgewise.models.graph_gpt.backbone import attention_implementation
from edgewise.models.graph_gpt.config import GraphGPTConfig
from edgewise.models.graph_gpt.graph import build_distances
from edgewise.models.graph_gpt.modeling import GraphGPTModel
from edgewise.models.graph_gpt.tokens import TokenSpace
from edgewise.prompts.tokenizer import load_tokenizer

if TYPE_CHECKING:
    from edgewise.models.graph_gpt.recommender import GraphGPT

    T = TypeVar("T", bound=GraphGPT)

KIND = "graph-gpt"


def save_graph_gpt(recommender: GraphGPT, folder: str | Path) -> None:
    """Write weights, known histories, the graph's edges, tokenizer and configuration."""
    model, tokens = recommender.model, recommender.tokens
    settings = {
        "config": to_dict(recommender.config),
        "gpt": model.gpt.config.to_dict(),
        "num_users": tokens.num_users,
        "num_items": tokens.num_items,
        "stages": list(recommender.stages),
        "explains": "explanation" in recommender.tasks,
    }
    with writing_model(folder, KIND, settings) as partial:
        save_model(model, str(partial / "model.safetensors"))
        tokens.tokenizer.save_pretrained(partial / "tokenizer")
        _save_histories(recommender.histories, partial / "histories.safetensors")
        _save_histories(recommender.edges, partial / "edges.safetensors")


def _save_histories(histories: Histories, file: Path) -> None:
    arrays = {"offsets": histories.offsets, "items": histories.items}
    save_arrays({name: np.ascontiguousarray(array) for name, array in arrays.items()}, file)


def _load_histories(file: Path) -> Histories:
    arrays = load_arrays(file)
    return Histories(arrays["offsets"], arrays["items"])


def load_graph_gpt(cls: type[T], folder: str | Path) -> T:
    """Rebuild the recommender from its folder."""
    folder = Path(folder)
    settings = read_model(folder, KIND)
    try:
        return _rebuilt(cls, folder, settings)
    except (ConfigError, KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        raise ModelFolderError(
            f"{folder} cannot be read by this version of edgewise: {error}. Fit and save it again."
        ) from error


def _rebuilt(cls: type[T], folder: Path, settings: Mapping[str, Any]) -> T:
    config = updated(GraphGPTConfig(), settings["config"])
    recommender = cls(config)
    tokenizer = load_tokenizer(folder / "tokenizer")
    tokens = TokenSpace(tokenizer, settings["num_users"], settings["num_items"])
    found = settings["gpt"]["vocab_size"]
    if found != len(tokens):
        raise ValueError(
            f"the network has {found} tokens, but words, users and items make {len(tokens)}"
        )
    gpt_config = GPT2Config.from_dict(
        settings["gpt"], attn_implementation=attention_implementation()
    )
    model = GraphGPTModel(
        GPT2Model(gpt_config),
        tokens.num_text,
        tokens.num_users,
        config.attention,
        config.content_weight,
    )
    load_model(model, folder / "model.safetensors")
    histories = _load_histories(folder / "histories.safetensors")
    recommender.edges = _load_histories(folder / "edges.safetensors")
    distances = build_distances(config.attention, recommender.edges, tokens.num_items)
    stages = tuple(settings["stages"])
    recommender._become(model, tokens, distances, histories, stages, settings["explains"])
    return recommender
