"""Exact log-likelihoods of any candidates, different for every prompt, in one decoder pass."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from transformers import T5ForConditionalGeneration

from edgewise.decoding.edges import edge_log_probs, sibling_log_probs
from edgewise.decoding.forest import build_forest
from edgewise.decoding.tree_attention import PromptMemory, TreeDecoder
from edgewise.decoding.trie import PrefixTrie, TokenTable


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
    prompts_at_once: int = 8,
) -> list[np.ndarray]:
    """The log-likelihood of every candidate's spelling, end token included, given its prompt.

    A prompt's candidates form a prefix tree whose nodes are decoded together, so a prefix is
    decoded once however many candidates share it; the closing leaves are scored, never decoded.

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
        prompts_at_once: prompts whose trees are decoded together.

    Returns:
        B arrays ``float32``, aligned with ``candidate_items``.
    """
    decoder = TreeDecoder(t5)
    scores: list[np.ndarray] = []
    for start in range(0, len(candidate_items), prompts_at_once):
        rows = slice(start, start + prompts_at_once)
        shift = None if decoder_shift is None else decoder_shift[rows]
        memory = decoder.remember(encoder_hidden[rows], encoder_mask[rows], shift)
        block = candidate_items[rows]
        scores += _score_block(decoder, memory, table.trie, block, among_candidates)
    return scores


def _score_block(
    decoder: TreeDecoder,
    memory: PromptMemory,
    trie: PrefixTrie,
    candidate_items: Sequence[np.ndarray],
    among_candidates: bool,
) -> list[np.ndarray]:
    lengths = [len(row) for row in candidate_items]
    if not any(lengths):
        return [np.empty(0, dtype=np.float32) for _ in lengths]
    device = memory.keys[0].device
    forest = build_forest(trie, candidate_items, decoder.start_token, device)
    hidden = decoder.decode(forest.nodes, memory)
    step = sibling_log_probs if among_candidates else edge_log_probs
    edges = step(decoder, hidden, forest.edge_parent, forest.edge_token)
    log_probs = np.zeros(len(forest.is_edge), dtype=np.float32)
    log_probs[forest.is_edge] = edges.cpu().numpy()
    totals = log_probs[forest.paths].sum(axis=1)
    return np.split(totals, np.cumsum(lengths)[:-1])
