"""Stages whose examples are users: their train histories, batch by numbered batch."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from edgewise.data.split import Split
from edgewise.models.graph_gpt.batch import PromptBatch
from edgewise.models.graph_gpt.config import Stage
from edgewise.models.graph_gpt.stages.histories import PromptHistories, validation_positives
from edgewise.models.graph_gpt.stages.ragged import Ragged
from edgewise.models.graph_gpt.stages.schedule import Schedule, Stream, chunks_of, share_of

_log = logging.getLogger("edgewise")


class UserPrompts(Protocol):
    """Writes prompts of some users."""

    @property
    def histories(self) -> PromptHistories:
        """Train items as the prompts read them."""
        ...

    @property
    def users(self) -> np.ndarray:
        """Users that can be learned from, ``int64[n]``."""
        ...

    def targets_per_row(self, users: np.ndarray) -> float | None:
        """Positions with a target in the users' training prompts, None where that is no matter."""
        ...

    def training(
        self, users: np.ndarray, epoch: int, targets_per_row: float | None = None
    ) -> PromptBatch:
        """A batch to learn from, or a process's part of one with so many targets a row."""
        ...

    def validation(self, users: np.ndarray, held_out: Ragged) -> PromptBatch:
        """A batch that reads whole histories and has the users' held-out items as targets."""
        ...


@dataclass(frozen=True, eq=False)
class UserData:
    """Training data of a stage (:class:`edgewise.training.loop.TrainingData`).

    Attributes:
        prompts: writes batches.
        users: those that are learned from.
        schedule: of the users.
        valid_batches: fixed batches by the stage's name; empty where no row is held out.
    """

    prompts: UserPrompts
    users: np.ndarray
    schedule: Schedule
    valid_batches: Mapping[str, Sequence[PromptBatch]]

    @property
    def steps_per_epoch(self) -> int:
        """Batches in which every user comes once."""
        return self.schedule.steps_per_epoch

    def batch(self, step: int, part: slice) -> PromptBatch:
        """Batch ``step`` of the run; ``part`` selects this process's rows."""
        epoch, _, rows = self.schedule.at(step)
        per_row = self.prompts.targets_per_row(self.users[rows])
        return self.prompts.training(self.users[share_of(rows, part)], epoch, per_row)

    def validation(self) -> Mapping[str, Sequence[PromptBatch]]:
        """Fixed batches of up to 1,000 users."""
        return self.valid_batches


def user_data(
    stage: Stage, prompts: UserPrompts, split: Split, batch_size: int, seed: int, stream: Stream
) -> UserData | None:
    """Schedule the users and write the validation batches; None, and a log line, without users."""
    users = prompts.users
    if not len(users):
        _log.warning(
            "%s has no history to learn from: the %s stage is left out", split.dataset.name, stage
        )
        return None
    schedule = Schedule((prompts.histories.lengths[users],), batch_size, seed, stream)
    people, held_out = validation_positives(split, seed)
    batches = [
        prompts.validation(people[rows], held_out.take(rows))
        for rows in chunks_of(np.arange(len(people)), batch_size)
    ]
    return UserData(prompts, users, schedule, {stage: batches} if batches else {})
