"""What a training run is about to do, told before its first step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from edgewise.models.graph_gpt.config import Stage, StageTraining
from edgewise.training.loop import TrainingData


@dataclass(frozen=True)
class StagePlan:
    """The size of one stage.

    Attributes:
        name: of the stage.
        examples: prompts of an epoch.
        steps_per_epoch: batches.
        epochs: passes at most.
    """

    name: Stage
    examples: int
    steps_per_epoch: int
    epochs: int


@dataclass(frozen=True)
class FitPlan:
    """The size of a training run.

    Attributes:
        stages: in the order in which they are trained; those without data are left out.
        num_parameters: numbers that are learned.
    """

    stages: tuple[StagePlan, ...]
    num_parameters: int

    @classmethod
    def of(
        cls, model: nn.Module, stages: Mapping[Stage, TrainingData], training: StageTraining
    ) -> FitPlan:
        """The plan of training a model on the stages' data."""
        learned = sum(p.numel() for p in model.parameters() if p.requires_grad)
        plans = (
            StagePlan(name, num_examples(data), data.steps_per_epoch, training.of(name).epochs)
            for name, data in stages.items()
        )
        return cls(tuple(plans), learned)


def num_examples(data: Any) -> int:
    """Prompts in one epoch of a stage: its own count, or all rows of its schedule."""
    if hasattr(data, "num_examples"):
        return data.num_examples
    return sum(len(group) for group in data.schedule.lengths)
