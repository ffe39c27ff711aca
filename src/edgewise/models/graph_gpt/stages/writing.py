"""Wordings with their slots filled, as tokens."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np

from edgewise.errors import ConfigError
from edgewise.models.graph_gpt.tokens import TokenSpace
from edgewise.models.graph_gpt.wordings import EVENTS, FIRST_ORDER, PREDICTIVE, FirstOrder

Slot = Literal["user", "item", "items"]
_SLOT = re.compile(r" ?\{(\w+)\}")
_NOTHING = np.empty(0, dtype=np.int64)


@dataclass(frozen=True)
class Phrase:
    """A wording cut at its slots.

    Attributes:
        pieces: tokens of words, and names of slots.
        num_fixed: tokens of all words and of all slots of a single token.
    """

    pieces: tuple[np.ndarray | str, ...]
    num_fixed: int

    @classmethod
    def of(cls, wording: str, tokens: TokenSpace) -> Phrase:
        """Split the words; those after a slot begin with a space, as they do in running text."""
        parts = _SLOT.split(wording)
        words = [tokens.encode_text(part) for part in parts[::2]]
        pieces: list[np.ndarray | str] = [words[0]]
        for slot, piece in zip(parts[1::2], words[1:], strict=True):
            pieces += [slot, piece]
        num_fixed = sum(map(len, words)) + sum(slot != "items" for slot in parts[1::2])
        return cls(tuple(pieces), num_fixed)

    def fill(self, **slots: np.ndarray) -> np.ndarray:
        """The tokens with all slots filled, ``int64[S]``; a slot that is not given stays empty."""
        return np.concatenate(
            [slots.get(p, _NOTHING) if isinstance(p, str) else p for p in self.pieces]
        )

    def room(self, max_tokens: int, needed: int) -> int:
        """Tokens that fit after the phrase, or in its slot of many items.

        Raises:
            ConfigError: fewer than needed.
        """
        room = max_tokens - self.num_fixed
        if room < needed:
            raise ConfigError(
                f"backbone.max_tokens = {max_tokens}: the fixed part of a prompt takes "
                f"{self.num_fixed} tokens, and {needed} more are needed; set "
                f"backbone.max_tokens={self.num_fixed + needed} or more"
            )
        return room


def event_prompt(user: int | None, items: np.ndarray, tokens: TokenSpace) -> np.ndarray:
    """ "User has interacted with item item ...": each item follows from those before it.

    Args:
        user: None leaves the user's token out.
        items: item indices, oldest first where there is an order.
        tokens: numbers of users and items.
    """
    words = Phrase.of(EVENTS, tokens).fill(**_user(user, tokens))
    return np.concatenate([words, tokens.item_token(items)])


def predictive_prompt(user: int | None, items: np.ndarray, tokens: TokenSpace) -> np.ndarray:
    """The history in the past tense and a trigger in the future tense (Section 3.4.1, Fig. 3).

    Arguments as for :func:`event_prompt`.
    """
    slots = {**_user(user, tokens), "items": tokens.item_token(np.asarray(items, np.int64))}
    return Phrase.of(PREDICTIVE, tokens).fill(**slots)


def explanation_prompt(
    user: int, item: int, tokens: TokenSpace, kind: FirstOrder = "reason"
) -> np.ndarray:
    """The words after which the content stage learned what a user wrote on an item.

    The model goes on in text tokens, beginning with a space, up to the end token.

    Args:
        user, item: indices.
        tokens: numbers of users and items.
        kind: ``reason``, the review's headline or first sentence, or the whole ``review``.
    """
    slots = {"item": np.array([tokens.item_token(item)]), **_user(user, tokens)}
    return Phrase.of(FIRST_ORDER[kind], tokens).fill(**slots)


def _user(user: int | None, tokens: TokenSpace) -> dict[str, np.ndarray]:
    return {} if user is None else {"user": np.array([tokens.user_token(user)], np.int64)}
