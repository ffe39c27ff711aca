"""Attention over histories, and the two ways in which transformers put a block around it.

Padding must not cost and not count: rows are filled up at their end, so a causal mask alone keeps
the filling out, and attention in both directions is told which positions are items. Attention
weights themselves are not dropped out, which leaves the fused kernels of every device usable.

Shapes: B rows, S positions, H heads, D hidden.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F


class AttentionBlock(nn.Module):
    """What all blocks have: attention by H heads, and the norms of their two halves.

    Args:
        hidden_size: D, shared by the heads.
        num_heads: H.
    """

    def __init__(self, hidden_size: int, num_heads: int) -> None:
        super().__init__()
        self.heads = num_heads
        self.norms = nn.ModuleList(nn.LayerNorm(hidden_size) for _ in range(2))
        self.query_key_value = nn.Linear(hidden_size, 3 * hidden_size)
        self.out = nn.Linear(hidden_size, hidden_size)

    def attend(
        self,
        x: torch.Tensor,
        known: torch.Tensor | None = None,
        asked: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """What each position finds, ``softmax(Q K^T / sqrt(d)) V``, ``float[B, S, D]``.

        Args:
            x: ``float[B, S, D]``.
            known: positions that may be looked at from anywhere, ``bool[B, S]``; None: a position
                looks at itself and earlier ones.
            asked: the one position of each row that is asked about, ``int64[B]``; None: all.
        """
        query, key, value = self._projected(x, asked)
        if known is None and asked is not None:
            known = torch.arange(x.shape[1], device=x.device) <= asked[:, None]
        mask = None if known is None else known[:, None, None, :]
        found = F.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, is_causal=known is None
        )
        return self.out(found.transpose(1, 2).flatten(2))

    def _projected(self, x: torch.Tensor, asked: torch.Tensor | None) -> Sequence[torch.Tensor]:
        """Queries, keys and values, each ``[B, H, S, D / H]``."""
        if asked is None:
            parts = self.query_key_value(x).unflatten(-1, (3, self.heads, -1))
            return parts.permute(2, 0, 3, 1, 4).unbind()
        width = x.shape[-1]
        weight, bias = self.query_key_value.weight, self.query_key_value.bias
        query = F.linear(at(x, asked), weight[:width], bias[:width])
        parts = F.linear(x, weight[width:], bias[width:]).unflatten(-1, (2, self.heads, -1))
        query = query.unflatten(-1, (self.heads, -1)).transpose(1, 2)
        return query, *parts.permute(2, 0, 3, 1, 4).unbind()


class PreNormBlock(AttentionBlock):
    """``x + dropout(g(norm(x)))`` with g attention, then a feed-forward layer with ReLU (SASRec).

    Args:
        hidden_size, num_heads: D and H.
        inner_size: width of the feed-forward layer.
        dropout: of what is added.
    """

    def __init__(self, hidden_size: int, num_heads: int, inner_size: int, dropout: float) -> None:
        super().__init__(hidden_size, num_heads)
        self.inner = nn.Linear(hidden_size, inner_size)
        self.outer = nn.Linear(inner_size, hidden_size)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        x: torch.Tensor,
        known: torch.Tensor | None = None,
        asked: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """``float[B, S, D]``; arguments as for :meth:`AttentionBlock.attend`."""
        x = at(x, asked) + self.dropout(self.attend(self.norms[0](x), known, asked))
        return x + self.dropout(self.outer(F.relu(self.inner(self.norms[1](x)))))


class PostNormBlock(PreNormBlock):
    """``norm(x + dropout(g(x)))`` with g attention, then a feed-forward layer with GELU (BERT)."""

    def forward(
        self,
        x: torch.Tensor,
        known: torch.Tensor | None = None,
        asked: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """``float[B, S, D]``; arguments as for :meth:`AttentionBlock.attend`."""
        x = self.norms[0](at(x, asked) + self.dropout(self.attend(x, known, asked)))
        return self.norms[1](x + self.dropout(self.outer(F.gelu(self.inner(x)))))


class Answering:
    """A network of blocks that is asked about one position of each row, after a history.

    Its ``states`` takes ``asked``, ``int64[B]``, and hands it to :func:`through`.
    """

    def states_at(self, items: torch.Tensor, asked: torch.Tensor) -> torch.Tensor:
        """See :meth:`~edgewise.models.next_item.NextItemNetwork.states_at`."""
        return self.states(items, asked)[:, 0]  # type: ignore[attr-defined]


def through(
    blocks: nn.ModuleList,
    x: torch.Tensor,
    known: torch.Tensor | None = None,
    asked: torch.Tensor | None = None,
) -> torch.Tensor:
    """What leaves the last block, which works out no more than is asked about.

    Arguments as for :meth:`AttentionBlock.attend`.

    Returns:
        ``float[B, S, D]``, or ``float[B, 1, D]`` of the positions that are asked about.
    """
    last = len(blocks) - 1
    for place, block in enumerate(blocks):
        x = block(x, known, asked if place == last else None)
    return x


def at(x: torch.Tensor, asked: torch.Tensor | None) -> torch.Tensor:
    """One position of each row, ``[B, S, D] -> [B, 1, D]``; all, where asked is None."""
    return x if asked is None else x[torch.arange(len(x), device=x.device), asked][:, None]


def check_heads(hidden_size: int, num_heads: int) -> str:
    """What is wrong with widths that heads cannot share; empty where nothing is."""
    shared = hidden_size % num_heads == 0
    return (
        "" if shared else f"hidden_size = {hidden_size} is no multiple of num_heads = {num_heads}"
    )
