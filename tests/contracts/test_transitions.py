"""Item transitions keep the contract."""

from __future__ import annotations

from tests.contracts.recommender_contract import RecommenderContract

from edgewise.models.transitions import Transitions


class TestTransitions(RecommenderContract):
    def build(self, seed):
        return Transitions.from_preset("tiny", [f"seed={seed}"])


class TestOneStepForward(RecommenderContract):
    def build(self, seed):
        return Transitions.from_preset("tiny", ["backward=0", "second=0", f"seed={seed}"])
