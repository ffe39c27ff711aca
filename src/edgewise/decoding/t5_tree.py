"""A stock T5 decoder run over the nodes of prefix trees instead of one line of tokens.

A node attends to itself and its ancestors, which stand 0, 1, 2, ... steps behind it, as a token
attends to the tokens before it. So its keys are gathered along its path and T5's relative position
bias is a short table over the steps. All weights are the library's own modules, called in the
library's order; the result equals its forward pass over each path, dropout off.

The library would take a tree as a 4-D mask as well, but it scores all node pairs and corrects the
bias it adds by index; a path is short, so gathering it costs a fraction of that. It also repeats
the prompt's keys for every beam, where here the nodes of a prompt share them.

Legend: B prompts, S prompt tokens, R nodes of all prompts, A longest path, H heads, D hidden, V
vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import T5ForConditionalGeneration

WORDS_AT_ONCE = 2048


class TreeDecoder:
    """The decoder and output layer of a T5 model, read-only, over tree nodes.

    Attributes:
        head: the output layer, whose ``weight`` is ``[V, D]``.
        vocabulary: logits of consecutive words, one function of ``[R, D]`` for each part.
    """

    def __init__(self, t5: T5ForConditionalGeneration) -> None:
        self.stack: Any = t5.decoder
        self.head = t5.lm_head
        self.vocabulary = _in_parts(t5.lm_head)
        self.vocab_size = t5.config.vocab_size
        self.num_heads = t5.config.num_heads
        start = getattr(t5.config, "decoder_start_token_id", None)
        self.start_token: int = t5.config.pad_token_id or 0 if start is None else start
        # Since transformers 5 weights are always tied; the flag alone says whether to scale.
        scaled = getattr(t5.config, "scale_decoder_outputs", t5.config.tie_word_embeddings)
        self.output_scale: float = t5.config.d_model**-0.5 if scaled else 1.0

    def remember(
        self, encoder_hidden: Tensor, encoder_mask: Tensor, shift: Tensor | None = None
    ) -> PromptMemory:
        """Project the encoded prompts ``[B, S, D]`` to every layer's keys and values."""
        attentions = [block.layer[1].EncDecAttention for block in self.stack.block]
        keys = [self._split(attention.k(encoder_hidden)) for attention in attentions]
        values = [self._split(attention.v(encoder_hidden)) for attention in attentions]
        mask = None
        if not bool(encoder_mask.all()):
            padding = (encoder_mask == 0)[:, None, None, :]
            mask = torch.zeros_like(padding, dtype=keys[0].dtype)
            mask.masked_fill_(padding, torch.finfo(mask.dtype).min)
        return PromptMemory(keys, values, mask, shift)

    def decode(
        self, nodes: NodeBatch, memory: PromptMemory, cache: NodeCache | None = None
    ) -> Tensor:
        """The decoder's last hidden state ``[R, D]`` of every node, ready for ``logits``."""
        cache = NodeCache() if cache is None else cache
        bias = self._path_bias(nodes)
        hidden = self.stack.embed_tokens(nodes.tokens)
        if memory.shift is not None:
            hidden = hidden + memory.shift[nodes.slots // nodes.width]
        for index, block in enumerate(self.stack.block):
            self_layer, cross_layer, feed_layer = block.layer
            normed = self_layer.layer_norm(hidden)
            hidden = hidden + self._attend_path(
                self_layer.SelfAttention, normed, nodes, bias, index, cache
            )
            normed = cross_layer.layer_norm(hidden)
            hidden = hidden + self._attend_prompt(
                cross_layer.EncDecAttention, normed, nodes, memory, index
            )
            hidden = hidden + _feed_forward(feed_layer, hidden)
        return self.stack.final_layer_norm(hidden) * self.output_scale

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores of the next token, ``[R, V]``."""
        return F.linear(hidden, self.head.weight)

    def _split(self, states: Tensor) -> Tensor:
        """``[B, S, H * d_kv]`` -> ``[B, H, S, d_kv]``."""
        return states.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)

    def _path_bias(self, nodes: NodeBatch) -> Tensor:
        """Position bias by steps up the path, minus infinity above the root: ``[R, A, H]``."""
        attention = self.stack.block[0].layer[0].SelfAttention
        steps = torch.arange(nodes.ancestors.shape[1], device=nodes.tokens.device)
        buckets = attention._relative_position_bucket(
            -steps,
            bidirectional=False,
            num_buckets=attention.relative_attention_num_buckets,
            max_distance=attention.relative_attention_max_distance,
        )
        bias = attention.relative_attention_bias(buckets)  # [A, H]
        above_root = (steps > nodes.depths[:, None])[..., None]  # [R, A, 1]
        return bias.expand(len(nodes.tokens), -1, -1).masked_fill(above_root, float("-inf"))

    def _attend_path(
        self,
        attention: Any,
        normed: Tensor,
        nodes: NodeBatch,
        bias: Tensor,
        layer: int,
        cache: NodeCache,
    ) -> Tensor:
        keys, values = cache.append(layer, attention.k(normed), attention.v(normed))
        query = attention.q(normed)
        # What is gathered of one step fits a processor's cache; of whole paths it would not.
        path = nodes.ancestors.unbind(1)
        scores = [self._heads(query * keys.index_select(0, node)).sum(-1) for node in path]
        weights = (torch.stack(scores, dim=1) + bias).float().softmax(dim=1).to(values.dtype)
        found = torch.zeros_like(self._heads(query))
        for step, node in enumerate(path):
            found.addcmul_(weights[:, step, :, None], self._heads(values.index_select(0, node)))
        return attention.o(found.flatten(1))

    def _heads(self, states: Tensor) -> Tensor:
        """``[R, H * d_kv]`` -> ``[R, H, d_kv]``."""
        return states.unflatten(-1, (self.num_heads, -1))

    def _attend_prompt(
        self,
        attention: Any,
        normed: Tensor,
        nodes: NodeBatch,
        memory: PromptMemory,
        layer: int,
    ) -> Tensor:
        query = attention.q(normed)
        num_prompts = len(memory.keys[layer])
        padded = query.new_zeros(num_prompts * nodes.width, query.shape[1])
        padded[nodes.slots] = query
        found = F.scaled_dot_product_attention(
            self._split(padded.view(num_prompts, nodes.width, -1)),
            memory.keys[layer],
            memory.values[layer],
            attn_mask=memory.mask,
            scale=1.0,
        )  # [B, H, width, d_kv]
        return attention.o(found.transpose(1, 2).reshape(len(padded), -1)[nodes.slots])


@dataclass(frozen=True)
class PromptMemory:
    """What the decoder reads of the encoded prompts, projected once for all of their nodes.

    Attributes:
        keys: one ``[B, H, S, d_kv]`` a layer.
        values: one ``[B, H, S, d_kv]`` a layer.
        mask: ``[B, 1, 1, S]``, added to the scores; none if no prompt is padded.
        shift: ``[B, D]``, added to the embedding of every token that is decoded, or none.
    """

    keys: list[Tensor]
    values: list[Tensor]
    mask: Tensor | None
    shift: Tensor | None = None

    def part(self, rows: slice) -> PromptMemory:
        """The memory of some of the prompts."""
        mask = None if self.mask is None else self.mask[rows]
        shift = None if self.shift is None else self.shift[rows]
        keys, values = [k[rows] for k in self.keys], [v[rows] for v in self.values]
        return PromptMemory(keys, values, mask, shift)


@dataclass(frozen=True)
class NodeBatch:
    """Tree nodes to decode, those of prompt 0 first, then those of prompt 1, and so on.

    Attributes:
        tokens: ``int64[R]``, each node's own token; the decoder start token at a root.
        ancestors: ``int64[R, A]``, where a node, its parent, its grandparent, ... stand among all
            nodes decoded so far (earlier calls with the same cache first, then this batch).
        depths: ``int64[R]``, steps below the root; ancestors further up are ignored.
        slots: ``int64[R]``, prompt number times ``width`` plus a place within the prompt.
        width: the largest number of nodes of one prompt.
    """

    tokens: Tensor
    ancestors: Tensor
    depths: Tensor
    slots: Tensor
    width: int


@dataclass
class NodeCache:
    """Self-attention keys and values of the nodes decoded so far, ``[nodes, H * d_kv]`` a layer."""

    keys: dict[int, Tensor] = field(default_factory=dict)
    values: dict[int, Tensor] = field(default_factory=dict)

    def append(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        if layer in self.keys:
            keys = torch.cat([self.keys[layer], keys])
            values = torch.cat([self.values[layer], values])
        self.keys[layer], self.values[layer] = keys, values
        return keys, values


def _in_parts(head: Any) -> list[Callable[[Tensor], Tensor]]:
    """The output layer a few thousand words at a time on a processor, whole elsewhere."""
    if hasattr(head, "parts"):
        return list(head.parts)
    on_cpu = head.weight.device.type == "cpu"
    size = WORDS_AT_ONCE if on_cpu else len(head.weight)
    return [partial(F.linear, weight=part) for part in head.weight.split(size)]


def _feed_forward(layer: Any, hidden: Tensor) -> Tensor:
    """The library's feed-forward layer, plain (T5) or gated (T5 1.1), dropout off."""
    dense = layer.DenseReluDense
    normed = layer.layer_norm(hidden)
    if hasattr(dense, "wi_0"):
        inner = dense.act(dense.wi_0(normed)) * dense.wi_1(normed)
    else:
        inner = dense.act(dense.wi(normed))
    # The library keeps this one matrix in single precision in half-precision models.
    weight = dense.wo.weight
    return dense.wo(inner.to(weight.dtype) if isinstance(weight, Tensor) else inner)
