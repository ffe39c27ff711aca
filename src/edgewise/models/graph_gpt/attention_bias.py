"""The graph as numbers added to attention scores: ``R = R_conn + R_path``.

The graph-attentive GPT-2 (paper 002) attends with ``softmax(Q K^T / sqrt(d_k) + R) V`` (eq. 1) and
``R = R_conn + R_path`` (eq. 2). For two tokens of users or items whose nodes have a shortest path
of P edges (:mod:`edgewise.graph.shortest_paths`), R is a function of P alone, hence a small table
that is looked up for every pair; where one of the tokens is a word, R is 0.

R_conn is 1 at P = 1 (eq. 3). R_path has three forms, because eq. 4, as printed, *grows* with the
distance, while the paper's text wants shorter paths to score higher, and the authors' code computes
neither:

==========  ==================================================  =====================
path        R_path, for a path of P <= max_path edges           P = 0, the same node
==========  ==================================================  =====================
proximity   delta ** (P - 1)                                    0
released    (max_path + 1 - P) / (max_path + 1)                 1, by its formula
printed     1 - delta ** P / max_path                           1 - 1 / max_path
==========  ==================================================  =====================

Farther and unreachable pairs get 0. ``released`` divides the sum by its largest value once more, as
the authors' code does. ``proximity`` leaves a token and its repetition alone: what they hold in
common is in their equal embeddings already. ``printed`` takes the longest path that is followed for
max(P), so that R of a pair does not depend on what else is in the batch.

Legend: B prompts, S tokens of a prompt, H heads.
"""

from __future__ import annotations

import numpy as np
import torch

from edgewise.data.dataset import Interactions
from edgewise.data.ragged import Ragged
from edgewise.graph.bipartite import BipartiteGraph
from edgewise.graph.shortest_paths import CoInteractions, ShortestPaths
from edgewise.models.graph_gpt.config import AttentionConfig

# The largest bf16 number, so that it stays finite in every precision.
FORBIDDEN = torch.finfo(torch.bfloat16).min


def build_distances(config: AttentionConfig, train: Ragged, num_items: int) -> ShortestPaths | None:
    """P between users and items; None where attention does without.

    Args:
        config: kind, the longest path that is followed, and whether users' own edges count.
        train: each user's train items; no held-out row.
        num_items: I.
    """
    if config.kind != "graph":
        return None
    users = np.repeat(np.arange(len(train), dtype=np.int32), train.lengths)
    rows = Interactions(users, train.values)
    graph = BipartiteGraph.from_interactions(rows, len(train), num_items)
    others = None if config.include_own_edges else CoInteractions.of(train, num_items)
    return ShortestPaths(graph, config.max_path, others)


def bias_table(config: AttentionConfig) -> torch.Tensor:
    """R for every distance from 0 to ``max_path`` and, last, beyond it: ``float[max_path + 2]``.

    Args:
        config: the form of R_path, the longest path, delta, and whether R_conn counts.
    """
    longest, delta = config.max_path, config.delta
    lengths = torch.arange(longest + 2, dtype=torch.float64)
    if config.path == "proximity":
        table = delta ** (lengths - 1)
        table[0] = 0
    elif config.path == "released":
        table = (longest + 1 - lengths) / (longest + 1)
    else:
        table = 1 - delta**lengths / longest
    table[-1] = 0
    table[1] += float(config.connection)
    if config.path == "released":
        table /= table.max()
    return table.float()


def graph_bias(distance: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """R of every pair of tokens (eq. 2).

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
    """R where a token may look, and the lowest number where it may not: eq. 1's second term.

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
