"""Which prompts name their user."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgewise.data.keyed_random import keyed_uniform
from edgewise.models.graph_gpt.config import GraphGPTConfig
from edgewise.models.graph_gpt.stages.schedule import Stream


@dataclass(frozen=True)
class Naming:
    """Names users, and leaves some of them out in training.

    Attributes:
        with_user: whether users are named at all.
        unknown_user_rate: share of training prompts that do not name theirs.
        seed, stream: of the draws.
    """

    with_user: bool
    unknown_user_rate: float
    seed: int
    stream: Stream

    @classmethod
    def of(cls, config: GraphGPTConfig, stream: Stream) -> Naming:
        """Sets always come with their user, time-ordered histories by choice."""
        history = config.history
        with_user = history.order == "set" or history.user_token
        return cls(with_user, history.unknown_user_rate, config.seed, stream)

    def training(self, users: np.ndarray, epoch: int) -> list[int | None]:
        """The users whom an epoch's prompts name, None in the places of those they do not.

        A user's draw depends on the seed, the stage and the epoch, and on no other row of a batch.
        """
        key = self.seed, int(Stream.UNKNOWN_USERS), int(self.stream), epoch
        unknown = keyed_uniform(*key, users) < self.unknown_user_rate
        named = self.validation(users)
        return [None if hide else user for user, hide in zip(named, unknown, strict=True)]

    def validation(self, users: np.ndarray) -> list[int | None]:
        """All users, or None for each."""
        return [int(user) if self.with_user else None for user in users]
