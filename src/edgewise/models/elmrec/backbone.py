"""The T5 inside: a checkpoint, or random weights of three sizes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from edgewise.errors import ConfigError
from edgewise.models.elmrec.config import BackboneConfig
from edgewise.models.elmrec.prompts import all_templates
from edgewise.models.tokenizers import corpus_of, load_tokenizer, train_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase, T5ForConditionalGeneration

    from edgewise.data.splits import Split

FROM_SCRATCH: dict[str, dict[str, int]] = {
    "tiny": {
        "d_model": 64,
        "d_kv": 64,
        "d_ff": 128,
        "num_layers": 2,
        "num_decoder_layers": 2,
        "num_heads": 1,
    },
    "cpu": {
        "d_model": 128,
        "d_kv": 128,
        "d_ff": 256,
        "num_layers": 2,
        "num_decoder_layers": 2,
        "num_heads": 1,
    },
    "t5-small": {
        "d_model": 512,
        "d_kv": 64,
        "d_ff": 2048,
        "num_layers": 6,
        "num_decoder_layers": 6,
        "num_heads": 8,
    },
}

# How strongly random weights prefer similar tokens, see _prefer_similar.
_SELF_SIMILARITY = 0.02
_CROSS_SIMILARITY = (0.05, 0.1, 0.2, 0.1)
_CROSS_GAIN = 10.0
_NEIGHBOUR_BIAS = 4.0


def is_from_scratch(name: str) -> bool:
    """Whether a backbone's name is one of our sizes rather than a checkpoint."""
    return name in FROM_SCRATCH


def build_tokenizer(config: BackboneConfig, split: Split) -> PreTrainedTokenizerBase:
    """A checkpoint's own tokenizer, or one trained on the train rows' texts.

    Raises:
        ConfigError: the checkpoint has none that can be loaded.
    """
    if is_from_scratch(config.name):
        return train_tokenizer(corpus_of(split, all_templates()), config.vocab_size)
    try:
        return load_tokenizer(config.name)
    except ConfigError as error:
        raise _no_checkpoint(config.name, error) from error


def build_t5(
    config: BackboneConfig,
    tokenizer: PreTrainedTokenizerBase,
    generator: torch.Generator,
    free_columns: int = 0,
) -> T5ForConditionalGeneration:
    """Load a checkpoint, or make random weights for the tokenizer's vocabulary.

    Args:
        config: size or checkpoint.
        tokenizer: of the vocabulary.
        generator: of random weights.
        free_columns: leading columns of the token embeddings that start at zero, for whole-word
            embeddings to stand in; not for checkpoints.

    Raises:
        ConfigError: the checkpoint cannot be loaded.
    """
    if is_from_scratch(config.name):
        return _random_t5(config, tokenizer, generator, free_columns)
    from transformers import AutoConfig, T5ForConditionalGeneration
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    try:
        kind = AutoConfig.from_pretrained(config.name).model_type
        if kind != "t5":
            raise ValueError(f"it is a {kind} model")
        return T5ForConditionalGeneration.from_pretrained(
            config.name,
            dropout_rate=config.dropout,
            dtype=torch.float32,
            use_safetensors=True,  # never a pickle, which runs what stands in it
        )
    except Exception as error:  # a folder of somebody else may break transformers anywhere
        raise _no_checkpoint(config.name, error) from error


def build_t5_like(
    t5: T5ForConditionalGeneration, config: BackboneConfig
) -> T5ForConditionalGeneration:
    """Random weights of the sizes of another T5."""
    from transformers import T5Config, T5ForConditionalGeneration

    settings = {**t5.config.to_dict(), "dropout_rate": config.dropout}
    return T5ForConditionalGeneration(T5Config.from_dict(settings))


@torch.no_grad()
def orthogonal_item_tokens(
    t5: T5ForConditionalGeneration,
    spellings: np.ndarray,
    free_columns: int,
    generator: torch.Generator,
) -> None:
    """Start the tokens that item ids are spelled with as orthogonal embeddings, as far as they fit.

    A decoder that looks at many candidates at once sees the weighted sum of their tokens'
    embeddings; what it can tell apart in the sum is what does not overlap. Tokens at which
    spellings begin come first, and within a place the more frequent ones.

    Args:
        t5: with random weights.
        spellings: tokens of every item, right-padded, ``int64[I, T]``.
        free_columns: leading columns that stay zero.
        generator: of the random directions.
    """
    seen: list[int] = []
    for place in spellings.T:
        tokens, counts = np.unique(place, return_counts=True)
        seen += [int(token) for token in tokens[np.argsort(-counts)] if token not in seen]
    weight = t5.shared.weight
    room = weight.shape[1] - free_columns
    basis = torch.linalg.qr(torch.randn(room, room, generator=generator)).Q * weight.shape[1] ** 0.5
    chosen = torch.tensor(seen[:room])
    weight[chosen, free_columns:] = basis[: len(chosen)]


