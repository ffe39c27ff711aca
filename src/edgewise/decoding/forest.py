"""The prefix trees of different candidates for different prompts, laid end to end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from edgewise.decoding.tree_attention import NodeBatch
from edgewise.decoding.trie import PrefixTrie


@dataclass(frozen=True)
class CandidateForest:
    """One prefix tree a prompt, cut out of the catalogue's tree and laid end to end.

    Attributes:
        nodes: what the decoder gets, R inner nodes.
        edge_parent: ``int64[M]``, each node's parent as a row of ``nodes``, never decreasing.
        edge_token: ``int64[M]``, the token from the parent to the node.
        edge_node: ``int64[M]``, the node in the catalogue's tree.
        node, prompt: ``int64[R]``, of each of ``nodes`` the place in the catalogue's tree and the
            prompt.
        is_edge: ``bool[M + roots]``, false at roots.
        paths: ``int64[C, T + 1]``, for every candidate the nodes on its path.
    """

    nodes: NodeBatch
    edge_parent: Tensor
    edge_token: Tensor
    edge_node: Tensor
    node: Tensor
    prompt: Tensor
    is_edge: np.ndarray
    paths: np.ndarray


def build_forest(
    trie: PrefixTrie,
    candidate_items: Sequence[np.ndarray],
    start_token: int,
    device: torch.device,
) -> CandidateForest:
    """Cut every prompt's tree out of the catalogue's by one sort of (prompt, node) pairs."""
    lengths = np.array([len(row) for row in candidate_items])
    prompt = np.repeat(np.arange(len(lengths)), lengths)
    items = np.concatenate(candidate_items).astype(np.int64)
    keys = prompt[:, None] * trie.num_nodes + trie.item_paths[items]
    keys, paths = np.unique(keys, return_inverse=True)
    owner, node = np.divmod(keys, trie.num_nodes)

    # Sorted pairs keep the catalogue's breadth-first order, so parents come first and in order.
    inner = trie.node_item[node] < 0
    row = np.cumsum(inner) - 1
    parent = row[np.searchsorted(keys, owner * trie.num_nodes + trie.node_parent[node])]
    is_edge = node > 0
    nodes = _inner_nodes(trie, node[inner], owner[inner], parent[inner], start_token, device)
    return CandidateForest(
        nodes=nodes,
        edge_parent=torch.from_numpy(parent[is_edge]).to(device),
        edge_token=torch.from_numpy(trie.node_token[node[is_edge]]).to(device),
        edge_node=torch.from_numpy(node[is_edge]).to(device),
        node=torch.from_numpy(node[inner]).to(device),
        prompt=torch.from_numpy(owner[inner]).to(device),
        is_edge=is_edge,
        paths=paths.reshape(len(items), -1),
    )


def _inner_nodes(
    trie: PrefixTrie,
    node: np.ndarray,
    owner: np.ndarray,
    parent: np.ndarray,
    start_token: int,
    device: torch.device,
) -> NodeBatch:
    depths = trie.node_depth[node]
    ancestors = [np.arange(len(node))]
    for _ in range(depths.max()):
        ancestors.append(parent[ancestors[-1]])
    counts = np.bincount(owner)
    width = int(counts.max())
    place = np.arange(len(node)) - np.repeat(np.cumsum(counts) - counts, counts)
    arrays = (
        np.where(node > 0, trie.node_token[node], start_token),
        np.stack(ancestors, axis=1),
        depths,
        owner * width + place,
    )
    return NodeBatch(*(torch.from_numpy(array).to(device) for array in arrays), width=width)
