"""Exact log-likelihoods of any candidates, different for every prompt, in one decoder pass.

A prompt's candidates form a prefix tree whose nodes are decoded together, so a prefix is decoded
once however many candidates share it; the closing leaves are scored, never decoded. The trees of
several prompts are laid end to end: a :class:`CandidateForest`.

Legend: B prompts, S prompt tokens, T longest spelling, C candidates, I items, D hidden; R inner
nodes and M edges of the forest, N nodes of the catalogue's tree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from edgewise.decoding.item_prior import node_bonus
from edgewise.decoding.step_scores import children, edge_log_probs, sibling_log_probs
from edgewise.decoding.t5_tree import NodeBatch, TreeDecoder
from edgewise.decoding.trie import PrefixTrie, TokenTable

if TYPE_CHECKING:
    from transformers import T5ForConditionalGeneration


@torch.no_grad()
def score_candidates(
    t5: T5ForConditionalGeneration,
    encoder_hidden: Tensor,
    encoder_mask: Tensor,
    table: TokenTable,
    candidate_items: Sequence[np.ndarray],
    *,
    decoder_shift: Tensor | None = None,
    among_candidates: bool = False,
    pointed: Tensor | None = None,
    pointed_items: Tensor | None = None,
    strength: float = 1.0,
    prompts_at_once: int = 8,
) -> list[np.ndarray]:
    """The log-likelihood of every candidate's spelling, end token included, given its prompt.

    Args:
        t5: a stock model; its dropout stays off in any mode.
        encoder_hidden: ``float[B, S, D]``, the encoded prompts.
        encoder_mask: ``[B, S]``, 1 where a prompt has a token.
        table: how items are spelled.
        candidate_items: B arrays of item indices, of any lengths.
        decoder_shift: ``[B, D]``, added to every decoder input of a prompt.
        among_candidates: give the likelihood under the condition that the answer is one of the
            candidates: every step is normalised over the continuations that lead to one, not over
            the vocabulary.
        pointed: ``float[B, C]``, with ``among_candidates`` a score of each candidate, whose prior
            (:mod:`~edgewise.decoding.item_prior`) is added to the steps' logits.
        pointed_items: ``float[B, I]``, such a score of every item; every step is then normalised
            over the catalogue's continuations, as in
            :func:`~edgewise.decoding.constrained_beam.beam_search`.
        strength: of the language model's logits beside the priors.
        prompts_at_once: prompts whose trees are decoded together.

    Returns:
        B arrays ``float32``, aligned with ``candidate_items``.
    """
    decoder = TreeDecoder(t5)
    scores: list[np.ndarray] = []
    for start in range(0, len(candidate_items), prompts_at_once):
        rows = slice(start, start + prompts_at_once)
        block = candidate_items[rows]
        if not any(map(len, block)):
            scores += [np.empty(0, dtype=np.float32) for _ in block]
            continue
        shift, own, all_items = (
            None if part is None else part[rows] for part in (decoder_shift, pointed, pointed_items)
        )
        memory = decoder.remember(encoder_hidden[rows], encoder_mask[rows], shift)
        forest = build_forest(table.trie, block, decoder.start_token, encoder_hidden.device)
        hidden = strength * decoder.decode(forest.nodes, memory)
        if all_items is not None:
            bonus = node_bonus(table.trie, all_items)
            steps = _catalogue_log_probs(decoder, hidden, forest, table.trie, bonus)
        elif among_candidates:
            prior = None if own is None else _edge_bonus(forest, _joined(own, block))
            steps = sibling_log_probs(decoder, hidden, forest.edge_parent, forest.edge_token, prior)
        else:
            steps = edge_log_probs(decoder, hidden, forest.edge_parent, forest.edge_token)
        scores += _summed_along_paths(forest, steps, block)
    return scores


@dataclass(frozen=True)
class CandidateForest:
    """One prefix tree a prompt, cut out of the catalogue's tree and laid end to end.

    Attributes:
        nodes: what the decoder gets, R inner nodes.
        node, prompt: ``int64[R]``, of each of ``nodes`` the place in the catalogue's tree and the
            prompt.
        edge_parent: ``int64[M]``, each edge's parent as a row of ``nodes``, never decreasing.
        edge_token: ``int64[M]``, the token from the parent to the child.
        edge_node: ``int64[M]``, the child in the catalogue's tree.
        is_edge: ``bool[M + roots]``, of all nodes, leaves too: false at roots.
        paths: ``int64[C, T + 1]``, for every candidate the nodes on its path, numbered as
            ``is_edge`` is.
    """

    nodes: NodeBatch
    node: Tensor
    prompt: Tensor
    edge_parent: Tensor
    edge_token: Tensor
    edge_node: Tensor
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
    arrays = {
        "node": node[inner],
        "prompt": owner[inner],
        "edge_parent": parent[is_edge],
        "edge_token": trie.node_token[node[is_edge]],
        "edge_node": node[is_edge],
    }
    tensors = {name: torch.from_numpy(array).to(device) for name, array in arrays.items()}
    return CandidateForest(nodes, **tensors, is_edge=is_edge, paths=paths.reshape(len(items), -1))


def _inner_nodes(
    trie: PrefixTrie,
    node: np.ndarray,
    owner: np.ndarray,
    parent: np.ndarray,
    start_token: int,
    device: torch.device,
) -> NodeBatch:
    """The forest's inner nodes as the decoder wants them; ``node``, ... are ``int64[R]``."""
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


