"""The graph as numbers added to attention scores: ``R = R_conn + R_path`` (Eqs. 1-4).

R is a function of the distance P between the nodes of two tokens, so it is a small table that is
looked up for every pair; where one of the tokens is a word, R is 0.

==========  ==================================================  =====================
path        R_path, for a path of P <= max_path edges           P = 0, the same node
==========  ==================================================  =====================
proximity   delta ** (P - 1)                                    0
released    (max_path + 1 - P) / (max_path + 1)                 1, by its formula
printed     1 - delta ** P / max_path                           1 - 1 / max_path
==========  ==================================================  =====================

Farther and unreachable pairs get 0. R_conn is 1 at P = 1. ``released`` divides the sum by its
largest value once more, as the paper's code does. ``proximity`` leaves a token and its repetition
alone: what they hold in common is in their equal embeddings already. ``printed`` takes the longest
path that is followed for max(P), so that R of a pair does not depend on what else is in the batch.
"""

from __future__ import annotations

import torch

from edgewise.models.graph_gpt.config import AttentionConfig

# The largest bf16 number, so that it stays finite in every precision.
FORBIDDEN = torch.finfo(torch.bfloat16).min


def bias_table(config: AttentionConfig) -> torch.Tensor:
    """R for every distance from 0 to ``max_path`` and, last, beyond it: ``float[max_path + 2]``."""
    longest, damping = config.max_path, config.delta
    lengths = torch.arange(longest + 2, dtype=torch.float64)
    if config.path == "proximity":
        table = damping ** (lengths - 1)
        table[0] = 0
    elif config.path == "released":
        table = (longest + 1 - lengths) / (longest + 1)
    else:
        table = 1 - damping**lengths / longest
    table[-1] = 0
    table[1] += float(config.connection)
    if config.path == "released":
        table /= table.max()
    return table.float()


def graph_bias(distance: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """R of every pair of tokens (Eq. 2).

    Args:
        distance: ``uint8[B, S, S]``, see :class:`~edgewise.models.graph_gpt.batch.PromptBatch`.
        table: of :func:`bias_table`.

    Returns:
        ``float[B, 1, S, S]``.
    """
    return table[distance.int()][:, None]


def meaningless_bias(node: torch.Tensor) -> torch.Tensor:
    """R = 1 for every pair of user and item tokens, whatever the graph says (Fig. 5).

    Args:
        node: ``int64[B, S]``, -1 on words.

    Returns:
        ``float[B, 1, S, S]``.
    """
    entity = (node >= 0).float()
    return (entity[:, :, None] * entity[:, None, :])[:, None]


def attention_mask(present: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """R where a token may look, and the lowest number where it may not: Eq. 1's second term.

    Args:
        present: 1 on tokens, 0 on padding, ``int64[B, S]``.
        bias: ``float[B, 1, S, S]``, or None for R = 0.

    Returns:
        ``float[B, 1, S, S]``, to be added to the scores; no row looks at what comes after it or at
        padding, whatever R holds there.
    """
    size = present.shape[1]
    earlier = torch.ones(size, size, dtype=torch.bool, device=present.device).tril()
    allowed = (earlier & present.bool()[:, None, :])[:, None]
    scores = torch.zeros((), device=present.device) if bias is None else bias
    return torch.where(allowed, scores, FORBIDDEN)


def gated(mask: torch.Tensor, strength: torch.Tensor) -> torch.Tensor:
    """The mask with R multiplied by a strength of each head.

    Args:
        mask: of :func:`attention_mask`.
        strength: ``float[H]``.

    Returns:
        ``float[B, H, S, S]``.
    """
    return torch.where(mask > FORBIDDEN / 2, mask * strength[:, None, None], FORBIDDEN)
