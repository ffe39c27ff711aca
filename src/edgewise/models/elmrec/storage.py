"""ELMRec on disk: safetensors, JSON and the tokenizer's own files. Nothing is pickled."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file as load_arrays
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import load_model, save_model
from transformers import T5Config, T5ForConditionalGeneration

from edgewise.configuration import to_dict, updated
from edgewise.data.interactions import Histories
from edgewise.errors import ConfigError, ModelFolderError
from edgewise.model_folder import read_model, writing_model
from edgewise.models.elmrec.catalogue_pointer import build_catalogue_pointer
from edgewise.models.elmrec.config import ELMRecConfig
from edgewise.models.elmrec.knowledge import GraphKnowledge
from edgewise.models.elmrec.modeling import ELMRecModel
from edgewise.prompts.entity_tokens import build_piece_table
from edgewise.prompts.tokenizer import load_tokenizer

if TYPE_CHECKING:
    from edgewise.models.elmrec.recommender import ELMRec

    T = TypeVar("T", bound=ELMRec)

KIND = "elmrec"


def save_elmrec(recommender: ELMRec, folder: str | Path) -> None:
    """Write weights, graph features, known histories, tokenizer and configuration."""
    table, knowledge = recommender.table, recommender.knowledge
    settings = {
        "config": to_dict(recommender.config),
        "t5": recommender.model.t5.config.to_dict(),
        "num_users": table.num_users,
        "num_items": table.num_items,
        "tasks": list(recommender.tasks),
        "scale": knowledge.scale,
    }
    with writing_model(folder, KIND, settings) as partial:
        save_model(recommender.model, str(partial / "model.safetensors"))
        recommender.tokenizer.save_pretrained(partial / "tokenizer")
        arrays = {
            "features": knowledge.features,
            "item_degrees": knowledge.item_degrees.astype(np.int64),
            "singular_values": knowledge.singular_values,
            "history_offsets": recommender.histories.offsets,
            "history_items": recommender.histories.items,
        }
        contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        save_arrays(contiguous, partial / "graph.safetensors")


def load_elmrec(cls: type[T], folder: str | Path) -> T:
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
    config = updated(ELMRecConfig(), settings["config"])
    recommender = cls(config)
    tokenizer = load_tokenizer(folder / "tokenizer")
    table = build_piece_table(tokenizer, settings["num_users"], settings["num_items"])
    arrays = load_arrays(folder / "graph.safetensors")
    knowledge = GraphKnowledge(
        arrays["features"],
        arrays["item_degrees"],
        arrays["singular_values"],
        settings["scale"],
        config.graph,
    )
    t5 = T5ForConditionalGeneration(T5Config.from_dict(settings["t5"]))
    model = ELMRecModel(
        t5,
        config.prompts,
        config.whole_words,
        None,
        table.num_nodes,
        torch.Generator(),
        config.graph.normalize,
        build_catalogue_pointer(config.prompts, table, t5.config.d_model, torch.Generator()),
    )
    load_model(model, folder / "model.safetensors")
    histories = Histories(arrays["history_offsets"], arrays["history_items"])
    recommender._become(model, tokenizer, table, knowledge, histories, tuple(settings["tasks"]))
    return recommender
