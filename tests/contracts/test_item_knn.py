"""Item kNN keeps the contract, whatever the weights."""

from __future__ import annotations

from tests.contracts.recommender_contract import RecommenderContract

from edgewise.models.item_knn import ItemKNN


class TestItemKNN(RecommenderContract):
    def build(self, seed):
        return ItemKNN.from_preset("tiny", [f"seed={seed}"])


class TestBM25(RecommenderContract):
    def build(self, seed):
        return ItemKNN.from_preset("tiny", ["weighting=bm25", "relearn=true", f"seed={seed}"])
