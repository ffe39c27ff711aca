"""BERT4Rec keeps the contract with a network of the smallest size."""

from __future__ import annotations

from tests.contracts.recommender_contract import RecommenderContract

from edgewise.models.bert4rec import BERT4Rec


class TestBERT4Rec(RecommenderContract):
    def build(self, seed):
        return BERT4Rec.from_preset("tiny", [f"seed={seed}"])
