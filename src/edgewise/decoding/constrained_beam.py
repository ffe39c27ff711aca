"""The likeliest items of the catalogue, less those that the user has: ELMRec's eq. 12.

Section 4.2 of ELMRec (arXiv 2409.19979) finds that a sequential recommender likes to repeat the
history. Two ways around that, of one search:

* :func:`rerank` is the paper's: ask for ``k + N`` items, then filter the known ones and keep the
  order of the probabilities. A list stays short if more than N of its items were seen.
* ``beam_search(..., banned=seen)`` filters inside the search: seen items cost no room in the beam,
  so lists are full whenever enough unseen items exist: what a user of recommendations wants. With a
  beam as wide as the catalogue and N at least the longest history, both give the same lists.

The search walks the catalogue's prefix tree, so it finds only real items, none twice. A prompt's
beams are nodes of one tree: they share the encoded prompt, its cross-attention keys and the
self-attention keys of their common past, and nothing is copied from beam to beam. What all items
begin with is decoded at once.

Legend: B prompts, S prompt tokens, K list length, W beams of a prompt, R live beams of all prompts,
E ways to go on from them (children), D hidden, I items.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from transformers import T5ForConditionalGeneration

from edgewise.decoding.item_prior import node_bonus
from edgewise.decoding.step_scores import children, edge_log_probs, sibling_log_probs
from edgewise.decoding.t5_tree import NodeBatch, NodeCache, TreeDecoder
from edgewise.decoding.trie import PrefixTrie

_DEAD = float("-inf")


def rerank(
    items: np.ndarray, scores: np.ndarray, seen: Sequence[np.ndarray] | None, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """The k likeliest items of each list that the user has not interacted with (eq. 12).

    ``p(:k)(y | Y_<t, X) <- rerank(p(:k+N)(y | Y_<t, X))``: items keep the order of their
    probabilities, those seen are left out.

    Args:
        items: ``int64[B, k + N]``, -1 where a list is short.
        scores: ``float[B, k + N]``, log-likelihoods.
        seen: B arrays of item indices; none leaves seen items in, the paper's ablation "w/o
            reranking".
        k: the number of items wanted.

    Returns:
        Items ``int64[B, k]``, -1 where fewer are left, and their scores, minus infinity there.
    """
    keep = items >= 0
    if seen is not None:
        keep &= ~_contained(items, seen)
    ranked = np.where(keep, scores, -np.inf)
    order = np.argsort(-ranked, axis=1, kind="stable")[:, :k]
    kept_items = np.take_along_axis(np.where(keep, items, -1), order, 1)
    kept_scores = np.take_along_axis(ranked, order, 1).astype(scores.dtype)
    missing = ((0, 0), (0, k - order.shape[1]))
    return (
        np.pad(kept_items, missing, constant_values=-1),
        np.pad(kept_scores, missing, constant_values=-np.inf),
    )


def _contained(items: np.ndarray, sets: Sequence[np.ndarray]) -> np.ndarray:
    """``bool[B, M]``: whether each item stands in its row's set."""
    lengths = [len(row) for row in sets]
    flat = np.concatenate([*sets, np.empty(0, dtype=np.int64)]).astype(np.int64)
    size = 1 + max(items.max(initial=0), flat.max(initial=0))
    rows = np.arange(len(items))
    return np.isin(rows[:, None] * size + items, np.repeat(rows, lengths) * size + flat)


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
        pointed: ``float[B, I]``, a score of every item. Given, every step is normalised over the
            catalogue's continuations instead of the vocabulary, and its prior
            (:mod:`~edgewise.decoding.item_prior`) is added to its logit.
        strength: of the language model's logits beside the priors.

    Returns:
        Items ``int64[B, K]`` and log-likelihoods ``float32[B, K]``. Where fewer than K items exist
        the rest is -1 and minus infinity.
    """
    decoder = TreeDecoder(t5)
    memory = decoder.remember(encoder_hidden, encoder_mask, decoder_shift)
    tree = CatalogueTree.build(trie, banned, encoder_hidden.device)
    width = max(num_beams, num_results)
    beams = _Beams.at_first_choice(len(encoder_hidden), tree, decoder.start_token)
    found = _Found.nothing(len(encoder_hidden), num_results, encoder_hidden.device)
    bonus = None if pointed is None else node_bonus(trie, pointed)
    cache = NodeCache()
    while beams.num_alive:
        hidden = strength * decoder.decode(beams.inputs, memory, cache)
        edges = _grow(decoder, hidden, tree, beams, bonus)
        found = found.joined_by(edges, tree)
        beams = _next_beams(beams, edges, tree, found, width)
    return found.items.cpu().numpy(), found.scores.cpu().numpy()


@dataclass(frozen=True)
class CatalogueTree:
    """The catalogue's tree as tensors, with the (prompt, node) pairs that banning has emptied.

    Attributes:
        token, child_offsets, item: of :class:`~edgewise.decoding.trie.PrefixTrie`.
        emptied: of :func:`emptied_nodes`; empty where nothing is banned.
    """

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

    def beginning(self) -> Tensor:
        """The root and the nodes below it that every item passes, ``int64[L]``."""
        passed = [0]
        while True:
            first, last = self.child_offsets[passed[-1] : passed[-1] + 2].tolist()
            if last - first != 1 or int(self.item[first]) >= 0:
                return torch.tensor(passed, device=self.token.device)
            passed.append(first)


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


@dataclass(frozen=True)
class _Beams:
    """Live prefixes, those of prompt 0 first; all prompts' beams stand in one flat row.

    Attributes:
        prompt: ``int64[R]``, never decreasing.
        node: ``int64[R]``, where in the catalogue's tree a beam stands.
        score: ``float32[R]``, log-likelihood so far.
        inputs: the same beams as the decoder wants them; before them, at the start, the nodes
            on the way to the first choice.
        num_cached: nodes decoded before these.
    """

    prompt: Tensor
    node: Tensor
    score: Tensor
    inputs: NodeBatch
    num_cached: int

    @classmethod
    def at_first_choice(cls, num_prompts: int, tree: CatalogueTree, start_token: int) -> _Beams:
        """One beam a prompt, at the end of what all items begin with."""
        prompt = torch.arange(num_prompts, device=tree.token.device)
        prompt = prompt[~tree.is_emptied(prompt, torch.zeros_like(prompt))]
        chain = tree.beginning()
        count, length = len(prompt), len(chain)
        # Step by step, so that the beams are the last rows.
        depths = torch.arange(length, device=prompt.device).repeat_interleave(count)
        row = torch.arange(count * length, device=prompt.device)
        steps_up = torch.arange(length, device=prompt.device)
        ancestors = (row[:, None] - count * steps_up).clamp(min=0)
        tokens = tree.token[chain].index_fill(0, chain.new_zeros(1), start_token)
        slots = prompt.repeat(length) * length + depths
        inputs = NodeBatch(tokens[depths], ancestors, depths, slots, length)
        score = torch.zeros(count, device=prompt.device)
        return cls(prompt, chain[-1].expand(count), score, inputs, 0)

    @property
    def num_alive(self) -> int:
        return len(self.node)

    @property
    def num_passed(self) -> int:
        """Rows of the inputs that stand before the beams' own: nodes with one way to go on."""
        return len(self.inputs.tokens) - self.num_alive


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
    tree: CatalogueTree,
    beams: _Beams,
    bonus: Tensor | None,
) -> _Edges:
    """Score all children of the live beams, which are the last of the decoded ``[R, D]``.

    ``bonus``, ``[B, nodes]``, holds the prior of every node of the tree, or is None.
    """
    beam, node = children(tree.child_offsets, beams.node)
    prompt, before = beams.prompt[beam], beams.score
    if bonus is None:
        passed = beams.num_passed
        row = torch.cat([torch.arange(passed, device=beam.device), beam + passed])
        token = torch.cat([beams.inputs.tokens[beams.num_alive :], tree.token[node]])
        forced, log_probs = edge_log_probs(decoder, hidden, row, token).split([passed, len(node)])
        # Each beam has passed as many; a node's one child stands behind it by the number of beams.
        before = before + forced.view(-1, beams.num_alive).sum(0) if passed else before
    else:
        own, token = hidden[beams.num_passed :], tree.token[node]
        log_probs = sibling_log_probs(decoder, own, beam, token, bonus[prompt, node])
    allowed = ~tree.is_emptied(prompt, node)
    score = before[beam] + log_probs
    return _Edges(beam[allowed], prompt[allowed], node[allowed], score[allowed])


