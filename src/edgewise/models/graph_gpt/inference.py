"""A fitted network reads prompts, and answers with items, scores or texts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from edgewise.errors import UnknownIdError
from edgewise.models.graph_gpt.attention_bias import attention_mask
from edgewise.models.graph_gpt.batch import Distances, assemble
from edgewise.models.graph_gpt.config import DecodingConfig
from edgewise.models.graph_gpt.modeling import GraphGPTModel
from edgewise.models.graph_gpt.tokens import TokenSpace

_PAIRS_AT_ONCE = 1_000_000
_SCORES_AT_ONCE = 5_000_000
_TEXTS_AT_ONCE = 64


@dataclass(frozen=True, eq=False)
class Inference:
    """Answers prompts of any number; each is read once, a bounded number of tokens at a time.

    Attributes:
        model: in evaluation mode.
        tokens: numbers of words, users and items.
        distances: of the train graph; None where attention does without.
    """

    model: GraphGPTModel
    tokens: TokenSpace
    distances: Distances | None

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.model.gpt.wte.weight.device

    def rank(
        self,
        prompts: Sequence[np.ndarray],
        readers: np.ndarray,
        seen: Sequence[np.ndarray],
        k: int,
    ) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """The k likeliest items that were not seen (Eq. 7): one pass scores all items.

        Args:
            prompts: tokens of each.
            readers: whose history each tells, -1 for people who are not in the data, ``int64[n]``.
            seen: items of each that are not to be found.
            k: items each; fewer only where fewer are unseen.

        Returns:
            Items and log-likelihoods of each prompt, best first.
        """
        items: list[np.ndarray] = [np.empty(0, np.int64)] * len(prompts)
        scores: list[np.ndarray] = [np.empty(0, np.float32)] * len(prompts)
        for rows, likelihood in self.likelihoods(prompts, readers):
            chunk = [np.asarray(seen[row], dtype=np.int64) for row in rows]
            places = np.repeat(np.arange(len(chunk)), [len(row) for row in chunk])
            likelihood[places, np.concatenate(chunk)] = -torch.inf
            best, found = likelihood.topk(min(k, likelihood.shape[1]))
            for row, values, numbers in zip(rows, best.cpu(), found.cpu(), strict=True):
                exists = torch.isfinite(values)
                items[row], scores[row] = numbers[exists].numpy(), values[exists].numpy()
        return items, scores

    def score(
        self, prompts: Sequence[np.ndarray], readers: np.ndarray, lists: Sequence[np.ndarray]
    ) -> np.ndarray:
        """The log-likelihood of every item of each prompt's list, ``float32[total]``."""
        scores: list[np.ndarray] = [np.empty(0, np.float32)] * len(prompts)
        for rows, likelihood in self.likelihoods(prompts, readers):
            for place, row in enumerate(rows):
                wanted = torch.as_tensor(np.asarray(lists[row], dtype=np.int64))
                scores[row] = likelihood[place, wanted.to(self.device)].cpu().numpy()
        return np.concatenate([*scores, np.empty(0, np.float32)]).astype(np.float32)

    @torch.no_grad()
    def likelihoods(
        self, prompts: Sequence[np.ndarray], readers: np.ndarray
    ) -> Iterator[tuple[np.ndarray, torch.Tensor]]:
        """Log-likelihoods of all items after each prompt, prompts of similar length together.

        Yields:
            Rows ``int64[b]``, and ``float[b, I]`` that the caller may write to.
        """
        lengths = np.array([len(prompt) for prompt in prompts], dtype=np.int64)
        order = np.argsort(lengths, kind="stable")
        most = max(1, _SCORES_AT_ONCE // max(1, self.tokens.num_items))
        for part in bounded_parts(lengths[order], _PAIRS_AT_ONCE, most):
            rows = order[part]
            chosen = [prompts[row] for row in rows]
            batch = assemble(self.tokens, chosen, distances=self.distances, readers=readers[rows])
            states = self.model.last_hidden(batch.to(self.device))
            yield rows, self.model.item_logits(states).float().log_softmax(-1)

    def write(self, prompts: Sequence[np.ndarray], config: DecodingConfig) -> list[list[int]]:
        """The text that follows each prompt, the likeliest token at every step.

        Args:
            prompts: all of one length.
            config: the shortest and the longest text.
        """
        texts: list[list[int]] = []
        for start in range(0, len(prompts), _TEXTS_AT_ONCE):
            texts += self._written(prompts[start : start + _TEXTS_AT_ONCE], config)
        return texts

    @torch.no_grad()
    def _written(self, prompts: Sequence[np.ndarray], config: DecodingConfig) -> list[list[int]]:
        batch = assemble(self.tokens, prompts, space="text", distances=self.distances)
        batch = batch.to(self.device)
        states, past = self.model.read(batch.input_ids, self.model.mask(batch), keep=True)
        present, written = batch.attention_mask, batch.input_ids[:, :0]
        for length in range(config.explanation_tokens):
            logits = self.model.text_logits(states[:, -1]).float()
            logits[:, self._never(may_end=length >= config.min_explanation_tokens)] = -torch.inf
            logits[self._blank_again(written)] = -torch.inf
            token = logits.argmax(-1, keepdim=True)
            written = torch.cat([written, token], 1)
            if (written == self.tokens.end_token).any(1).all():
                break
            # A word has no place in the graph: it looks at all tokens before it with R = 0.
            present = torch.cat([present, torch.ones_like(token)], 1)
            states, past = self.model.read(
                token, attention_mask(present, None)[:, :, -1:], past, keep=True
            )
        return [self._up_to_end(row) for row in written.tolist()]

    def _never(self, may_end: bool) -> list[int]:
        end, pad = self.tokens.end_token, self.tokens.pad_token
        return [pad] * (pad != end) + [end] * (not may_end)

    def _blank_again(self, written: torch.Tensor) -> torch.Tensor:
        """White space after white space, which could go on for ever, ``bool[B, T]``."""
        blank = torch.from_numpy(self.tokens.blank_tokens).to(written.device)
        last = written[:, -1:]
        return blank[last].any(1)[:, None] & blank

    def _up_to_end(self, row: list[int]) -> list[int]:
        end = self.tokens.end_token
        return row[: row.index(end)] if end in row else row


def check_known(kind: str, indices: np.ndarray, size: int) -> None:
    """Raise UnknownIdError unless all user or item indices lie in ``0..size - 1``."""
    strange = indices[(indices < 0) | (indices >= size)]
    if len(strange):
        raise UnknownIdError(
            f"{kind}_index {int(strange[0])}: this model knows {kind}s 0 to {size - 1}; look up "
            "indices in the data set it was fitted on"
        )


def bounded_parts(lengths: np.ndarray, budget: int, most: int) -> Iterator[slice]:
    """Split rows of rising lengths so that no part has more than ``budget`` pairs of tokens.

    Args:
        lengths: tokens of each row, rising.
        budget: rows times the longest one squared, at most; a single row may exceed it.
        most: rows of a part at most.
    """
    start = 0
    while start < len(lengths):
        sizes = np.arange(1, min(most, len(lengths) - start) + 1)
        fits = sizes * lengths[start : start + len(sizes)] ** 2 <= budget
        stop = start + max(1, int(np.count_nonzero(fits)))
        yield slice(start, stop)
        start = stop
