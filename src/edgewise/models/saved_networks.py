"""T5 and GPT-2 as they are read from a folder of ours: the library's weights without the library.

Importing the library's networks takes longer than answering does. What is saved is their weights
and settings; here are modules that hold the same weights under the same names, so that a folder is
read and written alike by either, and with what inference calls of them. Training, checkpoints of
others and settings that are not known here take the library's networks.

Legend: B prompts, S tokens, D hidden, H heads.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from transformers import GPT2Model as LibraryGPT2
    from transformers import T5ForConditionalGeneration as LibraryT5

# Numbers of a part that stay in a processor's cache while an activation is worked out.
_NUMBERS_AT_ONCE = 1 << 16
_SLOPE, _CUBIC = math.sqrt(8 / math.pi), 0.044715

# Of the library, for a T5 that is saved without its settings.
T5_DEFAULTS: Mapping[str, Any] = {
    "layer_norm_epsilon": 1e-6,
    "relative_attention_num_buckets": 32,
    "relative_attention_max_distance": 128,
    "dense_act_fn": "relu",
    "is_gated_act": False,
    "scale_decoder_outputs": True,
    "tie_word_embeddings": True,
}


class TanhGELU(nn.Module):
    """``nn.GELU("tanh")``, GPT-2's activation, in half its time forwards on a CPU.

    It is ``x sigmoid(sqrt(8 / pi) (x + 0.044715 x^3))``, for which torch has fast steps.
    """

    def forward(self, states: Tensor) -> Tensor:
        """``float[...]``, each number by itself."""
        if states.device.type == "cpu" and states.dtype == torch.float32:
            found = _TanhGELU.apply(states)
            assert isinstance(found, Tensor)
            return found
        return F.gelu(states, approximate="tanh")


class _TanhGELU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, states: Tensor) -> Tensor:
        ctx.save_for_backward(states)
        states = states.contiguous()
        found, slope = torch.empty_like(states), torch.tensor(_SLOPE)
        parts = (each.view(-1).split(_NUMBERS_AT_ONCE) for each in (states, found))
        for x, out in zip(*parts, strict=True):
            torch.addcmul(slope, x, x, value=_SLOPE * _CUBIC, out=out)
            out.mul_(x).sigmoid_().mul_(x)
        return found

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (states,) = ctx.saved_tensors
        return torch.ops.aten.gelu_backward(grads[0], states, approximate="tanh")


_ACTIVATIONS = {"relu": nn.ReLU, "gelu_new": TanhGELU, "gelu_pytorch_tanh": TanhGELU}


def with_fast_gelu(gpt: LibraryGPT2) -> LibraryGPT2:
    """A GPT-2, stock or saved, whose activation is :class:`TanhGELU` where it is the same."""
    if _ACTIVATIONS.get(gpt.config.activation_function) is TanhGELU:
        for block in gpt.h:
            block.mlp.act = TanhGELU()  # type: ignore[union-attr]
    return gpt


class SavedConfig(SimpleNamespace):
    """Settings of a network as they were saved, under the library's names."""

    def to_dict(self) -> dict[str, Any]:
        """What is saved again."""
        return dict(vars(self))


def t5_of(settings: Mapping[str, Any]) -> LibraryT5:
    """A T5 whose weights are to be loaded, the library's or one that stands in for it.

    Args:
        settings: those of the library's ``T5Config``.
    """
    known = settings.get("tie_word_embeddings", True) and "scale_decoder_outputs" in settings
    if known and settings.get("dense_act_fn") in _ACTIVATIONS:
        return cast("LibraryT5", T5(SavedConfig(**settings)))
    from transformers import T5Config, T5ForConditionalGeneration

    return T5ForConditionalGeneration(T5Config.from_dict(dict(settings)))


def gpt2_of(settings: Mapping[str, Any]) -> LibraryGPT2:
    """A GPT-2 whose weights are to be loaded, likewise; without a head.

    Args:
        settings: those of the library's ``GPT2Config``.
    """
    unusual = ("add_cross_attention", "scale_attn_by_inverse_layer_idx", "reorder_and_upcast_attn")
    known = settings.get("scale_attn_weights", True) and not any(map(settings.get, unusual))
    if known and settings.get("activation_function") in _ACTIVATIONS:
        return cast("LibraryGPT2", GPT2(SavedConfig(**settings)))
    from transformers import GPT2Config, GPT2Model

    implementation = attention_implementation()
    return GPT2Model(GPT2Config.from_dict(dict(settings), attn_implementation=implementation))