@dataclass(frozen=True)
class _Found:
    """The best complete items so far: ``int64[B, K]`` and ``float32[B, K]``, best first."""

    items: Tensor
    scores: Tensor

    @classmethod
    def nothing(cls, num_prompts: int, k: int, device: torch.device) -> _Found:
        items = torch.full((num_prompts, k), -1, device=device)
        return cls(items, torch.full((num_prompts, k), _DEAD, device=device))

    def joined_by(self, edges: _Edges, tree: CatalogueTree) -> _Found:
        """Take in the edges that end in a leaf."""
        leaf = tree.item[edges.node] >= 0
        if not bool(leaf.any()):
            return self
        num_prompts, k = self.items.shape
        items = tree.item[edges.node[leaf]]
        scores, places = _best_of_each(edges.prompt[leaf], edges.score[leaf], num_prompts, k)
        new_items = torch.where(scores > _DEAD, items[places], -1)
        scores, order = torch.cat([self.scores, scores], 1).topk(k, dim=1)
        return _Found(torch.cat([self.items, new_items], 1).gather(1, order), scores)


def _next_beams(
    beams: _Beams, edges: _Edges, tree: CatalogueTree, found: _Found, width: int
) -> _Beams:
    """Keep the likeliest prefixes that can still beat what is found."""
    num_prompts = len(found.items)
    # A prefix only loses likelihood on its way to a leaf.
    hopeful = edges.score > found.scores[:, -1][edges.prompt]
    going = torch.nonzero((tree.item[edges.node] < 0) & hopeful).squeeze(1)
    scores, places = _best_of_each(edges.prompt[going], edges.score[going], num_prompts, width)
    alive = scores > _DEAD
    chosen = going[places[alive]]
    prompt, slot = torch.nonzero(alive, as_tuple=True)
    node = edges.node[chosen]
    num_cached = beams.num_cached + len(beams.inputs.tokens)
    row = num_cached + torch.arange(len(chosen), device=chosen.device)
    parent = beams.num_passed + edges.beam[chosen]
    ancestors = torch.cat([row[:, None], beams.inputs.ancestors[parent]], 1)
    depths = beams.inputs.depths[parent] + 1
    inputs = NodeBatch(tree.token[node], ancestors, depths, prompt * width + slot, width)
    return _Beams(prompt, node, scores[alive], inputs, num_cached)


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
