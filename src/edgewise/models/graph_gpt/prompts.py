"""Prompts: their templates as data, templates filled with tokens, and histories to go on from.

A template (Sections 3.3.2 and 3.4.1) is words and slots separated by single spaces; ``{user}`` and
``{item}`` are filled with one token, ``{items}`` with one token an item. The text to be learned
follows after the template, so that every content prompt ends in a colon.

Shapes: S tokens.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Literal

import numpy as np

from edgewise.data.ragged import Ragged
from edgewise.data.sequences import newest
from edgewise.errors import ConfigError
from edgewise.models.graph_gpt.config import RECOMMENDING, GraphGPTConfig, StageName
from edgewise.models.graph_gpt.tokens import TokenSpace

ItemContent = Literal["title", "brand", "categories", "description"]
FirstOrder = Literal["review", "reason"]
SecondOrder = Literal["shared_brand", "shared_category"]
ContentKind = ItemContent | FirstOrder | SecondOrder

ITEM_CONTENTS: dict[ItemContent, str] = {
    "title": "The title of {item} is :",
    "brand": "The brand of {item} is :",
    "categories": "The categories of {item} are :",
    "description": "The description of {item} is :",
}
FIRST_ORDER: dict[FirstOrder, str] = {
    "review": "{user} reviewed {item} in these words :",
    "reason": "{user} gave this reason for buying {item} :",
}
SECOND_ORDER: dict[SecondOrder, str] = {
    "shared_brand": "The items {items} have one brand in common :",
    "shared_category": "The items {items} have one category in common :",
}
CONTENT_TEMPLATES: dict[ContentKind, str] = {**ITEM_CONTENTS, **FIRST_ORDER, **SECOND_ORDER}

# The items follow; each is to be predicted from those before it.
EVENTS = "{user} has interacted with"
PREDICTIVE = "{user} has interacted with {items} . {user} will interact with"

TEMPLATES: tuple[str, ...] = (*CONTENT_TEMPLATES.values(), EVENTS, PREDICTIVE)

NOBODY = -1
"""The user index of people who are not in the data."""

_SLOT = re.compile(r" ?\{(\w+)\}")
_NOTHING = np.empty(0, dtype=np.int64)


@dataclass(frozen=True)
class PromptTemplate:
    """A template cut at its slots.

    Attributes:
        pieces: tokens of words, and names of slots.
        num_fixed: tokens of all words and of all slots of a single token.
    """

    pieces: tuple[np.ndarray | str, ...]
    num_fixed: int

    @classmethod
    @lru_cache(maxsize=64)
    def of(cls, template: str, tokens: TokenSpace) -> PromptTemplate:
        """Split the words; those after a slot begin with a space, as they do in running text."""
        parts = _SLOT.split(template)
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
        """Tokens that fit after the template, or in its slot of many items.

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
    words = PromptTemplate.of(EVENTS, tokens).fill(**_user(user, tokens))
    return np.concatenate([words, tokens.item_token(items)])


def predictive_prompt(user: int | None, items: np.ndarray, tokens: TokenSpace) -> np.ndarray:
    """The history in the past tense and a trigger in the future tense (Section 3.4.1, Fig. 3).

    Arguments as for :func:`event_prompt`.
    """
    slots = {**_user(user, tokens), "items": tokens.item_token(np.asarray(items, np.int64))}
    return PromptTemplate.of(PREDICTIVE, tokens).fill(**slots)


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
    return PromptTemplate.of(FIRST_ORDER[kind], tokens).fill(**slots)


def _user(user: int | None, tokens: TokenSpace) -> dict[str, np.ndarray]:
    return {} if user is None else {"user": np.array([tokens.user_token(user)], np.int64)}


def recommending_stage(stages: Sequence[StageName]) -> StageName:
    """The stage whose prompts are written when recommending: the last that learned them."""
    recommending: list[StageName] = [stage for stage in stages if stage in RECOMMENDING]
    return recommending[-1]


def reads_sets(config: GraphGPTConfig, stage: StageName) -> bool:
    """Whether a stage reads histories as sets: distinct items in no order."""
    return config.history.order == "set" and stage != "sequence"


def names_users(config: GraphGPTConfig, stage: StageName) -> bool:
    """Whether a stage's prompts hold users' own tokens: sets always, others by choice."""
    return config.history.user_token or reads_sets(config, stage)


@dataclass(frozen=True)
class HistoryWriter:
    """Writes the prompt at whose end the next item is to be predicted.

    Attributes:
        tokens: numbers of words, users and items.
        stage: whose template is filled: ``predictive`` has its own, the other two share one.
        max_items: of a prompt; the newest are kept.
        max_tokens: of a prompt, likewise.
        with_user: whether the user's own token is written.
        as_set: whether histories were learned as sets: distinct items in no order.
    """

    tokens: TokenSpace
    stage: StageName
    max_items: int
    max_tokens: int
    with_user: bool
    as_set: bool = False

    @classmethod
    def of(
        cls, config: GraphGPTConfig, tokens: TokenSpace, stages: Sequence[StageName]
    ) -> HistoryWriter:
        """As the last of the trained stages that recommend wants it."""
        stage = recommending_stage(stages)
        limits = config.history.max_items, config.backbone.max_tokens
        return cls(tokens, stage, *limits, names_users(config, stage), reads_sets(config, stage))

    @cached_property
    def room(self) -> int:
        """Items that a prompt has room for.

        Raises:
            ConfigError: ``max_tokens`` leaves room for none.
        """
        template = PREDICTIVE if self.stage == "predictive" else EVENTS
        room = PromptTemplate.of(template, self.tokens).room(self.max_tokens, needed=1)
        return min(self.max_items, room)

    def write(self, user_index: int, items: np.ndarray) -> np.ndarray:
        """One prompt of all given items, ``int64[S]``; nobody's (-1) holds no user."""
        user = user_index if self.with_user and user_index != NOBODY else None
        prompt = predictive_prompt if self.stage == "predictive" else event_prompt
        return prompt(user, np.asarray(items, dtype=np.int64), self.tokens)

    def prompts(self, users: np.ndarray, histories: Ragged) -> list[np.ndarray]:
        """A prompt of each user's newest items.

        Where histories are sets, each item is written once, by rising number: the answer does not
        depend on the order in which they were given.

        Args:
            users: user indices, -1 for people who are not in the data, ``int64[B]``.
            histories: each of these users' items, oldest first.
        """
        if self.as_set:
            histories = distinct(histories)
        self._warn_of_cuts(int(histories.lengths.max(initial=0)))
        kept = newest(histories, self.room)
        if self.as_set:
            kept = replace(kept, values=kept.values[kept.ranked(kept.values)])
        return [self.write(int(u), items) for u, items in zip(users, kept.rows(), strict=True)]

    def _warn_of_cuts(self, longest: int) -> None:
        if min(longest, self.max_items) > self.room:
            warnings.warn(
                f"histories of up to {longest} items do not fit into backbone.max_tokens = "
                f"{self.max_tokens}: the newest {self.room} items are read",
                stacklevel=4,
            )


def distinct(histories: Ragged) -> Ragged:
    """Each item of a history once, where it stood last."""
    size = int(histories.values.max(initial=0)) + 1
    codes = histories.row_of_value * size + histories.values
    last = np.zeros(len(codes), dtype=bool)
    last[len(codes) - 1 - np.unique(codes[::-1], return_index=True)[1]] = True
    return histories.keep(last)