def attention_implementation() -> str:
    """The faster of two that agree: on a CPU, for prompts of this length, plain products."""
    return "sdpa" if torch.cuda.is_available() else "eager"


# T5 (Raffel et al., JMLR 2020, arXiv 1910.10683)


class T5(nn.Module):
    """Encoder, decoder and output layer, which share one table of tokens."""

    def __init__(self, config: SavedConfig) -> None:
        super().__init__()
        self.config = config
        self.shared = nn.Embedding(config.vocab_size, config.d_model)
        self.encoder = _T5Stack(config, self.shared, config.num_layers, is_decoder=False)
        self.decoder = _T5Stack(config, self.shared, config.num_decoder_layers, is_decoder=True)
        self.lm_head = nn.Linear(config.d_model, config.vocab_size, bias=False)
        self.lm_head.weight = self.shared.weight

    def get_input_embeddings(self) -> nn.Embedding:
        """Of tokens."""
        return self.shared

    def prepare_decoder_input_ids_from_labels(self, labels: Tensor) -> Tensor:
        """Targets ``int64[B, T]`` moved one place to the right, padding where nothing is asked."""
        inputs = labels.roll(1, dims=-1)
        inputs[:, 0] = self.config.decoder_start_token_id
        return inputs.masked_fill(inputs == -100, self.config.pad_token_id)


class _T5Stack(nn.Module):
    def __init__(
        self, config: SavedConfig, words: nn.Embedding, num_layers: int, is_decoder: bool
    ) -> None:
        super().__init__()
        self.embed_tokens = words
        layers = (_T5Block(config, is_decoder, has_bias=n == 0) for n in range(num_layers))
        self.block = nn.ModuleList(layers)
        self.final_layer_norm = nn.RMSNorm(config.d_model, config.layer_norm_epsilon)
        self.dropout = nn.Dropout(config.dropout_rate)

    def forward(self, inputs_embeds: Tensor, attention_mask: Tensor) -> SimpleNamespace:
        """The encoder's last states, for devices that the forward pass of ours is not for.

        Args:
            inputs_embeds: ``float[B, S, D]``.
            attention_mask: 1 on tokens, ``[B, S]``, or what is added to scores, ``[B, 1, S, S]``.
        """
        length, bias = inputs_embeds.shape[1], attention_mask
        if bias.ndim == 2:
            hidden = attention_mask[:, None, None, :] == 0
            lowest = torch.finfo(inputs_embeds.dtype).min
            bias = inputs_embeds.new_zeros(hidden.shape).masked_fill(hidden, lowest)
        blocks: Any = self.block
        bias = bias + blocks[0].layer[0].SelfAttention.compute_bias(length, length)
        states = self.dropout(inputs_embeds)
        for block in blocks:
            attend, feed = block.layer
            found = attend.SelfAttention(attend.layer_norm(states), bias)
            states = states + attend.dropout(found)
            states = states + feed.dropout(feed.DenseReluDense(feed.layer_norm(states)))
        return SimpleNamespace(last_hidden_state=self.dropout(self.final_layer_norm(states)))


class _T5Block(nn.Module):
    def __init__(self, config: SavedConfig, is_decoder: bool, has_bias: bool) -> None:
        super().__init__()
        attention = T5Attention(config, is_decoder, has_bias)
        layers = [_T5Layer(config, SelfAttention=attention)]
        if is_decoder:
            attention = T5Attention(config, is_decoder, has_bias=False)
            layers.append(_T5Layer(config, EncDecAttention=attention))
        layers.append(_T5Layer(config, DenseReluDense=_T5FeedForward(config)))
        self.layer = nn.ModuleList(layers)


class _T5Layer(nn.Module):
    """What is normed before and added after; its part has the library's name."""

    def __init__(self, config: SavedConfig, **part: nn.Module) -> None:
        super().__init__()
        for name, module in part.items():
            self.add_module(name, module)
        self.layer_norm = nn.RMSNorm(config.d_model, config.layer_norm_epsilon)
        self.dropout = nn.Dropout(config.dropout_rate)


