"""Prompts that ask for recommendations: histories as the last stage learned to read them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from edgewise.models.graph_gpt.config import RECOMMENDING, GraphGPTConfig, Stage
from edgewise.models.graph_gpt.stages.writing import Phrase, event_prompt, predictive_prompt
from edgewise.models.graph_gpt.tokens import TokenSpace
from edgewise.models.graph_gpt.wordings import EVENTS, PREDICTIVE

NOBODY = -1


def recommending_stage(stages: Sequence[Stage]) -> Stage:
    """The stage whose prompts are written when recommending: the last that learned them."""
    recommending: list[Stage] = [stage for stage in stages if stage in RECOMMENDING]
    return recommending[-1]


def names_users(config: GraphGPTConfig, stage: Stage) -> bool:
    """Whether a stage's prompts hold the users' own tokens."""
    free_of_order = config.history.order == "set" and stage != "sequence"
    return config.history.user_token or free_of_order


@dataclass(frozen=True)
class HistoryWriter:
    """Writes the prompt at whose end the next item is to be told.

    Attributes:
        tokens: numbers of words, users and items.
        stage: whose wording is written: ``predictive`` has its own, the other two share one.
        max_items: of a prompt; the newest are kept.
        max_tokens: of a prompt, likewise.
        with_user: whether the user's own token is written.
        as_set: whether histories were learned as sets: distinct items in no order.
    """

    tokens: TokenSpace
    stage: Stage
    max_items: int
    max_tokens: int
    with_user: bool
    as_set: bool = False

    @classmethod
    def of(
        cls, config: GraphGPTConfig, tokens: TokenSpace, stages: Sequence[Stage]
    ) -> HistoryWriter:
        """As the last of the trained stages that recommend wants it."""
        stage = recommending_stage(stages)
        named = names_users(config, stage)
        as_set = config.history.order == "set" and stage != "sequence"
        return cls(
            tokens, stage, config.history.max_items, config.backbone.max_tokens, named, as_set
        )

    @cached_property
    def room(self) -> int:
        """Items that a prompt has room for.

        Raises:
            ConfigError: ``max_tokens`` leaves room for none.
        """
        wording = PREDICTIVE if self.stage == "predictive" else EVENTS
        room = Phrase.of(wording, self.tokens).room(self.max_tokens, needed=1)
        return min(self.max_items, room)

    def write(self, user_index: int, items: np.ndarray) -> np.ndarray:
        """One prompt of all given items, ``int64[S]``; nobody's (-1) holds no user."""
        user = user_index if self.with_user and user_index != NOBODY else None
        prompt = predictive_prompt if self.stage == "predictive" else event_prompt
        return prompt(user, np.asarray(items, dtype=np.int64), self.tokens)

    def prompts(self, users: np.ndarray, histories: Sequence[np.ndarray]) -> list[np.ndarray]:
        """A prompt of each user's newest items.

        Where histories are sets, each item is written once, by rising number: the answer does not
        depend on the order in which they were given.
        """
        if self.as_set:
            histories = [distinct(items) for items in histories]
        self._warn_of_cuts(histories)
        newest = [items[-self.room :] for items in histories]
        if self.as_set:
            newest = [np.sort(items) for items in newest]
        return [self.write(int(u), items) for u, items in zip(users, newest, strict=True)]

    def _warn_of_cuts(self, histories: Sequence[np.ndarray]) -> None:
        longest = max((len(items) for items in histories), default=0)
        if min(longest, self.max_items) > self.room:
            warnings.warn(
                f"histories of up to {longest} items do not fit into backbone.max_tokens = "
                f"{self.max_tokens}: the newest {self.room} items are read",
                stacklevel=4,
            )


def distinct(items: np.ndarray) -> np.ndarray:
    """Each item once, where it stood last."""
    backwards = np.asarray(items)[::-1]
    return backwards[np.sort(np.unique(backwards, return_index=True)[1])][::-1]
