"""Beam search over the catalogue's prefix tree: only real items, none twice, none that is banned.

A prompt's beams are nodes of one tree, so they share the encoded prompt, its cross-attention keys
and the self-attention keys of their common past; nothing is copied from beam to beam.

Legend: B prompts, W beams, E ways to go on (children of live beams) of all prompts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from transformers import T5ForConditionalGeneration

from edgewise.decoding.catalogue import CatalogueTree, node_bonus
from edgewise.decoding.edges import edge_log_probs, sibling_log_probs
from edgewise.decoding.tree_attention import NodeBatch, NodeCache, TreeDecoder
from edgewise.decoding.trie import PrefixTrie

_DEAD = float("-inf")


@torch.no_grad()
def beam_search(
    t5: T5ForConditionalGeneration,
    encoder_hidden: Tensor,
    encoder_mask: Tensor,
    trie: PrefixTrie,
    num_beams: int = 20,
    num_results: int = 20,
    banned: Sequence[np.ndarray] | None = None,
    decoder_shift: Tensor | None = None,
    pointed: Tensor | None = None,
    strength: float = 1.0,
) -> tuple[np.ndarray, np.ndarray]:
    """The items a beam search finds most likely, best first.

    At every depth the beam keeps the likeliest unfinished prefixes; an item whose spelling is
    complete leaves the beam and competes by its full log-likelihood, whatever its length. With a
    beam as wide as the catalogue the result is the exhaustive ranking.

    Args:
        t5: a stock model; its dropout stays off in any mode.
        encoder_hidden: ``float[B, S, D]``, the encoded prompts.
        encoder_mask: ``[B, S]``, 1 where a prompt has a token.
        trie: the catalogue.
        num_beams: prefixes kept at each depth; at least ``num_results`` are kept.
        num_results: K, the longest list wanted.
        banned: B arrays of item indices that must not be found. Prefixes with no other item left
            are cut, so banned items cost no room in the beam.
        decoder_shift: ``[B, D]``, added to every decoder input of a prompt.
        pointed: ``float[B, I]``, a bonus of every item. Given, every step is normalised over the
            catalogue's continuations instead of the vocabulary, and gets the log of the summed
            ``exp`` of the bonuses it leads to.
        strength: of the language model's logits beside the bonuses.

    Returns:
        Items ``int64[B, K]`` and log-likelihoods ``float32[B, K]``. Where fewer than K items exist
        the rest is -1 and minus infinity.
    """
    decoder = TreeDecoder(t5)
    memory = decoder.remember(encoder_hidden, encoder_mask, decoder_shift)
    graph = CatalogueTree.build(trie, banned, encoder_hidden.device)
    width = max(num_beams, num_results)
    beams = _Beams.at_root(len(encoder_hidden), graph, decoder.start_token)
    found = _Found.nothing(len(encoder_hidden), num_results, encoder_hidden.device)
    bonus = None if pointed is None else node_bonus(trie, pointed)
    cache = NodeCache()
    while beams.num_alive:
        hidden = strength * decoder.decode(beams.inputs, memory, cache)
        edges = _grow(decoder, hidden, graph, beams, bonus)
        found = found.joined_by(edges, graph)
        beams = _next_beams(beams, edges, graph, found, width)
    return found.items.cpu().numpy(), found.scores.cpu().numpy()


@dataclass(frozen=True)
class _Beams:
    """Live prefixes, those of prompt 0 first; all prompts' beams stand in one flat row.

    Attributes:
        prompt: ``int64[R]``, never decreasing.
        node: ``int64[R]``, where in the catalogue's tree a beam stands.
        score: ``float32[R]``, log-likelihood so far.
        inputs: the same beams as the decoder wants them.
        num_cached: nodes decoded before these.
    """

    prompt: Tensor
    node: Tensor
    score: Tensor
    inputs: NodeBatch
    num_cached: int

    @classmethod
    def at_root(cls, num_prompts: int, graph: CatalogueTree, start_token: int) -> _Beams:
        prompt = torch.arange(num_prompts, device=graph.token.device)
        prompt = prompt[~graph.is_emptied(prompt, torch.zeros_like(prompt))]
        root = torch.zeros_like(prompt)
        row = torch.arange(len(prompt), device=prompt.device)
        inputs = NodeBatch(torch.full_like(root, start_token), row[:, None], root, prompt, 1)
        return cls(prompt, root, torch.zeros(len(root), device=root.device), inputs, 0)

    @property
    def num_alive(self) -> int:
        return len(self.node)


@dataclass(frozen=True)
class _Edges:
    """Every way to go on from the live beams.

    Attributes:
        beam: ``int64[E]``, row of the beam.
        prompt: ``int64[E]``, never decreasing.
        node: ``int64[E]``, the child.
        score: ``float32[E]``, log-likelihood up to and including the child.
    """

    beam: Tensor
    prompt: Tensor
    node: Tensor
    score: Tensor


def _grow(
    decoder: TreeDecoder,
    hidden: Tensor,
    graph: CatalogueTree,
    beams: _Beams,
    bonus: Tensor | None,
) -> _Edges:
    """Score all children of the live beams, whose decoded states are ``[R, D]``."""
    first = graph.child_offsets[beams.node]
    counts = graph.child_offsets[beams.node + 1] - first
    beam = torch.repeat_interleave(counts)
    ahead = torch.cumsum(counts, 0) - counts
    node = torch.arange(len(beam), device=beam.device) + (first - ahead)[beam]
    prompt = beams.prompt[beam]
    if bonus is None:
        log_probs = edge_log_probs(decoder, hidden, beam, graph.token[node])
    else:
        log_probs = sibling_log_probs(decoder, hidden, beam, graph.token[node], bonus[prompt, node])
    allowed = ~graph.is_emptied(prompt, node)
    score = beams.score[beam] + log_probs
    return _Edges(beam[allowed], prompt[allowed], node[allowed], score[allowed])


def _best_of_each(prompt: Tensor, score: Tensor, num_prompts: int, k: int) -> tuple[Tensor, Tensor]:
    """The k best entries of each prompt: their scores and places ``[B, k]``, -inf where none."""
    counts = torch.bincount(prompt, minlength=num_prompts)
    starts = torch.cumsum(counts, 0) - counts
    width = max(k, int(counts.max()))
    place = torch.arange(len(prompt), device=prompt.device) - starts[prompt]
    dense = score.new_full((num_prompts, width), _DEAD)
    dense[prompt, place] = score
    best, column = dense.topk(k, dim=1)
    return best, (starts[:, None] + column).clamp_(max=max(len(prompt) - 1, 0))


@dataclass(frozen=True)
class _Found:
    """The best complete items so far: ``int64[B, K]`` and ``float32[B, K]``, best first."""

    items: Tensor
    scores: Tensor

    @classmethod
    def nothing(cls, num_prompts: int, k: int, device: torch.device) -> _Found:
        items = torch.full((num_prompts, k), -1, device=device)
        return cls(items, torch.full((num_prompts, k), _DEAD, device=device))

    def joined_by(self, edges: _Edges, graph: CatalogueTree) -> _Found:
        """Take in the edges that end in a leaf."""
        leaf = graph.item[edges.node] >= 0
        if not bool(leaf.any()):
            return self
        num_prompts, k = self.items.shape
        items = graph.item[edges.node[leaf]]
        scores, places = _best_of_each(edges.prompt[leaf], edges.score[leaf], num_prompts, k)
        new_items = torch.where(scores > _DEAD, items[places], -1)
        scores, order = torch.cat([self.scores, scores], 1).topk(k, dim=1)
        return _Found(torch.cat([self.items, new_items], 1).gather(1, order), scores)


def _next_beams(
    beams: _Beams, edges: _Edges, graph: CatalogueTree, found: _Found, width: int
) -> _Beams:
    """Keep the likeliest prefixes that can still beat what is found."""
    num_prompts = len(found.items)
    # A prefix only loses likelihood on its way to a leaf.
    hopeful = edges.score > found.scores[:, -1][edges.prompt]
    going = torch.nonzero((graph.item[edges.node] < 0) & hopeful).squeeze(1)
    scores, places = _best_of_each(edges.prompt[going], edges.score[going], num_prompts, width)
    alive = scores > _DEAD
    chosen = going[places[alive]]
    prompt, slot = torch.nonzero(alive, as_tuple=True)
    node = edges.node[chosen]
    num_cached = beams.num_cached + beams.num_alive
    row = num_cached + torch.arange(len(chosen), device=chosen.device)
    ancestors = torch.cat([row[:, None], beams.inputs.ancestors[edges.beam[chosen]]], 1)
    depths = beams.inputs.depths[edges.beam[chosen]] + 1
    inputs = NodeBatch(graph.token[node], ancestors, depths, prompt * width + slot, width)
    return _Beams(prompt, node, scores[alive], inputs, num_cached)
