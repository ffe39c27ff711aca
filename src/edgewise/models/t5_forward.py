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

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
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
    bias = first.compute_bias(packing.longest, packing.longest)[0]
    blocks = [block.reading_itself(causal) for block in packing.blocks]
    hidden = _dropout(packing.rows(inputs), stack.dropout)
    for block in stack.block:
        attend, feed = block.layer[0], block.layer[-1]
        normed = attend.layer_norm(hidden)
        found = _attention(attend.SelfAttention, normed, normed, bias, blocks)
        hidden = _add(hidden, found, attend.dropout)
        hidden = _add(hidden, _feed_forward(feed, hidden), feed.dropout)
    return packing.grid(_dropout(stack.final_layer_norm(hidden), stack.dropout))


def decode(
    t5: T5ForConditionalGeneration, inputs: Tensor, states: Tensor, mask: Tensor
) -> Tensor:
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
    packing = Packing.of(mask, t5.config.num_heads)
    stack: Any = t5.decoder
    num_prompts, length, width = inputs.shape
    first = stack.block[0].layer[0].SelfAttention
    ahead = torch.ones(length, length, dtype=torch.bool).triu(1)
    bias = first.compute_bias(length, length)[0].masked_fill(ahead, float("-inf"))
    itself = [_Block(slice(0, num_prompts * length), num_prompts, length, length, None)]
    prompts = [block.read_by(length) for block in packing.blocks]
    source = packing.rows(states)
    hidden = _dropout(inputs[packing.order].flatten(0, 1), stack.dropout)
    for block in stack.block:
        attend, cross, feed = block.layer
        normed = attend.layer_norm(hidden)
        found = _attention(attend.SelfAttention, normed, normed, bias, itself)
        hidden = _add(hidden, found, attend.dropout)
        normed = cross.layer_norm(hidden)
        found = _attention(cross.EncDecAttention, normed, source, None, prompts)
        hidden = _add(hidden, found, cross.dropout)
        hidden = _add(hidden, _feed_forward(feed, hidden), feed.dropout)
    hidden = _dropout(stack.final_layer_norm(hidden), stack.dropout)
    back = packing.order.argsort()
    return hidden.view(num_prompts, length, width)[back] * _output_scale(t5)


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
        queries, keys: rows of these prompts.
        count: of prompts.
        query_length, key_length: rows of each.
        hidden: true on keys that must not be read, to be broadcast to the scores
            ``[count, H, query_length, key_length]``; None = all are read.
    """

    queries: slice
    count: int
    query_length: int
    key_length: int
    hidden: Tensor | None
    keys: slice | None = None


@dataclass(frozen=True)
class _Prompts:
    """Some prompts of a packing: the first one's number, their rows, and which are padding."""

    first: int
    rows: slice
    count: int
    length: int
    padding: Tensor | None

    def reading_itself(self, causal: bool) -> _Block:
        hidden = None if self.padding is None else self.padding[:, None, None, :]
        if causal:
            ahead = torch.ones(self.length, self.length, dtype=torch.bool).triu(1)
            hidden = ahead if hidden is None else hidden | ahead
        return _Block(self.rows, self.count, self.length, self.length, hidden)

    def read_by(self, length: int) -> _Block:
        """The prompts as keys of targets of a length."""
        queries = slice(self.first * length, (self.first + self.count) * length)
        hidden = None if self.padding is None else self.padding[:, None, None, :]
        return _Block(queries, self.count, length, self.length, hidden, self.rows)


@dataclass(frozen=True)
class Packing:
    """A batch of prompts, the longest first, with next to no padding.

    Attributes:
        order: number in the batch of each prompt, ``int64[B]``.
        place: of each row in the batch ``[B * S]``, ``int64[R]``.
        blocks: consecutive prompts, padded to the longest of them.
        shape: B and S.
    """

    order: Tensor
    place: Tensor
    blocks: tuple[_Prompts, ...]
    shape: tuple[int, int]

    @classmethod
    def of(cls, mask: Tensor, num_heads: int) -> Packing:
        """Lay out prompts with a mask ``[B, S]``, which may have holes."""
        num_prompts, width = mask.shape
        lengths = (mask * torch.arange(1, width + 1)).amax(dim=1).clamp(min=1)
        lengths, order = lengths.sort(descending=True, stable=True)
        places: list[Tensor] = []
        blocks: list[_Prompts] = []
        row = 0
        for first, count, length in _alike(lengths.tolist(), num_heads):
            own = order[first : first + count]
            padding = mask[own, :length] == 0
            places.append((own[:, None] * width + torch.arange(length)).flatten())
            rows = slice(row, row + count * length)
            blocks.append(
                _Prompts(first, rows, count, length, padding if bool(padding.any()) else None)
            )
            row = rows.stop
        return cls(order, torch.cat(places), tuple(blocks), (num_prompts, width))

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


