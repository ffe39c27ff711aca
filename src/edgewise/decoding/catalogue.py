"""The catalogue's prefix tree as a beam search walks it, less what is banned for each prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from edgewise.decoding.trie import PrefixTrie


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
