"""Diverse beam search for free text (Vijayakumar et al., arXiv 1610.02424), and plain beam search.

The beams are split into groups that take turns at every step: a later group pays
``diversity_penalty`` for each beam of an earlier group that has just chosen the same token (the
paper's Hamming diversity). As there, the penalty decides which tokens a group follows and is
forgotten afterwards; sequences compete by their mean log-likelihood. One group is the library's
``generate(num_beams=...)``; the library no longer carries several.

Legend: B prompts, S prompt tokens, G groups, W beams a group, V vocabulary, t tokens so far, k
continuations a group looks at, D hidden.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from edgewise.decoding.t5_tree import NodeBatch, NodeCache, PromptMemory, TreeDecoder
from edgewise.errors import ConfigError

if TYPE_CHECKING:
    from transformers import T5ForConditionalGeneration

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


@dataclass(frozen=True)
class RunningTexts:
    """Unfinished texts.

    Attributes:
        tokens: ``int64[B, G, W, t]``.
        score: ``float32[B, G, W]``, log-likelihood so far, penalties left out.
        nodes: the texts' last tokens as the decoder wants them; at the start one root a prompt,
            shared by its groups.
        num_cached: nodes decoded before these.
    """

    tokens: Tensor
    score: Tensor
    nodes: NodeBatch
    num_cached: int

    @classmethod
    def at_start(
        cls, shape: tuple[int, int, int], token: int, device: torch.device
    ) -> RunningTexts:
        num_prompts, num_groups, _ = shape
        row = torch.arange(num_prompts, device=device)
        nodes = NodeBatch(
            torch.full_like(row, token), row[:, None], torch.zeros_like(row), row, width=1
        )
        tokens = row.new_empty((num_prompts, num_groups, 1, 0))
        return cls(tokens, torch.zeros((num_prompts, num_groups, 1), device=device), nodes, 0)

    def continued(self, choice: Choice) -> RunningTexts:
        """Append the chosen tokens, one node for every beam."""
        beam, token = choice.next_beam, choice.next_token
        tokens = torch.cat([_rows(self.tokens, beam), token[..., None]], -1)
        num_prompts, num_groups, num_beams = beam.shape
        num_cached = self.num_cached + len(self.nodes.tokens)
        row = num_cached + torch.arange(beam.numel(), device=beam.device)
        before = self.nodes.ancestors.view(num_prompts, -1, 1, self.nodes.ancestors.shape[1])
        if self.num_cached:
            before = before.reshape(num_prompts, num_groups, -1, before.shape[-1])
        ancestors = _rows(before.expand(-1, num_groups, -1, -1), beam).flatten(0, 2)
        nodes = NodeBatch(
            token.flatten(),
            torch.cat([row[:, None], ancestors], 1),
            torch.full_like(row, tokens.shape[-1]),
            row - num_cached,
            width=num_groups * num_beams,
        )
        return RunningTexts(tokens, choice.next_score, nodes, num_cached)


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


@dataclass(frozen=True)
class Choice:
    """The continuations each group looks at, best first, penalties counted: ``[B, G, k]`` each.

    Attributes:
        beam: the text that goes on, within its group.
        token: its next token.
        score: log-likelihood, penalties left out.
        is_end: whether the token ends the text.
        next_beam, next_token, next_score: ``[B, G, W]``, the best that do not end.
    """

    beam: Tensor
    token: Tensor
    score: Tensor
    is_end: Tensor
    next_beam: Tensor
    next_token: Tensor
    next_score: Tensor


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


@dataclass(frozen=True)
class FinishedTexts:
    """The best ended texts of each group.

    Attributes:
        tokens: ``int64[B, G, W, longest]``, padded.
        score: ``float32[B, G, W]``, mean log-likelihood of a token, best first.
        closed: ``bool[B, G]``, whether a group can no longer find a better text.
        pad: fills the texts.
    """

    tokens: Tensor
    score: Tensor
    closed: Tensor
    pad: int

    @classmethod
    def nothing(
        cls, shape: tuple[int, int, int], longest: int, pad: int, device: torch.device
    ) -> FinishedTexts:
        return cls(
            torch.full((*shape, longest), pad, device=device),
            torch.full(shape, _DEAD, device=device),
            torch.zeros(shape[:2], dtype=torch.bool, device=device),
            pad,
        )

    def joined_by(self, running: RunningTexts, choice: Choice, is_last: bool) -> FinishedTexts:
        """Take in the texts that end now; at the last step all do."""
        num_beams, length = self.score.shape[2], running.tokens.shape[-1] + 1
        # What ranks below the beam's width is there to go on, not to end.
        in_beam = torch.arange(choice.token.shape[2], device=choice.token.device) < num_beams
        ends = (choice.is_end | is_last) & in_beam & ~self.closed[..., None]
        score = (choice.score / length).masked_fill(~ends, _DEAD)
        score, order = torch.cat([self.score, score], 2).topk(num_beams, dim=2)
        texts = torch.cat([_rows(running.tokens, choice.beam), choice.token[..., None]], -1)
        texts = F.pad(texts, (0, self.tokens.shape[-1] - length), value=self.pad)
        tokens = _rows(torch.cat([self.tokens, texts], 2), order)
        return replace(self, tokens=tokens, score=score)

    def closed_where_hopeless(self, running: RunningTexts) -> FinishedTexts:
        """Close groups full of texts no worse per token than the best unfinished one."""
        best = running.score.amax(-1) / running.tokens.shape[-1]
        # An unfilled place counts as minus infinity and keeps its group open.
        return replace(self, closed=self.closed | (best <= self.score[..., -1]))

    def best(self) -> Tensor:
        """``int64[B, L]``, each prompt's best text over all groups."""
        score, tokens = self.score.flatten(1), self.tokens.flatten(1, 2)
        best = tokens[torch.arange(len(tokens), device=tokens.device), score.argmax(1)]
        used = torch.nonzero((best != self.pad).any(0))
        return best[:, : int(used.max()) + 1 if len(used) else 0]


def _rows(values: Tensor, beam: Tensor) -> Tensor:
    """``values[b, g, beam[b, g, w], :]``: ``[B, G, W, t]`` -> ``[B, G, k, t]``."""
    return values.gather(2, beam[..., None].expand(*beam.shape, values.shape[-1]))
