"""The catalogue's prefix tree as a beam search walks it, less what is banned for each prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from edgewise.decoding.trie import PrefixTrie

# Keeps an item whose bonus is hopeless from being impossible.
_TINY = 1e-30


@dataclass(frozen=True)
class CatalogueTree:
    """The catalogue's tree as tensors, with the (prompt, node) pairs that banning has emptied."""

    token: Tensor
    child_offsets: Tensor
    item: Tensor
    emptied: Tensor

    @classmethod
    def build(
        cls, trie: PrefixTrie, banned: Sequence[np.ndarray] | None, device: torch.device
    ) -> CatalogueTree:
        emptied = np.empty(0, dtype=np.int64) if banned is None else emptied_nodes(trie, banned)
        arrays = (trie.node_token, trie.child_offsets, trie.node_item, emptied)
        return cls(*(torch.from_numpy(array).to(device) for array in arrays))

    def is_emptied(self, prompt: Tensor, node: Tensor) -> Tensor:
        """Whether every item at and below a node is banned for a prompt."""
        if not len(self.emptied):
            return torch.zeros_like(node, dtype=torch.bool)
        key = prompt * len(self.token) + node
        place = torch.searchsorted(self.emptied, key).clamp_(max=len(self.emptied) - 1)
        return self.emptied[place] == key


def emptied_nodes(trie: PrefixTrie, banned: Sequence[np.ndarray]) -> np.ndarray:
    """Sorted keys ``prompt * num_nodes + node`` of the subtrees whose items are all banned."""
    lengths = np.array([len(row) for row in banned])
    prompt = np.repeat(np.arange(len(lengths)), lengths)
    items = np.concatenate([*banned, np.empty(0, dtype=np.int64)]).astype(np.int64)
    prompt, items = np.divmod(np.unique(prompt * trie.num_items + items), trie.num_items)
    paths = trie.item_paths[items]
    # Behind the leaf a path is filled with the root, which every path counts once.
    real = paths > 0
    real[:, 0] = True
    keys = (prompt[:, None] * trie.num_nodes + paths)[real]
    keys, counts = np.unique(keys, return_counts=True)
    return keys[counts == trie.num_leaves[keys % trie.num_nodes]]


def node_bonus(trie: PrefixTrie, pointed: Tensor) -> Tensor:
    """The log of the summed ``exp`` of the items' bonuses at and below every node.

    Args:
        trie: the catalogue.
        pointed: ``float[B, I]``.

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
    """What to add to the logits of each step towards a target: the bonuses of the steps that exist.

    Args:
        trie: the catalogue.
        targets: spellings that stand in the catalogue, anything behind their ends, ``int64[B, T]``.
        bonus: ``float[B, N]``, of every node.
        vocab_size: V.

    Returns:
        ``float[B, T, V]``, a hugely negative number for tokens that lead to no item.
    """
    key = torch.from_numpy(trie.node_parent * vocab_size + trie.node_token).to(targets.device)
    offsets, tokens = (
        torch.from_numpy(each).to(targets.device) for each in (trie.child_offsets, trie.node_token)
    )
    node = torch.zeros_like(targets[:, 0])
    path = []
    for step in targets.T:
        path.append(node)
        # The root comes first and has no parent of its own; a leaf stays where it is.
        node = torch.searchsorted(key[1:], node * vocab_size + step) + 1
        node = node.clamp(max=trie.num_nodes - 1)
    place = torch.stack(path, dim=1).flatten()
    counts = offsets[place + 1] - offsets[place]
    row = torch.repeat_interleave(counts)
    ahead = counts.cumsum(0) - counts
    child = torch.arange(len(row), device=row.device) + (offsets[place] - ahead)[row]
    shape = (targets.numel(), vocab_size)
    steps = bonus.new_full(shape, torch.finfo(bonus.dtype).min)
    values = bonus[row // targets.shape[1], child]
    return steps.index_put((row, tokens[child]), values).view(*targets.shape, vocab_size)
