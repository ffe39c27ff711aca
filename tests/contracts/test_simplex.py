"""SimpleX keeps the contract with a network of the smallest size."""

from __future__ import annotations

from tests.contracts.recommender_contract import RecommenderContract

from edgewise.models.simplex import SimpleX


class TestSimpleX(RecommenderContract):
    def build(self, seed):
        return SimpleX.from_preset("tiny", [f"seed={seed}"])
