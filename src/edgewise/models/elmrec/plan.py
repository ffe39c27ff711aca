"""What a training run is about to do, told before its first step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from edgewise.models.elmrec.examples import ELMRecData
from edgewise.prompts.templates import Task


@dataclass(frozen=True)
class FitPlan:
    """The size of a training run.

    Attributes:
        examples: of each task that is trained: users, or explained pairs.
        steps_per_epoch: batches of all tasks together.
        epochs: passes at most.
        num_parameters: numbers that are learned.
    """

    examples: Mapping[Task, int]
    steps_per_epoch: int
    epochs: int
    num_parameters: int

    @classmethod
    def of(cls, model: nn.Module, data: ELMRecData, epochs: int) -> FitPlan:
        """The plan of training a model on some data."""
        examples: dict[Task, int] = {t: len(data.pool.examples[t]) for t in data.tasks}
        learned = sum(p.numel() for p in model.parameters() if p.requires_grad)
        return cls(examples, data.steps_per_epoch, epochs, learned)
