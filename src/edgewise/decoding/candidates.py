"""Exact log-likelihoods of any candidates, different for every prompt, in one decoder pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from transformers import T5ForConditionalGeneration

from edgewise.decoding.tree_attention import NodeBatch, PromptMemory, TreeDecoder
from edgewise.decoding.trie import PrefixTrie, TokenTable

# So many logits stay in a processor's cache between product and sum; a GPU wants large products.
_LOGITS_AT_ONCE = {"cpu": 1 << 19, "cuda": 1 << 26}


@torch.no_grad()
def score_candidates(
    t5: T5ForConditionalGeneration,
    encoder_hidden: Tensor,
    encoder_mask: Tensor,
    table: TokenTable,
    candidate_items: Sequence[np.ndarray],
    *,
    prompts_at_once: int = 8,
) -> list[np.ndarray]:
    """The log-likelihood of every candidate's spelling, end token included, given its prompt.

    A prompt's candidates form a prefix tree whose nodes are decoded together, so a prefix is
    decoded once however many candidates share it; the closing leaves are scored, never decoded.

    Args:
        t5: a stock model, in evaluation mode.
        encoder_hidden: ``float[B, S, D]``, the encoded prompts.
        encoder_mask: ``[B, S]``, 1 where a prompt has a token.
        table: how items are spelled.
        candidate_items: B arrays of item indices, of any lengths.
        prompts_at_once: prompts whose trees are decoded together.

    Returns:
        B arrays ``float32``, aligned with ``candidate_items``.
    """
    decoder = TreeDecoder(t5)
    scores: list[np.ndarray] = []
    for start in range(0, len(candidate_items), prompts_at_once):
        rows = slice(start, start + prompts_at_once)
        memory = decoder.remember(encoder_hidden[rows], encoder_mask[rows])
        scores += _score_block(decoder, memory, table.trie, candidate_items[rows])
    return scores


@dataclass(frozen=True)
class CandidateForest:
    """One prefix tree a prompt, cut out of the catalogue's tree and laid end to end.

    Attributes:
        nodes: what the decoder gets, R inner nodes.
        edge_parent: ``int64[M]``, each node's parent as a row of ``nodes``, never decreasing.
        edge_token: ``int64[M]``, the token from the parent to the node.
        is_edge: ``bool[M + roots]``, false at roots.
        paths: ``int64[C, T + 1]``, for every candidate the nodes on its path.
    """

    nodes: NodeBatch
    edge_parent: Tensor
    edge_token: Tensor
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


def edge_log_probs(decoder: TreeDecoder, hidden: Tensor, parent: Tensor, token: Tensor) -> Tensor:
    """``log p(token | parent)`` of every edge, without ever holding all logits.

    Args:
        decoder: whose output layer is asked.
        hidden: ``[R, D]``, decoded nodes.
        parent: ``int64[M]``, rows of ``hidden``, never decreasing.
        token: ``int64[M]``.

    Returns:
        ``float32[M]``.
    """
    budget = _LOGITS_AT_ONCE.get(hidden.device.type, 1 << 26)
    rows_at_once = max(1, budget // decoder.t5.config.vocab_size)
    starts = torch.arange(0, len(hidden) + rows_at_once, rows_at_once, device=hidden.device)
    bounds = torch.searchsorted(parent, starts).tolist()
    found = []
    for index, (first, last) in enumerate(zip(bounds[:-1], bounds[1:], strict=True)):
        start = index * rows_at_once
        logits = decoder.logits(hidden[start : start + rows_at_once])
        log_probs = logits.log_softmax(-1, dtype=torch.float32)
        found.append(log_probs[parent[first:last] - start, token[first:last]])
    return torch.cat(found)


def _score_block(
    decoder: TreeDecoder,
    memory: PromptMemory,
    trie: PrefixTrie,
    candidate_items: Sequence[np.ndarray],
) -> list[np.ndarray]:
    lengths = [len(row) for row in candidate_items]
    if not any(lengths):
        return [np.empty(0, dtype=np.float32) for _ in lengths]
    device = memory.keys[0].device
    forest = build_forest(trie, candidate_items, decoder.start_token, device)
    hidden = decoder.decode(forest.nodes, memory)
    edges = edge_log_probs(decoder, hidden, forest.edge_parent, forest.edge_token)
    log_probs = np.zeros(len(forest.is_edge), dtype=np.float32)
    log_probs[forest.is_edge] = edges.cpu().numpy()
    totals = log_probs[forest.paths].sum(axis=1)
    return np.split(totals, np.cumsum(lengths)[:-1])