def _attention(
    attention: Any, states: Tensor, source: Tensor, bias: Tensor | None, blocks: list[_Block]
) -> Tensor:
    """What rows ``[R, D]`` find in the rows of a source, ``[R, D]``, before dropout."""
    rate = attention.dropout if attention.training else 0.0
    query, key, value = attention.q(states), attention.k(source), attention.v(source)
    with torch.autocast("cpu", enabled=False):
        found = _Attention.apply(
            query.float(), key.float(), value.float(), bias, blocks, attention.n_heads, rate
        )
    return attention.o(found)


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
    """Attention of rows ``[R, H * d]``, block by block; weights are computed again backwards."""

    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        bias: Tensor | None,
        blocks: list[_Block],
        num_heads: int,
        rate: float,
    ) -> Tensor:
        found = torch.empty_like(query)
        masks: list[Tensor] = []
        for block in blocks:
            keys = block.keys or block.queries
            v = _heads(value[keys], block.count, num_heads)
            weights = _weights(query, key, bias, block, num_heads)
            if rate:
                masks.append(_kept(weights.shape, rate))
                weights.mul_(masks[-1])
            _put(found, block, torch.bmm(weights, v), num_heads)
        ctx.blocks, ctx.num_heads, ctx.scale = blocks, num_heads, 1 / (1 - rate)
        ctx.save_for_backward(query, key, value, bias, *masks)
        return found.mul_(ctx.scale) if rate else found

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, bias, *masks = ctx.saved_tensors
        grad = grads[0] * ctx.scale if masks else grads[0].contiguous()
        of_query, of_key, of_value = map(torch.empty_like, (query, key, value))
        of_bias = torch.zeros_like(bias) if ctx.needs_input_grad[3] else None
        for number, block in enumerate(ctx.blocks):
            keys = block.keys or block.queries
            q = _heads(query[block.queries], block.count, ctx.num_heads)
            k, v = (_heads(each[keys], block.count, ctx.num_heads) for each in (key, value))
            g = _heads(grad[block.queries], block.count, ctx.num_heads)
            weights = _weights(query, key, bias, block, ctx.num_heads)
            of_weights = torch.bmm(g, v.transpose(1, 2))
            used = weights
            if masks:
                of_weights.mul_(masks[number])
                used = weights * masks[number]
            _put_keys(of_value, block, torch.bmm(used.transpose(1, 2), g), ctx.num_heads)
            of_scores = torch._softmax_backward_data(of_weights, weights, -1, weights.dtype)
            _put(of_query, block, torch.bmm(of_scores, k), ctx.num_heads)
            _put_keys(of_key, block, torch.bmm(of_scores.transpose(1, 2), q), ctx.num_heads)
            if of_bias is not None:
                each = of_scores.view(block.count, ctx.num_heads, *of_scores.shape[1:])
                part = of_bias[:, : block.query_length, : block.key_length]
                part.add_(each[0] if block.count == 1 else each.sum(dim=0))
        return of_query, of_key, of_value, of_bias, None, None, None


def _weights(
    query: Tensor, key: Tensor, bias: Tensor | None, block: _Block, num_heads: int
) -> Tensor:
    """Attention weights of a block, ``[count * H, query_length, key_length]``."""
    q = _heads(query[block.queries], block.count, num_heads)
    k = _heads(key[block.keys or block.queries], block.count, num_heads)
    scores = torch.bmm(q, k.transpose(1, 2))
    each = scores.view(block.count, num_heads, *scores.shape[1:])
    if bias is not None:
        each.add_(bias[:, : block.query_length, : block.key_length])
    if block.hidden is not None:
        each.masked_fill_(block.hidden, torch.finfo(scores.dtype).min)
    return scores.softmax(dim=-1)


def _heads(rows: Tensor, count: int, num_heads: int) -> Tensor:
    """``[count * length, H * d]`` -> ``[count * H, length, d]``."""
    grid = rows.view(count, -1, num_heads, rows.shape[1] // num_heads).transpose(1, 2)
    return grid[0] if count == 1 else grid.flatten(0, 1)


def _put(rows: Tensor, block: _Block, heads: Tensor, num_heads: int) -> None:
    """Write ``[count * H, query_length, d]`` where a block's queries stand."""
    _heads_view(rows[block.queries], block.count, num_heads).copy_(
        heads.view(block.count, num_heads, *heads.shape[1:])
    )


def _put_keys(rows: Tensor, block: _Block, heads: Tensor, num_heads: int) -> None:
    """Write ``[count * H, key_length, d]`` where a block's keys stand."""
    _heads_view(rows[block.keys or block.queries], block.count, num_heads).copy_(
        heads.view(block.count, num_heads, *heads.shape[1:])
    )


def _heads_view(rows: Tensor, count: int, num_heads: int) -> Tensor:
    return rows.view(count, -1, num_heads, rows.shape[1] // num_heads).transpose(1, 2)
