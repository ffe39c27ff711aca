"""The library's T5 computed anew for a processor: the same weights, the same result, less work.

The library pads all prompts to the longest, keeps every layer's attention weights, their dropout
masks and their gradients for the whole batch, and draws a random number for each of them. Here

* prompts of about one length are laid end to end in :class:`Packing`, so that padding costs little;
* attention goes through them block by block, each small enough for a processor's cache, and its
  weights are computed again in the backward pass instead of being kept;
* dropout takes sixteen bits of a random number an entry (so its rate is a multiple of 1 / 65,536);
* the feed-forward layer keeps its inner states once, whose zeros are also the mask.

Dropout stands where the library has it: on inputs, attention weights, inner states and outputs of
layers, and on the last states. Draws differ from the library's, so losses of a training run differ
as those of two seeds do; without dropout outputs and gradients are equal up to rounding.

On other devices the library's own forward pass is called.

Legend: B prompts, S source tokens, T target tokens, R rows (tokens of all prompts), H heads, D
hidden, F inner size of the feed-forward layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from transformers import T5ForConditionalGeneration

# Attention weights of a block, 4 MB: they stay in a processor's cache, and the allocator keeps
# their memory, where larger ones are fetched from the system anew each time.
_WEIGHTS_AT_ONCE = 1 << 20
# Prompts of a block are at least this share of its longest.
_ALIKE = 0.9


def encode(t5: T5ForConditionalGeneration, inputs: Tensor, mask: Tensor, causal: bool) -> Tensor:
    """The encoder's last states, zero on padding, ``[B, S, D]``.

    Args:
        t5: a stock model; dropout is on in training mode.
        inputs: embeddings, ``[B, S, D]``.
        mask: 1 on tokens, ``[B, S]``.
        causal: no token reads what follows it.
    """
    if inputs.device.type != "cpu":
        seen = _from_left_to_right(mask, inputs.dtype) if causal else mask
        return t5.encoder(inputs_embeds=inputs, attention_mask=seen).last_hidden_state
    packing = Packing.of(mask, t5.config.num_heads)
    stack: Any = t5.encoder
    first = stack.block[0].layer[0].SelfAttention
    # Contiguous, else every layer copies it or reads it across.
    bias = first.compute_bias(packing.longest, packing.longest)[0].contiguous()
    blocks = [block.going_forward() if causal else block for block in packing.blocks]
    only_read = not (torch.is_grad_enabled() or stack.training)
    biases = [_shown(bias, block) for block in blocks] if only_read else []
    hidden = _dropout(packing.rows(inputs), stack.dropout)
    for block in stack.block:
        attend, feed = block.layer[0], block.layer[-1]
        normed = attend.layer_norm(hidden)
        if only_read:
            found = _reading_attention(attend.SelfAttention, normed, biases, blocks)
        else:
            found = _attention(attend.SelfAttention, normed, bias, blocks)
        hidden = _add(hidden, found, attend.dropout)
        hidden = _add(hidden, _feed_forward(feed, hidden), feed.dropout)
    return packing.grid(_dropout(stack.final_layer_norm(hidden), stack.dropout))


def decode(t5: T5ForConditionalGeneration, inputs: Tensor, states: Tensor, mask: Tensor) -> Tensor:
    """The decoder's last states for given targets, ready for the output layer, ``[B, T, D]``.

    Args:
        t5: a stock model; dropout is on in training mode.
        inputs: embeddings of the targets, each moved one place to the right, ``[B, T, D]``.
        states: of :func:`encode`, ``[B, S, D]``.
        mask: 1 where they are tokens, ``[B, S]``.
    """
    if inputs.device.type != "cpu":
        output: Any = t5.decoder(
            inputs_embeds=inputs, encoder_hidden_states=states, encoder_attention_mask=mask
        )
        return output.last_hidden_state * _output_scale(t5)
    stack: Any = t5.decoder
    num_prompts, length, width = inputs.shape
    first = stack.block[0].layer[0].SelfAttention
    ahead = torch.ones(length, length, dtype=torch.bool).triu(1)
    bias = first.compute_bias(length, length)[0].masked_fill(ahead, float("-inf"))
    blocks = [_Block(slice(0, num_prompts * length), num_prompts, length, None)]
    hidden = _dropout(inputs.flatten(0, 1), stack.dropout)
    for block in stack.block:
        attend, cross, feed = block.layer
        found = _attention(attend.SelfAttention, attend.layer_norm(hidden), bias, blocks)
        hidden = _add(hidden, found, attend.dropout)
        found = _cross_attention(cross.EncDecAttention, cross.layer_norm(hidden), states, mask)
        hidden = _add(hidden, found, cross.dropout)
        hidden = _add(hidden, _feed_forward(feed, hidden), feed.dropout)
    hidden = _dropout(stack.final_layer_norm(hidden), stack.dropout)
    return hidden.view(num_prompts, length, width) * _output_scale(t5)


def _output_scale(t5: T5ForConditionalGeneration) -> float:
    scaled = getattr(t5.config, "scale_decoder_outputs", t5.config.tie_word_embeddings)
    return t5.config.d_model**-0.5 if scaled else 1.0


def _from_left_to_right(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Added to attention scores, it hides what follows a token, and padding: ``[B, 1, S, S]``."""
    length = mask.shape[1]
    readable = mask[:, None, None, :] * mask.new_ones(length, length).tril()
    return (1 - readable.to(dtype)) * torch.finfo(dtype).min


