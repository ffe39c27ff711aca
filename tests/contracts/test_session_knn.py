"""Session kNN keeps the contract."""

from __future__ import annotations

from tests.contracts.recommender_contract import RecommenderContract

from edgewise.models.session_knn import SessionKNN


class TestSessionKNN(RecommenderContract):
    def build(self, seed):
        return SessionKNN.from_preset("tiny", [f"seed={seed}"])
