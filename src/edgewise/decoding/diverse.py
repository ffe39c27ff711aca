"""Diverse beam search for free text (Vijayakumar et al., arXiv 1610.02424), and plain beam search.

The beams are split into groups that take turns at every step: a later group pays
``diversity_penalty`` for each beam of an earlier group that has just chosen the same token (the
paper's Hamming diversity). As there, the penalty decides which tokens a group follows and is
forgotten afterwards; sequences compete by their mean log-likelihood. One group is the library's
``generate(num_beams=...)``; the library no longer carries several.

Legend: B prompts, G groups, W beams a group, V vocabulary, t tokens so far.
"""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import T5ForConditionalGeneration

from edgewise.decoding.texts import Choice, FinishedTexts, RunningTexts
from edgewise.decoding.tree_attention import NodeCache, PromptMemory, TreeDecoder
from edgewise.errors import ConfigError

_DEAD = float("-inf")


@torch.no_grad()
def diverse_beam_search(
    t5: T5ForConditionalGeneration,
    encoder_hidden: Tensor,
    encoder_mask: Tensor,
    num_beams: int = 21,
    num_groups: int = 3,
    diversity_penalty: float = 1.0,
    min_new_tokens: int = 10,
    max_new_tokens: int = 20,
    eos: int = 1,
    pad: int = 0,
    decoder_shift: Tensor | None = None,
) -> Tensor:
    """The likeliest text per token that diverse beam search finds.

    Args:
        t5: a stock model.
        encoder_hidden: ``float[B, S, D]``, the encoded prompts.
        encoder_mask: ``[B, S]``, 1 where a prompt has a token.
        num_beams: beams of all groups together.
        num_groups: 1 for plain beam search.
        diversity_penalty: log-likelihood a repeated token costs a later group.
        min_new_tokens: the end token is not allowed before so many others.
        max_new_tokens: the longest text, end token included.
        eos: the end token.
        pad: fills the rows behind their end.
        decoder_shift: ``[B, D]``, added to every decoder input of a prompt.

    Returns:
        ``int64[B, L]``, L the longest text found; no start token, the end token included.

    Raises:
        ConfigError: the beams cannot be split evenly, or the lengths contradict each other.
    """
    _check(num_beams, num_groups, min_new_tokens, max_new_tokens)
    decoder = TreeDecoder(t5)
    memory = decoder.remember(encoder_hidden, encoder_mask, decoder_shift)
    shape = (len(encoder_hidden), num_groups, num_beams // num_groups)
    running = RunningTexts.at_start(shape, decoder.start_token, encoder_hidden.device)
    finished = FinishedTexts.nothing(shape, max_new_tokens, pad, encoder_hidden.device)
    cache = NodeCache()
    for step in range(max_new_tokens):
        forbidden = eos if step < min_new_tokens else None
        log_probs = _next_log_probs(decoder, memory, cache, running, forbidden)
        choice = _choose(running, log_probs, shape[2], diversity_penalty, eos)
        finished = finished.joined_by(running, choice, is_last=step + 1 == max_new_tokens)
        running = running.continued(choice)
        finished = finished.closed_where_hopeless(running)
        if bool(finished.closed.all()):
            break
    return finished.best()


def _check(num_beams: int, num_groups: int, min_new_tokens: int, max_new_tokens: int) -> None:
    if num_groups < 1 or num_beams < num_groups or num_beams % num_groups:
        raise ConfigError(
            f"num_beams = {num_beams} cannot be split into num_groups = {num_groups} equal groups; "
            "choose a multiple, such as 21 beams in 3 groups"
        )
    if not 0 <= min_new_tokens <= max_new_tokens or max_new_tokens < 1:
        raise ConfigError(
            f"min_new_tokens = {min_new_tokens} and max_new_tokens = {max_new_tokens} contradict "
            "each other; choose 0 <= min_new_tokens <= max_new_tokens"
        )


def _next_log_probs(
    decoder: TreeDecoder,
    memory: PromptMemory,
    cache: NodeCache,
    running: RunningTexts,
    forbidden: int | None,
) -> Tensor:
    """``float32[B, G, W, V]``, minus infinity at a forbidden token."""
    hidden = decoder.decode(running.nodes, memory, cache)
    log_probs = decoder.logits(hidden).log_softmax(-1, dtype=torch.float32)
    if forbidden is not None:
        log_probs[:, forbidden] = _DEAD
    num_prompts, num_groups, num_beams = running.score.shape
    shared = 1 if running.num_cached == 0 else num_groups
    grouped = log_probs.view(num_prompts, shared, num_beams, -1)
    return grouped.expand(-1, num_groups, -1, -1)


def _choose(
    running: RunningTexts, log_probs: Tensor, num_beams: int, penalty: float, eos: int
) -> Choice:
    """Let the groups choose in turn, each paying for the tokens of those before it."""
    num_prompts, num_groups, _, vocab_size = log_probs.shape
    times_chosen = log_probs.new_zeros((num_prompts, vocab_size))
    parts: list[tuple[Tensor, ...]] = []
    for group in range(num_groups):
        total = running.score[:, group, :, None] + log_probs[:, group]
        part = _choose_in_group(total, penalty * times_chosen, num_beams, eos)
        token = part[5]
        times_chosen.scatter_add_(1, token, torch.ones_like(token, dtype=times_chosen.dtype))
        parts.append(part)
    return Choice(*(torch.stack(field, 1) for field in zip(*parts, strict=True)))


def _choose_in_group(
    total: Tensor, penalties: Tensor, num_beams: int, eos: int
) -> tuple[Tensor, ...]:
    """The fields of ``Choice`` for one group, from ``total[B, W, V]`` and ``penalties[B, V]``."""
    vocab_size = total.shape[-1]
    ranked = (total - penalties[:, None]).flatten(1)
    # Each text can end in one way only, so twice the beams hold enough that go on.
    ranked, place = ranked.topk(min(2 * num_beams, ranked.shape[1]), dim=1)
    score = total.flatten(1).gather(1, place)
    beam, token = place // vocab_size, place % vocab_size
    is_end = token == eos
    onward = ranked.masked_fill(is_end, _DEAD).topk(min(num_beams, ranked.shape[1]), dim=1)[1]
    following = (field.gather(1, onward) for field in (beam, token, score))
    return beam, token, score, is_end, *following