# How tokens are laid out


@dataclass(frozen=True)
class _Block:
    """Prompts that attention goes through together.

    Attributes:
        rows: of these prompts.
        count: of prompts.
        length: rows of each.
        hidden: true on what must not be read, to be broadcast to ``[count, H, length, length]``;
            None = all is read.
    """

    rows: slice
    count: int
    length: int
    hidden: Tensor | None

    def going_forward(self) -> _Block:
        """The same, but no row reads what follows it."""
        ahead = torch.ones(self.length, self.length, dtype=torch.bool).triu(1)
        return replace(self, hidden=ahead if self.hidden is None else self.hidden | ahead)


@dataclass(frozen=True)
class Packing:
    """A batch of prompts, the longest first, with next to no padding.

    Attributes:
        place: of each row in the batch ``[B * S]``, ``int64[R]``.
        blocks: consecutive prompts, padded to the longest of them.
        shape: B and S.
    """

    place: Tensor
    blocks: tuple[_Block, ...]
    shape: tuple[int, int]

    @classmethod
    def of(cls, mask: Tensor, num_heads: int) -> Packing:
        """Lay out prompts with a mask ``[B, S]``, which may have holes."""
        num_prompts, width = mask.shape
        lengths = (mask * torch.arange(1, width + 1)).amax(dim=1).clamp(min=1)
        lengths, order = lengths.sort(descending=True, stable=True)
        places: list[Tensor] = []
        blocks: list[_Block] = []
        row = 0
        for first, count, length in _alike(lengths.tolist(), num_heads):
            own = order[first : first + count]
            padding = mask[own, :length] == 0
            places.append((own[:, None] * width + torch.arange(length)).flatten())
            rows = slice(row, row + count * length)
            hidden = padding[:, None, None, :] if bool(padding.any()) else None
            blocks.append(_Block(rows, count, length, hidden))
            row = rows.stop
        return cls(torch.cat(places), tuple(blocks), (num_prompts, width))

    @property
    def longest(self) -> int:
        """Tokens of the longest prompt."""
        return self.blocks[0].length

    def rows(self, grid: Tensor) -> Tensor:
        """``[B, S, D]`` -> ``[R, D]``."""
        return grid.flatten(0, 1).index_select(0, self.place)

    def grid(self, rows: Tensor) -> Tensor:
        """``[R, D]`` -> ``[B, S, D]``, zero on padding."""
        num_prompts, width = self.shape
        empty = rows.new_zeros(num_prompts * width, rows.shape[1])
        return empty.index_copy(0, self.place, rows).view(num_prompts, width, -1)


def _alike(lengths: list[int], num_heads: int) -> Iterator[tuple[int, int, int]]:
    """First prompt, number and longest of each block; lengths never increase."""
    first = 0
    for number, length in enumerate([*lengths, 0]):
        longest = lengths[first]
        full = (number - first + 1) * num_heads * longest**2 > _WEIGHTS_AT_ONCE
        if number > first and (length < _ALIKE * longest or full):
            yield first, number - first, longest
            first = number


# Layers


def _attention(attention: Any, states: Tensor, bias: Tensor, blocks: Sequence[_Block]) -> Tensor:
    """What rows ``[R, D]`` find in their own prompts, ``[R, D]``, before dropout."""
    rate = attention.dropout if attention.training else 0.0
    parts = (attention.q(states), attention.k(states), attention.v(states), bias)
    with torch.autocast("cpu", enabled=False):
        found = _Attention.apply(*(part.float() for part in parts), blocks, rate)
    return attention.o(found)