class T5Attention(nn.Module):
    """Attention whose scores are not scaled, with a learned bias for distances in the first layer.

    Args:
        config: settings.
        is_decoder: no token reads what follows it, so that distances have one sign.
        has_bias: whether the bias is learned here.
    """

    def __init__(self, config: SavedConfig, is_decoder: bool, has_bias: bool) -> None:
        super().__init__()
        self.n_heads, self.dropout = config.num_heads, config.dropout_rate
        self.is_decoder = is_decoder
        self.relative_attention_num_buckets = config.relative_attention_num_buckets
        self.relative_attention_max_distance = config.relative_attention_max_distance
        width, inner = config.d_model, config.num_heads * config.d_kv
        self.q, self.k, self.v = (nn.Linear(width, inner, bias=False) for _ in range(3))
        self.o = nn.Linear(inner, width, bias=False)
        if has_bias:
            buckets = config.relative_attention_num_buckets
            self.relative_attention_bias = nn.Embedding(buckets, config.num_heads)

    @staticmethod
    def _relative_position_bucket(
        relative_position: Tensor, bidirectional: bool, num_buckets: int, max_distance: int
    ) -> Tensor:
        """The bucket of each signed distance, ``int64``: near ones have one each.

        Those of the farther half grow by the same factor up to the longest distance. Where both
        directions are read, the ones ahead have the second half.
        """
        ahead = relative_position > 0
        if bidirectional:
            num_buckets //= 2
            first, distance = ahead * num_buckets, relative_position.abs()
        else:
            first, distance = torch.zeros_like(relative_position), (-relative_position).clamp(min=0)
        near = num_buckets // 2
        growth = (distance.float() / near).log() / math.log(max_distance / near)
        far = near + (growth * (num_buckets - near)).clamp(min=0).long()
        return first + torch.where(distance < near, distance, far.clamp(max=num_buckets - 1))

    def compute_bias(self, query_length: int, key_length: int) -> Tensor:
        """The position bias, ``float[1, H, query, key]``."""
        places = torch.arange(
            max(query_length, key_length), device=self.relative_attention_bias.weight.device
        )
        buckets = self._relative_position_bucket(
            places[:key_length] - places[:query_length, None],
            bidirectional=not self.is_decoder,
            num_buckets=self.relative_attention_num_buckets,
            max_distance=self.relative_attention_max_distance,
        )
        return self.relative_attention_bias(buckets).permute(2, 0, 1)[None]

    def forward(self, states: Tensor, bias: Tensor) -> Tensor:
        """What tokens ``[B, S, D]`` find in each other, ``[B, S, D]``."""
        query, key, value = (
            _heads(part(states), self.n_heads) for part in (self.q, self.k, self.v)
        )
        rate = self.dropout if self.training else 0.0
        found = F.scaled_dot_product_attention(query, key, value, bias, rate, scale=1.0)
        return self.o(found.transpose(1, 2).flatten(2))


class _T5FeedForward(nn.Module):
    """Plain (T5) or gated (T5 1.1)."""

    def __init__(self, config: SavedConfig) -> None:
        super().__init__()
        sizes = config.d_model, config.d_ff
        if config.is_gated_act:
            self.wi_0, self.wi_1 = (nn.Linear(*sizes, bias=False) for _ in range(2))
        else:
            self.wi = nn.Linear(*sizes, bias=False)
        self.wo = nn.Linear(config.d_ff, config.d_model, bias=False)
        self.dropout = nn.Dropout(config.dropout_rate)
        self.act = _ACTIVATIONS[config.dense_act_fn]()
        self._gated = config.is_gated_act

    def forward(self, states: Tensor) -> Tensor:
        """``[..., D] -> [..., D]``."""
        if self._gated:
            inner = self.act(self.wi_0(states)) * self.wi_1(states)
        else:
            inner = self.act(self.wi(states))
        return self.wo(self.dropout(inner))


# GPT-2 (Radford et al. 2019)


