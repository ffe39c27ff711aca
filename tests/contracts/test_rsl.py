"""RSL keeps the contract with a network of the smallest size."""

from __future__ import annotations

from tests.contracts.recommender_contract import RecommenderContract

from edgewise.models.elmrec.rsl import RSL

SETTINGS = (
    "prompts.tasks=sequential",
    "prompts.max_history=8",
    "backbone.dropout=0.0",
    "training.epochs=60",
    "training.patience=0",
    "training.batch_size=16",
    "training.learning_rate=2e-3",
    "training.precision=fp32",
)


class TestRSL(RecommenderContract):
    def build(self, seed):
        return RSL.from_preset("tiny", [*SETTINGS, f"seed={seed}"])
