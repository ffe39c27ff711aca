"""eSASRec keeps the contract with a network of the smallest size."""

from __future__ import annotations

from tests.contracts.recommender_contract import RecommenderContract

from edgewise.models.esasrec import ESASRec


class TestESASRec(RecommenderContract):
    def build(self, seed):
        return ESASRec.from_preset("tiny", [f"seed={seed}"])
