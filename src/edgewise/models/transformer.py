"""Attention over histories, and the two ways in which transformers put a block around it.

Padding must not cost and not count: rows are filled up at their end, so a causal mask alone keeps
the filling out, and attention in both directions is told which positions are items. Attention
weights themselves are not dropped out, which leaves the fused kernels of every device usable.

Shapes: B rows, S positions, H heads, D hidden.
"""

from __future__ import annotations

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

    def attend(self, x: torch.Tensor, known: torch.Tensor | None = None) -> torch.Tensor:
        """What each position finds, ``softmax(Q K^T / sqrt(d)) V``, ``float[B, S, D]``.

        Args:
            x: ``float[B, S, D]``.
            known: positions that may be looked at from anywhere, ``bool[B, S]``; None: a position
                looks at itself and earlier ones.
        """
        parts = self.query_key_value(x).unflatten(-1, (3, self.heads, -1))  # [B, S, 3, H, D / H]
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        mask = None if known is None else known[:, None, None, :]
        found = F.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, is_causal=known is None
        )
        return self.out(found.transpose(1, 2).flatten(2))


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

    def forward(self, x: torch.Tensor, known: torch.Tensor | None = None) -> torch.Tensor:
        """``float[B, S, D]``; ``known`` as for :meth:`AttentionBlock.attend`."""
        x = x + self.dropout(self.attend(self.norms[0](x), known))
        return x + self.dropout(self.outer(F.relu(self.inner(self.norms[1](x)))))


class PostNormBlock(PreNormBlock):
    """``norm(x + dropout(g(x)))`` with g attention, then a feed-forward layer with GELU (BERT)."""

    def forward(self, x: torch.Tensor, known: torch.Tensor | None = None) -> torch.Tensor:
        """``float[B, S, D]``; ``known`` as for :meth:`AttentionBlock.attend`."""
        x = self.norms[0](x + self.dropout(self.attend(x, known)))
        return self.norms[1](x + self.dropout(self.outer(F.gelu(self.inner(x)))))


def check_heads(hidden_size: int, num_heads: int) -> str:
    """What is wrong with widths that heads cannot share; empty where nothing is."""
    shared = hidden_size % num_heads == 0
    return (
        "" if shared else f"hidden_size = {hidden_size} is no multiple of num_heads = {num_heads}"
    )
