"""Popularity keeps the contract; that it cannot tell groups apart is its nature."""

from __future__ import annotations

from tests.contracts.recommender_contract import RecommenderContract

from edgewise.models.popularity import Popularity


class TestPopularity(RecommenderContract):
    finds_groups = False

    def build(self, seed):
        return Popularity(seed=seed)
