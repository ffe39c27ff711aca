"""Stage 2: interaction events, "user has interacted with item item ...", loss over items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgewise.data.ragged import Ragged
from edgewise.data.splits import Split
from edgewise.models.graph_gpt.batch import IGNORED, Distances, PromptBatch, assemble
from edgewise.models.graph_gpt.config import GraphGPTConfig
from edgewise.models.graph_gpt.prompts import EVENTS, PromptTemplate, event_prompt
from edgewise.models.graph_gpt.stages.schedule import (
    VALIDATION_EPOCH,
    PromptHistories,
    Stream,
    UserData,
    UserTokenDropout,
    positive_pairs,
    prompt_histories,
    user_data,
)
from edgewise.models.graph_gpt.tokens import TokenSpace


@dataclass(frozen=True, eq=False)
class EventPrompts:
    """Writes who interacted with what.

    Attributes:
        histories: train items.
        user_tokens: which prompts name the user.
        tokens: numbers of users and items.
        distances: of the train graph, or None.
    """

    histories: PromptHistories
    user_tokens: UserTokenDropout
    tokens: TokenSpace
    distances: Distances | None

    @classmethod
    def of(
        cls,
        config: GraphGPTConfig,
        split: Split,
        tokens: TokenSpace,
        distances: Distances | None,
        stream: Stream = Stream.EVENTS,
    ) -> EventPrompts:
        """From train rows, as the configuration orders and cuts them."""
        room = PromptTemplate.of(EVENTS, tokens).room(config.backbone.max_tokens, needed=1)
        histories = prompt_histories(split, config.history, room, config.seed, stream)
        return cls(histories, UserTokenDropout.of(config, stream), tokens, distances)

    @property
    def users(self) -> np.ndarray:
        """Those with a train row, ``int64[n]``."""
        return np.flatnonzero(self.histories.lengths)

    def training(
        self, users: np.ndarray, epoch: int, targets_per_row: float | None = None
    ) -> PromptBatch:
        """Each item is a target where the prompt has come to the one before it."""
        histories = self.histories.read(users, epoch).rows()
        named = self.user_tokens.training(users, epoch)
        prompts = self._prompts(named, [items[:-1] for items in histories])
        targets = [
            _right_aligned(items, len(prompt))
            for items, prompt in zip(histories, prompts, strict=True)
        ]
        return assemble(
            self.tokens,
            prompts,
            targets,
            distances=self.distances,
            user_index=users,
            targets_per_row=targets_per_row,
        )

    def targets_per_row(self, users: np.ndarray) -> float:
        """Positions with a target in training prompts, on average."""
        return float(self.histories.lengths[users].mean())

    def validation(self, users: np.ndarray, held_out: Ragged) -> PromptBatch:
        """Whole histories, after which the held-out items are to come next."""
        histories = self.histories.read(users, VALIDATION_EPOCH).rows()
        return assemble(
            self.tokens,
            self._prompts(self.user_tokens.validation(users), histories),
            distances=self.distances,
            user_index=users,
            positives=positive_pairs(held_out),
        )

    def _prompts(
        self, named: Sequence[int | None], histories: Sequence[np.ndarray]
    ) -> list[np.ndarray]:
        return [
            event_prompt(user, items, self.tokens)
            for user, items in zip(named, histories, strict=True)
        ]


def _right_aligned(items: np.ndarray, length: int) -> np.ndarray:
    return np.concatenate([np.full(length - len(items), IGNORED), items])


def build_events(
    config: GraphGPTConfig, split: Split, tokens: TokenSpace, distances: Distances | None
) -> UserData | None:
    """The events stage, or None where no user has a train row."""
    prompts = EventPrompts.of(config, split, tokens, distances)
    batch_size = config.training.events.batch_size
    return user_data("events", prompts, split, batch_size, config.seed, Stream.EVENTS)
