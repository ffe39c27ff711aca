"""Item kNN keeps the contract, whatever the weights."""

from __future__ import annotations

import numpy as np
import pytest
from tests.contracts.checkerboard import checkerboard
from tests.contracts.recommender_contract import RecommenderContract

from edgewise.models.item_knn import ItemKNN


class TestItemKNN(RecommenderContract):
    def build(self, seed):
        return ItemKNN.from_preset("tiny", [f"seed={seed}"])


class TestBM25(RecommenderContract):
    def build(self, seed):
        return ItemKNN.from_preset("tiny", ["weighting=bm25", "relearn=true", f"seed={seed}"])


class TestTexts(RecommenderContract):
    @pytest.fixture(scope="class")
    @classmethod
    def world(cls):
        return checkerboard(described=True)

    def build(self, seed):
        return ItemKNN.from_preset("texts", [f"seed={seed}"])

    def test_similar_items(self, model, world, tmp_path):
        """One word of a title tells the group, and all items share the others."""
        found = model.similar_items(np.arange(24), 3)
        right = world.item_group[found.similar_to] == world.item_group[found.item_index]
        assert right.mean() > 0.55, "chance is 11/23"
