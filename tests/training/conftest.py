"""A regression small enough to train in milliseconds, with dropout and rows of unequal batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from edgewise.config import updated
from edgewise.training.config import TrainingConfig
from edgewise.training.curves import Curves
from edgewise.training.trainer import Average, Stage, train


@dataclass(frozen=True)
class Rows:
    """Inputs ``[B, 3]`` and targets ``[B]``."""

    inputs: torch.Tensor
    targets: torch.Tensor

    def __len__(self) -> int:
        return len(self.targets)

    def to(self, device: torch.device) -> Rows:
        return self


def make_rows(seed: int, count: int) -> Rows:
    inputs = torch.randn(count, 3, generator=torch.Generator().manual_seed(seed))
    return Rows(inputs, inputs @ torch.tensor([1.0, -2.0, 0.5]))


@dataclass
class Data:
    """Batches of 5, 5, ..., 3 rows: the last of an epoch is short."""

    steps_per_epoch: int = 7
    stop_before: int = -1

    def batch(self, step: int, part: slice) -> Rows:
        if step == self.stop_before:
            raise KeyboardInterrupt
        whole = make_rows(step, 3 if (step + 1) % self.steps_per_epoch == 0 else 5)
        part = part if len(whole.targets[part]) else slice(None)
        return Rows(whole.inputs[part], whole.targets[part])

    def validate(self, average: Average, metric: str) -> Mapping[str, float]:
        return {task: average(batches) for task, batches in self.held_out().items()}

    def held_out(self) -> Mapping[str, Sequence[Rows]]:
        return {"first": [make_rows(100, 6), make_rows(101, 2)], "second": [make_rows(102, 4)]}


class Regression(nn.Module):
    """Mean squared error of a small network with dropout and a frozen buffer."""

    def __init__(self, dropout: float = 0.2) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.network = nn.Sequential(
            nn.Linear(3, 8), nn.ReLU(), nn.Dropout(dropout), nn.Linear(8, 1)
        )
        self.never_used = nn.Parameter(torch.ones(2))
        self.register_buffer("frozen", torch.ones(1000), persistent=False)

    def forward(self, rows: Rows) -> torch.Tensor:
        return ((self.network(rows.inputs)[:, 0] - rows.targets) ** 2).mean()


@pytest.fixture
def config() -> TrainingConfig:
    return TrainingConfig(epochs=4, patience=0, learning_rate=0.01, precision="fp32")


def weights(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def equal_weights(first: nn.Module, second: nn.Module) -> bool:
    pairs = zip(weights(first).values(), weights(second).values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def train_one(model, data, config, *, show_progress: bool = False, seed: int = 0, **more) -> Curves:
    """Train in a single stage."""
    stages = [Stage("only", data, config)]
    return train(model, stages, seed=seed, show_progress=show_progress, **more)["only"]


def changed(config: TrainingConfig, **values: object) -> TrainingConfig:
    return updated(config, values)
