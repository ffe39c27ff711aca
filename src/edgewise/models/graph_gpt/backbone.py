"""The GPT-2 inside: a checkpoint, or random weights of three sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from edgewise.config import check
from edgewise.errors import ConfigError
from edgewise.models.graph_gpt.config import BackboneConfig
from edgewise.models.graph_gpt.tokens import TokenSpace, corpus_of, train_text_tokenizer
from edgewise.models.saved_networks import attention_implementation
from edgewise.models.tokenizers import load_tokenizer

if TYPE_CHECKING:
    from transformers import GPT2Model, PreTrainedTokenizerBase

    from edgewise.data.splits import Split

FROM_SCRATCH: dict[str, dict[str, int]] = {
    "tiny": {"n_layer": 2, "n_embd": 64, "n_head": 2},
    "cpu": {"n_layer": 2, "n_embd": 128, "n_head": 2},
    "gpt2": {"n_layer": 12, "n_embd": 768, "n_head": 12},
}
# A checkpoint cannot be fetched by everybody.
_WITHOUT_NETWORK = (
    "Without a network, point to a copy on this machine with --set backbone.name=FOLDER, or start "
    f"from random weights with --set backbone.name=NAME, one of {', '.join(FROM_SCRATCH)} (the "
    "preset paper-from-scratch does)."
)


def build_tokens(config: BackboneConfig, split: Split, templates: Sequence[str]) -> TokenSpace:
    """The vocabulary: a checkpoint's words, or words of the train rows, then users and items.

    Raises:
        ConfigError: the checkpoint has no tokenizer, or one without an end token.
    """
    if config.name in FROM_SCRATCH:
        tokenizer = train_text_tokenizer(corpus_of(split, templates), config.vocab_size)
    else:
        tokenizer = _tokenizer(config.name)
    sizes = split.dataset.num_users, split.dataset.num_items
    tokens = TokenSpace(tokenizer, *sizes, config.user_tokens)
    # Better here than where the first text ends.
    _ = tokens.end_token
    return tokens


def _tokenizer(name: str) -> PreTrainedTokenizerBase:
    try:
        return load_tokenizer(name)
    except ConfigError as error:
        raise ConfigError(f"backbone.name = {name!r}: {error} {_WITHOUT_NETWORK}") from error


def build_gpt(config: BackboneConfig, tokens: TokenSpace, generator: torch.Generator) -> GPT2Model:
    """Load a checkpoint, or make random weights; users and items get random embeddings.

    Raises:
        ConfigError: the checkpoint cannot be loaded or does not fit.
    """
    seed = int(torch.randint(2**31, (1,), generator=generator))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if config.name in FROM_SCRATCH:
            return _random_gpt(config, tokens)
        gpt = _checkpoint(config)
        _add_entities(gpt, config, tokens)
        return gpt


def build_gpt_like(gpt: GPT2Model, config: BackboneConfig, tokens: TokenSpace) -> GPT2Model:
    """Random weights of the sizes of another network, for more users and items."""
    from transformers import GPT2Config, GPT2Model

    settings = {**gpt.config.to_dict(), "vocab_size": len(tokens), **_dropout(config)}
    implementation = attention_implementation()
    return GPT2Model(GPT2Config.from_dict(settings, attn_implementation=implementation))


def _dropout(config: BackboneConfig) -> dict[str, Any]:
    attention = config.attention_dropout
    return {
        "embd_pdrop": config.dropout,
        "resid_pdrop": config.dropout,
        "attn_pdrop": config.dropout if attention is None else attention,
    }


def _random_gpt(config: BackboneConfig, tokens: TokenSpace) -> GPT2Model:
    from transformers import GPT2Config, GPT2Model

    settings = GPT2Config(
        vocab_size=len(tokens),
        n_positions=config.max_tokens,
        # GPT-2's own activation under the name of its fused implementation.
        activation_function="gelu_pytorch_tanh",
        initializer_range=config.init_std,
        bos_token_id=tokens.end_token,
        eos_token_id=tokens.end_token,
        attn_implementation=attention_implementation(),  # pyright: ignore[reportCallIssue]
        **FROM_SCRATCH[config.name],
        **_dropout(config),
    )
    return GPT2Model(settings)


def _checkpoint(config: BackboneConfig) -> GPT2Model:
    from transformers import AutoConfig, GPT2Model
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    try:
        found = AutoConfig.from_pretrained(config.name)
        if found.model_type != "gpt2":
            raise ValueError(f"it is a {found.model_type} model")
        gpt, loaded = GPT2Model.from_pretrained(  # pyright: ignore[reportGeneralTypeIssues]
            config.name,
            dtype=torch.float32,
            attn_implementation=attention_implementation(),
            output_loading_info=True,
            use_safetensors=True,  # never a pickle, which runs what stands in it
            **_dropout(config),
        )
        _check_whole(loaded)
    except Exception as error:  # a folder of somebody else may break transformers anywhere
        raise ConfigError(
            f"backbone.name = {config.name!r}: no GPT-2 checkpoint could be loaded ({error}). Give "
            "a local folder whose config.json and weights belong together, or a hub name. "
            f"{_WITHOUT_NETWORK}"
        ) from error
    _check_positions(config, gpt.config.n_positions)
    return gpt


def _check_whole(loaded: Mapping[str, Any]) -> None:
    """Raise ValueError where weights of the network are not in the checkpoint."""
    missing = sorted(loaded["missing_keys"])
    if missing:
        raise ValueError(
            f"its config.json describes {len(missing)} weights that it lacks, such as {missing[0]}"
        )


def _check_positions(config: BackboneConfig, positions: int) -> None:
    check(
        config.max_tokens <= positions,
        f"backbone.max_tokens = {config.max_tokens}: the checkpoint {config.name!r} reads "
        f"{positions} tokens at most; set backbone.max_tokens={positions} or less",
    )


@torch.no_grad()
def start_items(gpt: GPT2Model, tokens: TokenSpace, vectors: np.ndarray, std: float) -> None:
    """Let item embeddings start from vectors; items whose vector is zero keep their random start.

    Args:
        gpt: built for the tokens.
        tokens: where items stand in the vocabulary.
        vectors: ``float32[I, D]``, of mean square 1.
        std: what they are multiplied by.
    """
    items = gpt.wte.weight[tokens.first_item :]
    known = torch.from_numpy(vectors.any(axis=1)).to(items.device)
    items[known] = std * torch.from_numpy(vectors).to(items)[known]


@torch.no_grad()
def _add_entities(gpt: GPT2Model, config: BackboneConfig, tokens: TokenSpace) -> None:
    """Put users and items behind the checkpoint's words."""
    words = gpt.wte.weight
    check(
        len(words) >= tokens.num_text,
        f"backbone.name = {config.name!r}: its tokenizer has {tokens.num_text} tokens, but the "
        f"model's vocabulary {len(words)}; give a folder whose model and tokenizer belong together",
    )
    table = nn.Embedding(len(tokens), words.shape[1])
    table.weight.normal_(std=config.init_std)
    table.weight[: tokens.num_text] = words[: tokens.num_text]
    gpt.set_input_embeddings(table)
    gpt.config.vocab_size = len(tokens)