def _reading_attention(
    attention: Any, states: Tensor, biases: Sequence[Tensor], blocks: Sequence[_Block]
) -> Tensor:
    """:func:`_attention` without dropout and gradients, whose weights never leave the cache."""
    parts = attention.q(states), attention.k(states), attention.v(states)
    found = torch.empty_like(parts[0])
    for block, bias in zip(blocks, biases, strict=True):
        query, key, value = (_grid(each, block, bias.shape[1]) for each in parts)
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=bias, scale=1.0)
        _grid(found, block, bias.shape[1]).copy_(attended)
    return attention.o(found)


def _shown(bias: Tensor, block: _Block) -> Tensor:
    """The position bias of a block, hugely negative where it must not read."""
    own = bias[None, :, : block.length, : block.length]
    if block.hidden is not None:
        own = own.masked_fill(block.hidden, torch.finfo(own.dtype).min)
    return own.contiguous()


def _cross_attention(attention: Any, targets: Tensor, states: Tensor, mask: Tensor) -> Tensor:
    """What targets ``[B * T, D]`` find in the encoder's states ``[B, S, D]``, ``[B * T, D]``.

    Targets are few and prompts long, so that it is the queries that pass through the projection of
    the keys, and the states found that pass through that of the values: ``q (s K)' = (q K') s'``
    and ``w (s V) = (w s) V``.
    """
    num_prompts, heads = len(states), attention.n_heads
    keys, values = (_weight(each).unflatten(0, (heads, -1)) for each in (attention.k, attention.v))
    query = attention.q(targets).unflatten(1, (heads, -1)).transpose(0, 1)  # [H, B * T, d]
    query = (query @ keys).unflatten(1, (num_prompts, -1)).transpose(0, 1).flatten(1, 2)
    scores = (query @ states.transpose(1, 2)).float()  # [B, H * T, S]
    scores = scores.masked_fill((mask == 0)[:, None], torch.finfo(scores.dtype).min)
    weights = F.dropout(scores.softmax(dim=-1), attention.dropout, attention.training)
    found = (weights @ states).unflatten(1, (heads, -1)).transpose(0, 1).flatten(1, 2)
    found = found @ values.transpose(1, 2)  # [H, B * T, d]
    return attention.o(found.transpose(0, 1).flatten(1))


def _weight(layer: Any) -> Tensor:
    """The matrix of a linear layer, ``[out, in]``, low-rank updates included."""
    if type(layer) is nn.Linear:
        return layer.weight
    return layer(torch.eye(layer.linear.in_features)).T


def _feed_forward(layer: Any, hidden: Tensor) -> Tensor:
    """The feed-forward layer of rows ``[R, D]``, before the outer dropout."""
    dense, normed = layer.DenseReluDense, layer.layer_norm(hidden)
    plain = hasattr(dense, "wi") and isinstance(dense.act, nn.ReLU)
    if not plain or not all(type(each) is nn.Linear for each in (dense.wi, dense.wo)):
        return dense(normed)
    rate = dense.dropout.p if dense.training else 0.0
    parts = (normed, dense.wi.weight, dense.wo.weight)
    if torch.is_autocast_enabled("cpu"):
        parts = tuple(part.to(torch.get_autocast_dtype("cpu")) for part in parts)
    with torch.autocast("cpu", enabled=False):
        found = _FeedForward.apply(*parts, rate)
    assert isinstance(found, Tensor)
    return found


def _dropout(states: Tensor, layer: nn.Dropout) -> Tensor:
    if not layer.training or not layer.p:
        return states
    found = _Dropout.apply(states, layer.p)
    assert isinstance(found, Tensor)
    return found


def _add(hidden: Tensor, found: Tensor, layer: nn.Dropout) -> Tensor:
    """The residual connection, with dropout on what is added."""
    return hidden + _dropout(found, layer)


