"""ELMRec keeps the contract with a network of the smallest size."""

from __future__ import annotations

from typing import ClassVar

from tests.contracts.recommender_contract import RecommenderContract

from edgewise.models.elmrec.recommender import ELMRec

SETTINGS = (
    "prompts.tasks=direct,sequential",
    "prompts.num_negatives=6",
    "prompts.max_history=8",
    "whole_words.sequential=graph",
    "training.epochs=40",
    "training.batch_size=16",
    "training.learning_rate=5e-3",
    "backbone.mimetic_init=true",
    "graph.normalize=false",
    "training.precision=fp32",
    "backbone.dropout=0.0",
    "graph.num_folds=3",
    "graph.num_iterations=3",
)


class TestELMRec(RecommenderContract):
    FORM: ClassVar[tuple[str, ...]] = ()

    def build(self, seed):
        return ELMRec.from_preset("tiny", [*SETTINGS, *self.FORM, f"seed={seed}"])


class TestOneToken(TestELMRec):
    """Users and items as one vector each, answers scored by the heads."""

    FORM: ClassVar = ("prompts.ids=one-token",)
