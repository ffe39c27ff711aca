"""Every graph filter keeps the contract."""

from __future__ import annotations

from tests.contracts.recommender_contract import RecommenderContract

from edgewise.models.graph_filter import GraphFilter


class TestTwoStep(RecommenderContract):
    def build(self, seed):
        return GraphFilter.from_preset("tiny", [f"seed={seed}"])


class TestGFCF(RecommenderContract):
    def build(self, seed):
        return GraphFilter.from_preset("tiny", ["filter=gf-cf", f"seed={seed}"])


class TestSVD(RecommenderContract):
    def build(self, seed):
        return GraphFilter.from_preset("tiny", ["filter=svd", f"seed={seed}"])
