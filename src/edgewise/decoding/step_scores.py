"""Log-probabilities of the steps from tree nodes to their children.

Two rules: normalised over the vocabulary (:func:`edge_log_probs`), as a language model is, or over
the children that the tree has (:func:`sibling_log_probs`).

Legend: R decoded nodes, M steps (edges of the tree), D hidden.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from edgewise.decoding.t5_tree import TreeDecoder

# Products of few rows leave a processor idle: at a vocabulary of 32,128, 130 rows at once take 4/7
# of the time of 16, and more gain nothing; a GPU wants larger ones still.
_LOGITS_AT_ONCE = {"cpu": 1 << 22, "cuda": 1 << 26}


def children(child_offsets: Tensor, node: Tensor) -> tuple[Tensor, Tensor]:
    """All children of some nodes of a :class:`~edgewise.decoding.trie.PrefixTrie`.

    Args:
        child_offsets: of the tree, ``int64[N + 1]``.
        node: ``int64[R]``.

    Returns:
        For every child, nodes in the order given: the row of its parent in ``node``, and its own
        number in the tree, ``int64[M]`` each.
    """
    first = child_offsets[node]
    counts = child_offsets[node + 1] - first
    row = torch.repeat_interleave(counts)
    ahead = counts.cumsum(0) - counts
    return row, torch.arange(len(row), device=row.device) + (first - ahead)[row]


def edge_log_probs(decoder: TreeDecoder, hidden: Tensor, parent: Tensor, token: Tensor) -> Tensor:
    """``log p(token | parent)`` of every step, without ever holding all logits.

    Args:
        decoder: whose output layer is asked.
        hidden: ``[R, D]``, decoded nodes.
        parent: ``int64[M]``, rows of ``hidden``, never decreasing.
        token: ``int64[M]``.

    Returns:
        ``float32[M]``.
    """
    budget = _LOGITS_AT_ONCE.get(hidden.device.type, 1 << 26)
    rows_at_once = max(1, budget // decoder.vocab_size)
    starts = torch.arange(0, len(hidden) + rows_at_once, rows_at_once, device=hidden.device)
    bounds = torch.searchsorted(parent, starts).tolist()
    found = []
    for index, (first, last) in enumerate(pairwise(bounds)):
        start = index * rows_at_once
        logits = decoder.logits(hidden[start : start + rows_at_once])
        log_probs = logits.log_softmax(-1, dtype=torch.float32)
        found.append(log_probs[parent[first:last] - start, token[first:last]])
    return torch.cat(found)


def sibling_log_probs(
    decoder: TreeDecoder,
    hidden: Tensor,
    parent: Tensor,
    token: Tensor,
    bonus: Tensor | None = None,
) -> Tensor:
    """``log p(token | parent, the parent's children in the tree)``; arguments as above.

    Only the children's own logits are computed: a dot product a step instead of a product with
    the vocabulary a node.

    Args:
        bonus: ``float32[M]``, added to the steps' logits, or None.

    Returns:
        ``float32[M]``.
    """
    logits = (hidden[parent] * decoder.head.weight[token]).sum(-1, dtype=torch.float32)
    logits = logits if bonus is None else logits + bonus
    highest = torch.full((len(hidden),), float("-inf"), device=hidden.device)
    highest.scatter_reduce_(0, parent, logits, "amax")
    shifted = logits - highest[parent]
    total = torch.zeros_like(highest).index_add_(0, parent, shifted.exp())
    return shifted - total[parent].log()
