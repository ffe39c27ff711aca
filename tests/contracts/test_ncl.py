"""NCL keeps the contract with a network of the smallest size."""

from __future__ import annotations

from tests.contracts.recommender_contract import RecommenderContract

from edgewise.models.ncl import NCL


class TestNCL(RecommenderContract):
    def build(self, seed):
        return NCL.from_preset("tiny", [f"seed={seed}"])
