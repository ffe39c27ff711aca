"""GRU4Rec keeps the contract with a network of the smallest size."""

from __future__ import annotations

from tests.contracts.recommender_contract import RecommenderContract

from edgewise.models.gru4rec import GRU4Rec


class TestGRU4Rec(RecommenderContract):
    def build(self, seed):
        return GRU4Rec.from_preset("tiny", [f"seed={seed}"])
