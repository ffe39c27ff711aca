"""LoRA: frozen matrices with learned low-rank updates (Hu et al., ICLR 2022, arXiv 2106.09685)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from transformers import T5ForConditionalGeneration


class LowRankLinear(nn.Module):
    """``W x + (alpha / r) B A x`` with a frozen W (section 4.1); at the start B is zero.

    Args:
        linear: W, ``[out, in]``, without bias.
        rank: r, rows of A and columns of B.
        alpha: strength.
        generator: of A.
    """

    def __init__(
        self, linear: nn.Linear, rank: int, alpha: float, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.linear, self.scale = linear.requires_grad_(False), alpha / rank
        spread = linear.in_features**-0.5
        start = torch.randn(rank, linear.in_features, generator=generator) * spread
        self.down = nn.Parameter(start)
        self.up = nn.Parameter(torch.zeros(linear.out_features, rank))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[..., in] -> [..., out]``."""
        return self.linear(x) + self.scale * F.linear(F.linear(x, self.down), self.up)


def add_low_rank(
    t5: T5ForConditionalGeneration, rank: int, alpha: float, generator: torch.Generator
) -> None:
    """Freeze a T5, and adapt queries and values of its attention, as the paper's experiments do.

    Args:
        t5: changed in place.
        rank, alpha: of :class:`LowRankLinear`.
        generator: of its random start.
    """
    t5.requires_grad_(False)
    attentions = [part for part in t5.modules() if type(part).__name__ == "T5Attention"]
    for attention in attentions:
        for name in ("q", "v"):
            linear = getattr(attention, name)
            setattr(attention, name, LowRankLinear(linear, rank, alpha, generator))
