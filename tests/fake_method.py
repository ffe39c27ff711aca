"""A method of two stages that learns in no time: what runs do must not depend on which method."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import pytest

from edgewise.config import MethodConfig, Settings, Stages, section, setting
from edgewise.data.splits import Split
from edgewise.models.popularity import Popularity
from edgewise.models.registry import METHODS, Method
from edgewise.recommender import FitOptions, FitPlan
from edgewise.training.config import TrainingConfig
from edgewise.training.curves import Curves


class FakeBackbone(Settings):
    SECTION = "backbone"

    name: str = setting("none", "Of the language model, which there is not.")


class FakeStages(Stages):
    SECTION = "training"

    first: TrainingConfig = section(TrainingConfig)
    second: TrainingConfig = section(TrainingConfig)


class FakeConfig(MethodConfig):
    taste: Literal["popular", "rare"] = setting("popular", "What is liked.", symbol="t, Eq. 1")
    backbone: FakeBackbone = section(FakeBackbone)
    training: FakeStages = section(FakeStages)


PRESETS: dict[str, dict[str, Any]] = {"cpu": {}, "tiny": {}}


def curves(seconds: float, task: str) -> Curves:
    """Of two epochs, the second of them the better one."""
    rows = [{"step": 10, "loss": 2.0, task: 2.0}, {"step": 20, "loss": 1.0, task: 1.0}]
    return Curves(20, 0, 1.0, seconds, [(10, 2.5), (20, 1.5)], rows)


class Fake(Popularity):
    """Popularity with the settings, the plan and the curves of a method of two stages."""

    name, label = "fake", "Fake"
    Config = FakeConfig
    PRESETS = PRESETS

    def _fit(self, split: Split, options: FitOptions) -> None:
        if options.on_plan is not None:
            options.on_plan(FitPlan((("first", "two epochs"),), 1234))
        self.fit_scores(split)
        self.stage_curves = {"first": curves(2.0, "direct"), "second": curves(3.0, "a task")}

    def explain(self, pairs: Any) -> list[str]:
        raise AssertionError("nobody may ask what was not trained")


FAKE = Method("fake", "tests.fake_method:Fake", "Fake", "Popularity in disguise.")


@contextmanager
def registered() -> Iterator[Method]:
    """Where the method can be found by its name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(METHODS, FAKE.name, FAKE)
        yield FAKE
