"""A method of two stages that learns in no time: what runs do must not depend on which method."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from edgewise.data.ragged import Ragged
from edgewise.models.popularity import Popularity
from edgewise.models.registry import Method
from edgewise.training.config import TrainingConfig
from edgewise.training.curves import Curves


@dataclass(frozen=True)
class FakeBackbone:
    name: str = "none"


@dataclass(frozen=True)
class FakeStages:
    first: TrainingConfig = field(default_factory=TrainingConfig)
    second: TrainingConfig = field(default_factory=TrainingConfig)


@dataclass(frozen=True)
class FakeConfig:
    seed: int = 0
    taste: Literal["popular", "rare"] = "popular"
    backbone: FakeBackbone = field(default_factory=FakeBackbone)
    training: FakeStages = field(default_factory=FakeStages)


PRESETS: dict[str, Callable[[], FakeConfig]] = {"cpu": FakeConfig, "tiny": FakeConfig}


def preset(name: str) -> FakeConfig:
    return PRESETS[name]()


@dataclass(frozen=True)
class FakePlan:
    num_parameters: int = 1234


def curves(seconds: float, task: str) -> Curves:
    rows = [{"step": 10, "total": 2.0, task: 2.0}, {"step": 20, "total": 1.0, task: 1.0}]
    return Curves(20, 0, 1.0, seconds, [(10, 2.5), (20, 1.5)], rows)


class Fake(Popularity):
    """Popularity with the surface that runs ask for."""

    def __init__(self, config: Any = 0) -> None:
        super().__init__(getattr(config, "seed", config))
        self.config = config if isinstance(config, FakeConfig) else FakeConfig(config)
        self.tasks = ("sequential", "direct")
        self.curves: Curves | None = None
        self.stage_curves: dict[str, Curves] = {}

    def fit(self, split, *, folder=None, resume=False, show_progress=False, on_plan=None):
        if on_plan is not None:
            on_plan(FakePlan())
        self.stage_curves = {"first": curves(2.0, "direct"), "second": curves(3.0, "a task")}
        self.curves = self.stage_curves["second"]
        return super().fit(split)

    def recommend_new(self, histories, k=10):
        offsets = np.cumsum([0, *map(len, histories)])
        known = Ragged(offsets, np.concatenate(histories))
        return self.recommend(np.arange(len(histories)), k, histories=known)

    def score_candidates(self, candidates, *, histories=None, new_users=None, task=None):
        return super().score_candidates(candidates, histories=histories)

    def explain(self, pairs):
        raise AssertionError("nobody may ask what was not trained")


FAKE = Method(
    "fake",
    "Fake",
    *(f"tests.fake_method:{name}" for name in ("Fake", "FakeConfig", "PRESETS", "preset")),
)
