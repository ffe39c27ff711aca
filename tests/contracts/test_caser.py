"""Caser keeps the contract with a network of the smallest size."""

from __future__ import annotations

from tests.contracts.recommender_contract import RecommenderContract

from edgewise.models.caser import Caser


class TestCaser(RecommenderContract):
    def build(self, seed):
        return Caser.from_preset("tiny", [f"seed={seed}"])
