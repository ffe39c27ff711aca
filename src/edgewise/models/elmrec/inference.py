"""A fitted network reads prompts, and answers with items, scores or texts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch

from edgewise.decoding.beam import beam_search
from edgewise.decoding.candidates import score_candidates
from edgewise.decoding.diverse import diverse_beam_search
from edgewise.decoding.rerank import rerank
from edgewise.decoding.trie import TokenTable
from edgewise.errors import UnknownIdError
from edgewise.models.elmrec.config import DecodingConfig
from edgewise.models.elmrec.modeling import ELMRecModel
from edgewise.prompts.batch import assemble
from edgewise.prompts.entity_tokens import PieceTable
from edgewise.prompts.templates import Task

_TOKENS_AT_ONCE = 20_000
_EXPLANATIONS_AT_ONCE = 16


class Encoded(NamedTuple):
    """Prompts ``rows`` as encoder states ``float[B, S, D]`` with their mask ``[B, S]``.

    ``shift`` is added to every decoder input, ``float[B, D]``, and ``pointed`` to the candidates of
    a direct prompt, ``float[B, C]``, or to all items for a sequential one, ``float[B, I]``, if
    there is a pointer.
    """

    rows: range
    states: torch.Tensor
    mask: torch.Tensor
    shift: torch.Tensor | None
    pointed: torch.Tensor | None


@dataclass(frozen=True, eq=False)
class Inference:
    """Answers prompts of any number; each is encoded once, a bounded number of tokens at a time.

    Attributes:
        model: in evaluation mode.
        table: tokens of all pieces.
    """

    model: ELMRecModel
    table: PieceTable

    @cached_property
    def spellings(self) -> TokenTable:
        """How the decoder spells every item."""
        return TokenTable(*self.table.item_targets)

    def rank(
        self,
        prompts: Sequence[np.ndarray],
        k: int,
        search: DecodingConfig,
        histories: Sequence[np.ndarray],
        user_vectors: np.ndarray | None = None,
    ) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Beam search over the catalogue for k + N items, then Section 4.2's reranking.

        What the user has is banned inside the search, so that lists are full wherever k unseen
        items exist, or filtered out after it, as :class:`DecodingConfig` says.

        Returns:
            Items and log-likelihoods of each prompt, best first.
        """
        wanted = k + (search.num_extra_candidates if search.rerank else 0)
        during, after = (search.rerank and search.filtering == way for way in ("during", "after"))
        items: list[np.ndarray] = []
        scores: list[np.ndarray] = []
        for rows, states, mask, shift, pointed in self.encoded("sequential", prompts, user_vectors):
            seen = [np.unique(histories[row]) for row in rows]
            found, likelihood = beam_search(
                self.model.t5,
                states,
                mask,
                self.spellings.trie,
                num_beams=search.num_beams,
                num_results=wanted,
                banned=seen if during else None,
                decoder_shift=shift,
                pointed=pointed,
                strength=self.model.spelling_strength("sequential"),
            )
            if after:
                found, likelihood = rerank(found, likelihood, seen, k)
            exists = found >= 0
            items += [row[keep][:k] for row, keep in zip(found, exists, strict=True)]
            scores += [row[keep][:k] for row, keep in zip(likelihood, exists, strict=True)]
        return items, scores

    def score(
        self,
        task: Task,
        prompts: Sequence[np.ndarray],
        lists: Sequence[np.ndarray],
        user_vectors: np.ndarray | None = None,
    ) -> np.ndarray:
        """The exact log-likelihood of every item of each prompt's list, ``float32[total]``."""
        among = self.model.prompts.direct_likelihood == "candidates"
        scores: list[np.ndarray] = []
        for rows, states, mask, shift, pointed in self.encoded(task, prompts, user_vectors):
            part = [lists[row] for row in rows]
            scores += score_candidates(
                self.model.t5,
                states,
                mask,
                self.spellings,
                part,
                decoder_shift=shift,
                among_candidates=among and task == "direct",
                pointed=pointed if task == "direct" else None,
                pointed_items=pointed if task == "sequential" else None,
                strength=self.model.spelling_strength(task),
            )
        return np.concatenate([*scores, np.empty(0)]).astype(np.float32)

    def write(
        self, prompts: Sequence[np.ndarray], search: DecodingConfig, max_tokens: int
    ) -> list[list[int]]:
        """The likeliest text of each explanation prompt, as tokens."""
        texts: list[list[int]] = []
        for _, states, mask, shift, _ in self.encoded(
            "explanation", prompts, max_rows=_EXPLANATIONS_AT_ONCE
        ):
            tokens = diverse_beam_search(
                self.model.t5,
                states,
                mask,
                num_beams=search.explanation_beams,
                num_groups=search.explanation_groups,
                diversity_penalty=search.diversity_penalty,
                min_new_tokens=search.min_explanation_tokens,
                max_new_tokens=max_tokens,
                eos=self.table.eos_id,
                pad=self.table.pad_id,
                decoder_shift=shift,
            )
            texts += tokens.tolist()
        return texts

    @torch.no_grad()
    def encoded(
        self,
        task: Task,
        prompts: Sequence[np.ndarray],
        user_vectors: np.ndarray | None = None,
        max_rows: int | None = None,
    ) -> Iterator[Encoded]:
        """Encode prompts a few at a time.

        Args:
            task: of all prompts.
            prompts: one array of pieces each.
            user_vectors: of :class:`~edgewise.prompts.batch.Batch`, ``float32[B, D]``.
            max_rows: prompts at a time at most.
        """
        device = next(self.model.t5.parameters()).device
        lengths = [int(self.table.lengths[prompt].sum()) for prompt in prompts]
        for rows in bounded_rows(lengths, _TOKENS_AT_ONCE, max_rows):
            batch = assemble(self.table, task, [prompts[row] for row in rows])
            if user_vectors is not None:
                vectors = torch.from_numpy(user_vectors[rows.start : rows.stop])
                batch = replace(batch, user_vectors=vectors)
            batch = batch.to(device)
            states, mask = self.model.encode(batch)
            shift, pointed = self.model.decoder_shift(batch), self.model.point(batch, states)
            yield Encoded(rows, states, mask, shift, pointed)


def check_known(kind: str, indices: np.ndarray, size: int) -> None:
    """Raise UnknownIdError unless all user or item indices lie in ``0..size - 1``."""
    strange = indices[(indices < 0) | (indices >= size)]
    if len(strange):
        raise UnknownIdError(
            f"{kind}_index {int(strange[0])}: this model knows {kind}s 0 to {size - 1}; look up "
            "indices in the data set it was fitted on"
        )


def bounded_rows(lengths: Sequence[int], budget: int, max_rows: int | None) -> Iterator[range]:
    """Split rows so that no part, padded to its longest row, exceeds a budget of tokens."""
    start, longest = 0, 0
    for row, length in enumerate(lengths):
        count, longest = row - start, max(longest, length)
        if count and ((count + 1) * longest > budget or count == max_rows):
            yield range(start, row)
            start, longest = row, length
    if lengths:
        yield range(start, len(lengths))
