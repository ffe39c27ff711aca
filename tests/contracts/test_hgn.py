"""HGN keeps the contract with a network of the smallest size."""

from __future__ import annotations

from tests.contracts.recommender_contract import RecommenderContract

from edgewise.models.hgn import HGN


class TestHGN(RecommenderContract):
    def build(self, seed):
        return HGN.from_preset("tiny", [f"seed={seed}"])
