"""Exact log-likelihoods of any candidates, different for every prompt, in one decoder pass."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from transformers import T5ForConditionalGeneration

from edgewise.decoding.edges import edge_log_probs, sibling_log_probs
from edgewise.decoding.forest import CandidateForest, build_forest
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
    pointed: Tensor | None = None,
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
        pointed: ``float[B, C]``, with ``among_candidates`` a bonus of each candidate; a step gets
            the log of the summed ``exp`` of the bonuses it leads to.
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
        bonus = None if pointed is None else _joined(pointed[rows], block)
        scores += _score_block(decoder, memory, table.trie, block, among_candidates, bonus)
    return scores


def _score_block(
    decoder: TreeDecoder,
    memory: PromptMemory,
    trie: PrefixTrie,
    candidate_items: Sequence[np.ndarray],
    among_candidates: bool,
    bonus: np.ndarray | None,
) -> list[np.ndarray]:
    lengths = [len(row) for row in candidate_items]
    if not any(lengths):
        return [np.empty(0, dtype=np.float32) for _ in lengths]
    device = memory.keys[0].device
    forest = build_forest(trie, candidate_items, decoder.start_token, device)
    hidden = decoder.decode(forest.nodes, memory)
    arguments = (decoder, hidden, forest.edge_parent, forest.edge_token)
    if among_candidates:
        extra = None if bonus is None else _edge_bonus(forest, bonus).to(device)
        edges = sibling_log_probs(*arguments, extra)
    else:
        edges = edge_log_probs(*arguments)
    log_probs = np.zeros(len(forest.is_edge), dtype=np.float32)
    log_probs[forest.is_edge] = edges.cpu().numpy()
    totals = log_probs[forest.paths].sum(axis=1)
    return np.split(totals, np.cumsum(lengths)[:-1])


def _joined(pointed: Tensor, candidate_items: Sequence[np.ndarray]) -> np.ndarray:
    """The bonuses of all candidates of some prompts, without padding."""
    rows = pointed.cpu().numpy()
    return np.concatenate([r[: len(c)] for r, c in zip(rows, candidate_items, strict=True)])


def _edge_bonus(forest: CandidateForest, bonus: np.ndarray) -> Tensor:
    """The log of the summed ``exp`` of the bonuses that each edge leads to, ``float32[M]``."""
    highest = bonus.max()
    # A candidate closed early repeats its leaf on its path; it counts once.
    paths = forest.paths
    new = np.concatenate([np.ones_like(paths[:, :1]), paths[:, 1:] != paths[:, :-1]], axis=1) > 0
    weights = np.broadcast_to(np.exp(bonus - highest)[:, None], paths.shape)
    total = np.bincount(paths[new], weights[new], minlength=len(forest.is_edge))
    with np.errstate(divide="ignore"):
        return torch.from_numpy((np.log(total) + highest)[forest.is_edge].astype(np.float32))
