"""XSimGCL keeps the contract with a network of the smallest size."""

from __future__ import annotations

from tests.contracts.recommender_contract import RecommenderContract

from edgewise.models.xsimgcl import XSimGCL


class TestXSimGCL(RecommenderContract):
    def build(self, seed):
        return XSimGCL.from_preset("tiny", [f"seed={seed}"])
