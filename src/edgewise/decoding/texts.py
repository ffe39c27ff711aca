"""The texts of a grouped beam search: unfinished, about to grow, and finished.

Legend: B prompts, G groups, W beams a group, t tokens so far.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from edgewise.decoding.tree_attention import NodeBatch

_DEAD = float("-inf")


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


def _rows(values: Tensor, beam: Tensor) -> Tensor:
    """``values[b, g, beam[b, g, w], :]``: ``[B, G, W, t]`` -> ``[B, G, k, t]``."""
    return values.gather(2, beam[..., None].expand(*beam.shape, values.shape[-1]))


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
