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

# Logits that are held at once. Sums over the vocabulary go through a few rows and words at a time
# on a processor, whose cache then holds them: that takes a quarter less time than whole rows.
_LOGITS_AT_ONCE = {"cpu": 1 << 22, "cuda": 1 << 26}
_ROWS_AT_ONCE = 256


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
    return step_logits(decoder, hidden, parent, token) - log_normaliser(decoder, hidden)[parent]


def step_logits(decoder: TreeDecoder, hidden: Tensor, parent: Tensor, token: Tensor) -> Tensor:
    """Logits of steps, of the words alone that some step has; arguments as above, ``float32[M]``.

    Steps are many and their words few: the groups of digits that a catalogue is spelled in.
    """
    words, column = token.unique(return_inverse=True)
    weight = decoder.head.weight[words].T
    budget = _LOGITS_AT_ONCE.get(hidden.device.type, 1 << 26)
    rows = max(1, budget // max(1, len(words)))
    starts = torch.arange(0, len(hidden) + rows, rows, device=hidden.device)
    bounds = torch.searchsorted(parent, starts).tolist()
    found = []
    for index, (first, last) in enumerate(pairwise(bounds)):
        start = index * rows
        logits = hidden[start : start + rows] @ weight
        found.append(logits[parent[first:last] - start, column[first:last]])
    return torch.cat(found).float()


def log_normaliser(decoder: TreeDecoder, hidden: Tensor) -> Tensor:
    """The log-sum-exp of each node's logits over the vocabulary, ``[R, D]`` -> ``float32[R]``."""
    on_cpu = hidden.device.type == "cpu"
    rows = _ROWS_AT_ONCE if on_cpu else max(1, _LOGITS_AT_ONCE["cuda"] // decoder.vocab_size)
    found = []
    for part in hidden.split(rows):
        sums = [_log_sum_exp(logits(part).float()) for logits in decoder.vocabulary]
        found.append(sums[0] if len(sums) == 1 else torch.stack(sums).logsumexp(0))
    return torch.cat(found)


def _log_sum_exp(logits: Tensor) -> Tensor:
    """Of each row, in place."""
    highest = logits.amax(dim=1, keepdim=True)
    return logits.sub_(highest).exp_().sum(dim=1).log_() + highest[:, 0]


def sibling_log_probs(
    decoder: TreeDecoder,
    hidden: Tensor,
    parent: Tensor,
    token: Tensor,
    bonus: Tensor | None = None,
) -> Tensor:
    """``log p(token | parent, the parent's children in the tree)``; arguments as above.

    Args:
        bonus: ``float32[M]``, added to the steps' logits, or None.

    Returns:
        ``float32[M]``.
    """
    logits = step_logits(decoder, hidden, parent, token)
    logits = logits if bonus is None else logits + bonus
    highest = torch.full((len(hidden),), float("-inf"), device=hidden.device)
    highest.scatter_reduce_(0, parent, logits, "amax")
    shifted = logits - highest[parent]
    total = torch.zeros_like(highest).index_add_(0, parent, shifted.exp())
    return shifted - total[parent].log()