def _kept(shape: torch.Size, rate: float) -> Tensor:
    """Entries that dropout keeps, ``bool``."""
    count = shape.numel()
    words = torch.empty(-(-count // 4), dtype=torch.int64).random_(-(2**63), None)
    return words.view(torch.int16)[:count].view(shape) >= round(rate * 2**16) - 2**15


class _Dropout(torch.autograd.Function):
    """Entries are left out with a probability, the others scaled up."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, rate: float) -> Tensor:
        kept = _kept(states.shape, rate)
        ctx.scale = 1 / (1 - rate)
        ctx.save_for_backward(kept)
        return (states * ctx.scale).mul_(kept)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (kept,) = ctx.saved_tensors
        return (grads[0] * ctx.scale).mul_(kept), None


class _FeedForward(torch.autograd.Function):
    """``dropout(relu(x W_1)) W_2``, whose inner states ``[R, F]`` are kept once.

    An inner state is above zero where it is both active and kept.
    """

    @staticmethod
    def forward(ctx: Any, states: Tensor, first: Tensor, second: Tensor, rate: float) -> Tensor:
        inner = F.linear(states, first).relu_()
        if rate:
            inner.mul_(_kept(inner.shape, rate))
        ctx.scale = 1 / (1 - rate)
        ctx.save_for_backward(states, inner, first, second)
        found = F.linear(inner, second)
        return found.mul_(ctx.scale) if rate else found

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        states, inner, first, second = ctx.saved_tensors
        grad = grads[0] * ctx.scale if ctx.scale != 1 else grads[0]
        of_second = grad.T @ inner if ctx.needs_input_grad[2] else None
        of_inner = grad @ second
        of_inner = torch.ops.aten.threshold_backward(of_inner, inner, 0)
        of_first = of_inner.T @ states if ctx.needs_input_grad[1] else None
        return of_inner @ first, of_first, of_second, None


class _Attention(torch.autograd.Function):
    """Attention of rows ``[R, H * d]``, block by block; weights are computed again backwards.

    The position bias is ``[H, S, S]``.
    """

    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        bias: Tensor,
        blocks: Sequence[_Block],
        rate: float,
    ) -> Tensor:
        found = torch.empty_like(query)
        masks: list[Tensor] = []
        for block in blocks:
            q, k, v = (_heads(each, block, bias) for each in (query, key, value))
            weights = _weights(q, k, bias, block)
            if rate:
                masks.append(_kept(weights.shape, rate))
                weights.mul_(masks[-1])
            _put(found, block, torch.bmm(weights, v))
        ctx.blocks, ctx.scale = blocks, 1 / (1 - rate)
        ctx.save_for_backward(query, key, value, bias, *masks)
        return found.mul_(ctx.scale) if rate else found

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, bias, *masks = ctx.saved_tensors
        grad = grads[0] * ctx.scale if masks else grads[0].contiguous()
        of_query, of_key, of_value = map(torch.empty_like, (query, key, value))
        of_bias = torch.zeros_like(bias)
        for number, block in enumerate(ctx.blocks):
            q, k, v, g = (_heads(each, block, bias) for each in (query, key, value, grad))
            weights = _weights(q, k, bias, block)
            of_weights = torch.bmm(g, v.transpose(1, 2))
            used = weights
            if masks:
                of_weights.mul_(masks[number])
                used = weights * masks[number]
            _put(of_value, block, torch.bmm(used.transpose(1, 2), g))
            of_scores = torch.ops.aten._softmax_backward_data(
                of_weights, weights, -1, weights.dtype
            )
            _put(of_query, block, torch.bmm(of_scores, k))
            _put(of_key, block, torch.bmm(of_scores.transpose(1, 2), q))
            each = of_scores.unflatten(0, (block.count, -1))
            part = of_bias[:, : block.length, : block.length]
            part.add_(each[0] if block.count == 1 else each.sum(dim=0))
        return of_query, of_key, of_value, of_bias, None, None


def _weights(query: Tensor, key: Tensor, bias: Tensor, block: _Block) -> Tensor:
    """Attention weights of a block, ``[count * H, length, length]``."""
    scores = torch.bmm(query, key.transpose(1, 2))
    each = scores.unflatten(0, (block.count, -1))
    each.add_(bias[:, : block.length, : block.length])
    if block.hidden is not None:
        each.masked_fill_(block.hidden, torch.finfo(scores.dtype).min)
    return scores.softmax(dim=-1)


def _heads(rows: Tensor, block: _Block, bias: Tensor) -> Tensor:
    """``[R, H * d]`` -> ``[count * H, length, d]``."""
    return _grid(rows, block, len(bias)).flatten(0, 1)


def _grid(rows: Tensor, block: _Block, num_heads: int) -> Tensor:
    """A view of a block's rows, ``[count, H, length, d]``."""
    own = rows[block.rows].unflatten(0, (block.count, -1))
    return own.unflatten(2, (num_heads, -1)).transpose(1, 2)


def _put(rows: Tensor, block: _Block, heads: Tensor) -> None:
    """Write ``[count * H, length, d]`` where a block's rows stand."""
    found = heads.unflatten(0, (block.count, -1))
    _grid(rows, block, found.shape[1]).copy_(found)