def _catalogue_log_probs(
    decoder: TreeDecoder, hidden: Tensor, forest: CandidateForest, trie: PrefixTrie, bonus: Tensor
) -> Tensor:
    """``log p(edge | parent, the parent's children in the catalogue)``, ``float32[M]``.

    Args:
        decoder: whose output layer is asked.
        hidden: ``[R, D]``, the decoded inner nodes of the forest.
        forest: of the candidates.
        trie: of the catalogue.
        bonus: ``[B, N]``, the priors of the catalogue's nodes.
    """
    offsets = torch.from_numpy(trie.child_offsets).to(hidden.device)
    tokens = torch.from_numpy(trie.node_token).to(hidden.device)
    parent, child = children(offsets, forest.node)
    log_probs = sibling_log_probs(
        decoder, hidden, parent, tokens[child], bonus[forest.prompt[parent], child]
    )
    # Siblings have consecutive numbers, so an edge stands as far behind its parent's first child.
    first_child = offsets[forest.node][forest.edge_parent]
    first_place = torch.searchsorted(parent, forest.edge_parent)
    return log_probs[first_place + forest.edge_node - first_child]


def _edge_bonus(forest: CandidateForest, scores: np.ndarray) -> Tensor:
    """The prior of each edge's child among the candidates, ``float32[M]``.

    That is :func:`~edgewise.decoding.item_prior.node_bonus` in the forest's own trees.

    Args:
        forest: of the candidates.
        scores: of the candidates, ``float[C]``.
    """
    # A candidate closed early repeats its leaf on its path; it counts once.
    paths = forest.paths
    new = np.concatenate([np.ones_like(paths[:, :1]), paths[:, 1:] != paths[:, :-1]], axis=1) > 0
    edge, values = paths[new], np.broadcast_to(scores.astype(np.float64)[:, None], paths.shape)[new]
    highest = np.full(len(forest.is_edge), -np.inf)
    np.maximum.at(highest, edge, values)
    total = np.bincount(edge, np.exp(values - highest[edge]), minlength=len(forest.is_edge))
    summed = np.log(total[forest.is_edge]) + highest[forest.is_edge]
    return torch.from_numpy(summed.astype(np.float32)).to(forest.edge_token.device)


def _joined(pointed: Tensor, candidate_items: Sequence[np.ndarray]) -> np.ndarray:
    """The scores of all candidates of some prompts, without padding, ``float[C]``."""
    rows = pointed.cpu().numpy()
    return np.concatenate([r[: len(c)] for r, c in zip(rows, candidate_items, strict=True)])


def _summed_along_paths(
    forest: CandidateForest, steps: Tensor, candidate_items: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """Each candidate's log-likelihood from those of its steps ``float32[M]``."""
    log_probs = np.zeros(len(forest.is_edge), dtype=np.float32)
    log_probs[forest.is_edge] = steps.cpu().numpy()
    totals = log_probs[forest.paths].sum(axis=1)
    return np.split(totals, np.cumsum([len(row) for row in candidate_items])[:-1])