def _no_checkpoint(name: str, error: Exception) -> ConfigError:
    reason = " ".join(str(error).rstrip(".").split())
    return ConfigError(
        f"backbone.name = {name!r}: no T5 checkpoint could be loaded ({reason}). Without network, "
        "download it where there is one and give its folder with --set backbone.name=FOLDER, or "
        "start from random weights with a preset that ends in -from-scratch, such as "
        "paper-beauty-from-scratch, or with --set backbone.name=t5-small (or one of "
        f"{', '.join(size for size in FROM_SCRATCH if size != 't5-small')})."
    )


def _random_t5(
    config: BackboneConfig,
    tokenizer: PreTrainedTokenizerBase,
    generator: torch.Generator,
    free_columns: int,
) -> T5ForConditionalGeneration:
    from transformers import T5Config, T5ForConditionalGeneration

    seed = int(torch.randint(2**31, (1,), generator=generator))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        t5 = T5ForConditionalGeneration(
            T5Config(
                vocab_size=len(tokenizer),
                dropout_rate=config.dropout,
                pad_token_id=tokenizer.pad_token_id,
                eos_token_id=tokenizer.eos_token_id,
                decoder_start_token_id=tokenizer.pad_token_id,  # pyright: ignore[reportCallIssue]
                **FROM_SCRATCH[config.name],
            )
        )
        if config.mimetic_init:
            _prefer_similar(t5)
        with torch.no_grad():
            t5.shared.weight[:, :free_columns] = 0
    return t5


def _prefer_similar(t5: T5ForConditionalGeneration) -> None:
    """Start attention as a search for similar vectors that passes on what it finds.

    With one projection for queries and keys, ``q k^T`` grows with the similarity of two tokens,
    which is how whole-word embeddings are to be read; values and outputs start as a projection and
    its transpose. The encoder prefers the two tokens on either side, so that the tokens of an id
    know each other. From weights without these preferences a small T5 needs many more epochs to
    find them. After mimetic initialisation (Trockman and Kolter, arXiv 2305.09828).
    """
    encoder: Any = t5.encoder
    decoder: Any = t5.decoder
    for block in encoder.block:
        attention = block.layer[0].SelfAttention
        _tie(attention.q, attention.k, attention.n_heads, _SELF_SIMILARITY)
        _tie_output(attention.v, attention.o, attention.n_heads, 1.0)
    for number, block in enumerate(decoder.block):
        attention = block.layer[1].EncDecAttention
        _tie(attention.q, attention.k, attention.n_heads, _CROSS_SIMILARITY[number % 4])
        _tie_output(attention.v, attention.o, attention.n_heads, _CROSS_GAIN)
    _prefer_neighbours(encoder.block[0].layer[0].SelfAttention)


@torch.no_grad()
def _prefer_neighbours(attention: Any) -> None:
    buckets = attention._relative_position_bucket(
        torch.arange(-2, 3),
        bidirectional=True,
        num_buckets=attention.relative_attention_num_buckets,
        max_distance=attention.relative_attention_max_distance,
    )
    attention.relative_attention_bias.weight[buckets] += _NEIGHBOUR_BIAS


@torch.no_grad()
def _tie(query: torch.nn.Linear, key: torch.nn.Linear, num_heads: int, strength: float) -> None:
    """Give query and key of each head the same orthonormal projection."""
    projection = _orthonormal_heads(query.weight, num_heads)
    query.weight.copy_(projection * strength**0.5)
    key.weight.copy_(projection * strength**0.5)


@torch.no_grad()
def _tie_output(
    value: torch.nn.Linear, output: torch.nn.Linear, num_heads: int, gain: float
) -> None:
    projection = _orthonormal_heads(value.weight, num_heads) * (gain / num_heads**0.5) ** 0.5
    value.weight.copy_(projection)
    output.weight.copy_(projection.T)


def _orthonormal_heads(weight: torch.Tensor, num_heads: int) -> torch.Tensor:
    """Rows (or, in a head wider than the model, columns) that are orthonormal in each head."""
    rows, width = weight.shape
    heads = [
        torch.nn.init.orthogonal_(torch.empty(rows // num_heads, width)) for _ in range(num_heads)
    ]
    return torch.cat(heads)
