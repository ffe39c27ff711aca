"""A score of every item as a prior in the catalogue's prefix tree.

Let item i have the score ``s_i`` and node n of the tree lead to the items (leaves) ``I(n)``. The
prior of a node is the log-sum-exp of its leaves,

    ``b(n) = log sum over i in I(n) of exp(s_i)``,

so the children of a node share it out: ``exp b(n)`` is the sum of ``exp b(c)`` over its children c.
A step from n to its child c, scored by the language model's logit ``l(c)`` plus ``b(c)`` and
normalised over the children of n, has the probability

    ``p(c | n) = exp(l(c) + b(c)) / sum over children c' of exp(l(c') + b(c'))``.

With flat logits that is ``exp(b(c) - b(n))``, and the product along the path of an item is
``exp(s_i) / sum over all j of exp(s_j)``: the softmax of the scores. With flat scores it weighs a
step by the number of items behind it. Searching, scoring candidates and training all use this rule,
so that they agree on an item's likelihood.

Legend: B prompts, I items, N nodes of the tree, T target tokens, V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor

from edgewise.decoding.step_scores import children
from edgewise.decoding.trie import PrefixTrie

# Keeps an item whose score is hopeless from being impossible.
_TINY = 1e-30


def node_bonus(trie: PrefixTrie, pointed: Tensor) -> Tensor:
    """The prior ``b(n)`` of every node.

    Args:
        trie: the catalogue.
        pointed: the items' scores, ``float[B, I]``.

    Returns:
        ``float32[B, N]``.
    """
    highest = pointed.amax(dim=1, keepdim=True)
    weight = (pointed - highest).exp().clamp_min(_TINY).float()
    total = weight.new_zeros(len(pointed), trie.num_nodes)
    paths = torch.from_numpy(trie.item_paths).to(pointed.device)
    for column in range(paths.shape[1]):
        # Behind the leaf a path is filled with the root.
        inside = paths[:, column] > 0 if column else slice(None)
        total.index_add_(1, paths[inside, column], weight[:, inside])
    return total.log() + highest


def continuation_bonus(trie: PrefixTrie, targets: Tensor, bonus: Tensor, vocab_size: int) -> Tensor:
    """The priors ``b(c)`` of all steps from the nodes on the way to a target, by token.

    Added to the logits of a decoder that reads the targets, they leave the softmax over the
    vocabulary with the steps that exist, as the search sees them.

    Args:
        trie: the catalogue.
        targets: spellings that stand in the catalogue, anything behind their ends, ``int64[B, T]``.
        bonus: of :func:`node_bonus`, ``float[B, N]``.
        vocab_size: V.

    Returns:
        ``float[B, T, V]``, a hugely negative number for tokens that lead to no item.
    """
    offsets, tokens = (
        torch.from_numpy(each).to(targets.device) for each in (trie.child_offsets, trie.node_token)
    )
    row, child = children(offsets, _path(trie, targets, vocab_size).flatten())
    shape = (targets.numel(), vocab_size)
    steps = bonus.new_full(shape, torch.finfo(bonus.dtype).min)
    values = bonus[row // targets.shape[1], child]
    return steps.index_put((row, tokens[child]), values).view(*targets.shape, vocab_size)


def _path(trie: PrefixTrie, targets: Tensor, vocab_size: int) -> Tensor:
    """The node before each token of the targets, from the root on, ``int64[B, T]``."""
    key = torch.from_numpy(trie.node_parent * vocab_size + trie.node_token).to(targets.device)
    node = torch.zeros_like(targets[:, 0])
    path = []
    for step in targets.T:
        path.append(node)
        # The root comes first and has no parent of its own; a leaf stays where it is.
        node = torch.searchsorted(key[1:], node * vocab_size + step) + 1
        node = node.clamp(max=trie.num_nodes - 1)
    return torch.stack(path, dim=1)
