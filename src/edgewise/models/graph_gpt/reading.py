"""What prompts say at their ends, without the work that nobody asks for.

To recommend, a GPT-2 is asked about the last token of each prompt alone. So

- the last layer makes keys and values of all tokens, and everything else of the last one;
- words that all prompts begin with are read once for all of them (no token looks at what comes
  after it), and every layer gets their keys and values;
- layers are the stock network's own, called one after the other: what is hung on them, such as
  gates of the attention bias, works as ever.

Equal to reading all of it, up to rounding. Dropout must be off.

Shapes: B prompts, S tokens, F words in front that all share, D hidden, H heads, L layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from edgewise.models.saved_networks import is_conv1d

if TYPE_CHECKING:
    from transformers import GPT2Model

Keys = tuple[torch.Tensor, torch.Tensor]
# For fewer prompts, reading the words once is no gain.
_LEAST_PROMPTS = 4


@dataclass(frozen=True)
class _Before:
    """Keys and values of tokens that were read before: what a cache is to one layer.

    Attributes:
        known: of each layer, ``[B, H, S', D / H]`` each, where B may be 1.
    """

    known: dict[int, Keys]

    def update(self, keys: torch.Tensor, values: torch.Tensor, layer: int, *_: object) -> Keys:
        """Those known before the new ones."""
        before = (each.expand(len(keys), -1, -1, -1) for each in self.known[layer])
        return tuple(map(_joined, before, (keys, values)))  # pyright: ignore[reportReturnType]


class _Known(_Before):
    """The same where the new tokens are among those read before."""

    def update(self, keys: torch.Tensor, values: torch.Tensor, layer: int, *_: object) -> Keys:
        return self.known[layer]


class KeyCache(_Before):
    """The same, and the new ones are noted; empty before anything is read."""

    def update(self, keys: torch.Tensor, values: torch.Tensor, layer: int, *_: object) -> Keys:
        if layer in self.known:
            keys, values = super().update(keys, values, layer)
        self.known[layer] = keys, values
        return keys, values

    @property
    def num_tokens(self) -> int:
        """That were read."""
        return self.known[0][0].shape[2] if self.known else 0


def _joined(before: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
    return torch.cat([before, new], 2)


def read(
    gpt: GPT2Model, input_ids: torch.Tensor, mask: torch.Tensor, past: KeyCache | None = None
) -> torch.Tensor:
    """What the network makes of every new token, ``float[B, N, D]``.

    Args:
        gpt: stock or saved.
        input_ids: the new tokens, ``int64[B, N]``.
        mask: their rows of the mask, over all tokens so far, ``float[B, 1, N, S]``.
        past: of the tokens before; the new ones are added.
    """
    states = gpt.drop(_embedded(gpt, input_ids, 0 if past is None else past.num_tokens))
    for block in gpt.h:
        states = block(states, past, mask)
    return gpt.ln_f(states)


def last_states(
    gpt: GPT2Model,
    input_ids: torch.Tensor,
    mask: torch.Tensor,
    last: torch.Tensor,
    shared: int,
    words: dict[tuple[int, ...], dict[int, Keys]] | None = None,
) -> torch.Tensor:
    """What the network makes of each prompt's last token, ``float[B, D]``.

    Args:
        gpt: stock or saved, in evaluation mode.
        input_ids: ``int64[B, S]``, right-padded.
        mask: causality, padding and the bias, ``float[B, 1, S, S]``.
        last: the place of each prompt's last token, ``int64[B]``.
        shared: F, words in front that all prompts begin with, whose rows of the mask are equal;
            at most the place of the first last token.
        words: keys and values of such words by their tokens, of the same weights: those that are
            there are not read again, and others are added.
    """
    *earlier, final = gpt.h
    count = shared if words or len(input_ids) >= _LEAST_PROMPTS else 0
    before = None
    if count:
        first, words = input_ids[:1, :count], {} if words is None else words
        key = tuple(first[0].tolist())
        if key not in words:
            words[key] = _read_words(gpt, first, mask[:1, :, :count, :count])
        before = _Before(words[key])
    states = _embedded(gpt, input_ids[:, count:], count)
    for block in earlier:
        states = block(states, before, mask[:, :, count:])
    rows = torch.arange(len(last), device=last.device)
    asked = states[rows, last - count][:, None]
    known = _keys_and_values(final, states)
    if before is not None:
        known = before.update(*known, len(earlier))
    rows_of_mask = mask[rows, :, last][:, :, None]
    return gpt.ln_f(final(asked, _Known({len(earlier): known}), rows_of_mask))[:, 0]


def _read_words(gpt: GPT2Model, input_ids: torch.Tensor, mask: torch.Tensor) -> dict[int, Keys]:
    """Keys and values of words in front, in every layer."""
    noted, states = KeyCache({}), _embedded(gpt, input_ids, 0)
    for block in gpt.h:
        states = block(states, noted, mask)
    return noted.known


def _embedded(gpt: GPT2Model, input_ids: torch.Tensor, first: int) -> torch.Tensor:
    places = torch.arange(first, first + input_ids.shape[1], device=input_ids.device)
    return gpt.wte(input_ids) + gpt.wpe(places)


def _keys_and_values(block: Any, states: torch.Tensor) -> Keys:
    """Of all tokens in one layer, ``float[B, H, S, D / H]`` each."""
    size, attention, normed = states.shape[-1], block.attn, block.ln_1(states).flatten(0, 1)
    matrix = attention.c_attn
    if is_conv1d(matrix):  # else one of integers, which is not cut
        flat = torch.addmm(matrix.bias[size:], normed, matrix.weight[:, size:])
    else:
        flat = matrix(normed)[:, size:]
    heads = flat.view(*states.shape[:2], 2, -1, attention.head_dim)
    keys, values = heads.unbind(2)
    return keys.transpose(1, 2), values.transpose(1, 2)


def shared_words(input_ids: torch.Tensor, node: torch.Tensor, last: torch.Tensor) -> int:
    """How many words all prompts begin with.

    Args:
        input_ids: ``int64[B, S]``.
        node: -1 on words, ``int64[B, S]``.
        last: the place of each prompt's last token, ``int64[B]``.
    """
    same = (input_ids == input_ids[:1]).all(0) & (node < 0).all(0)
    count = int(same.int().cumprod(0).sum())
    return min(count, int(last.min()))