class GPT2(nn.Module):
    """Embeddings of tokens and places, layers, and the last norm."""

    def __init__(self, config: SavedConfig) -> None:
        super().__init__()
        self.config, width = config, config.n_embd
        self.wte = nn.Embedding(config.vocab_size, width)
        self.wpe = nn.Embedding(config.n_positions, width)
        self.drop = nn.Dropout(config.embd_pdrop)
        self.h = nn.ModuleList(_GPT2Block(config, n) for n in range(config.n_layer))
        self.ln_f = nn.LayerNorm(width, eps=config.layer_norm_epsilon)

    def get_input_embeddings(self) -> nn.Embedding:
        """Of tokens."""
        return self.wte


class _GPT2Block(nn.Module):
    def __init__(self, config: SavedConfig, layer: int) -> None:
        super().__init__()
        width, epsilon = config.n_embd, config.layer_norm_epsilon
        self.ln_1, self.ln_2 = (nn.LayerNorm(width, eps=epsilon) for _ in range(2))
        self.attn, self.mlp = _GPT2Attention(config, layer), _GPT2FeedForward(config)

    def forward(self, states: Tensor, past: Any, mask: Tensor) -> Tensor:
        """Of new tokens ``[B, S, D]``; the mask is added to scores, see :mod:`.reading`."""
        states = self.attn(self.ln_1(states), past, attention_mask=mask) + states
        return states + self.mlp(self.ln_2(states))


class _GPT2Attention(nn.Module):
    def __init__(self, config: SavedConfig, layer: int) -> None:
        super().__init__()
        self.layer, self.num_heads = layer, config.n_head
        self.head_dim = config.n_embd // config.n_head
        self.c_attn = Conv1D(3 * config.n_embd, config.n_embd)
        self.c_proj = Conv1D(config.n_embd, config.n_embd)
        self.attn_dropout = nn.Dropout(config.attn_pdrop)
        self.resid_dropout = nn.Dropout(config.resid_pdrop)

    def forward(self, states: Tensor, past: Any, attention_mask: Tensor) -> Tensor:
        parts = self.c_attn(states).chunk(3, dim=-1)
        query, key, value = (_heads(part, self.num_heads) for part in parts)
        if past is not None:
            key, value = past.update(key, value, self.layer)
        if states.device.type == "cpu":  # see attention_implementation
            scores = query @ key.transpose(-1, -2) * self.head_dim**-0.5 + attention_mask
            found = self.attn_dropout(scores.softmax(dim=-1)) @ value
        else:
            rate = self.attn_dropout.p if self.training else 0.0
            found = F.scaled_dot_product_attention(query, key, value, attention_mask, rate)
        return self.resid_dropout(self.c_proj(found.transpose(1, 2).flatten(2)))


class _GPT2FeedForward(nn.Module):
    def __init__(self, config: SavedConfig) -> None:
        super().__init__()
        inner = 4 * config.n_embd if config.n_inner is None else config.n_inner
        self.c_fc, self.c_proj = Conv1D(inner, config.n_embd), Conv1D(config.n_embd, inner)
        self.act = _ACTIVATIONS[config.activation_function]()
        self.dropout = nn.Dropout(config.resid_pdrop)

    def forward(self, states: Tensor) -> Tensor:
        return self.dropout(self.c_proj(self.act(self.c_fc(states))))


class Conv1D(nn.Module):
    """A linear layer whose matrix is ``[in, out]``, as GPT-2's weights are kept."""

    def __init__(self, nf: int, nx: int) -> None:
        super().__init__()
        self.nf, self.nx = nf, nx
        self.weight = nn.Parameter(torch.empty(nx, nf))
        self.bias = nn.Parameter(torch.empty(nf))

    def forward(self, states: Tensor) -> Tensor:
        """``[..., in] -> [..., out]``."""
        flat = torch.addmm(self.bias, states.flatten(0, -2), self.weight)
        return flat.unflatten(0, states.shape[:-1])


def is_conv1d(module: nn.Module) -> bool:
    """Whether a module is such a layer, of ours or the library's."""
    return type(module).__name__ == "Conv1D"


def _heads(states: Tensor, num_heads: int) -> Tensor:
    """``[B, S, H * d] -> [B, H, S, d]``."""
    return states.unflatten(-1, (num_heads, -1)).transpose(1, 2)
