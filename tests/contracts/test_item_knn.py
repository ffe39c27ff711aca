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
        """Titles tell of size and colour, too: the nearest one has the most words alike."""
        found = model.similar_items(np.array([3]), 1)
        words = [set(title.split()) for title in world.split.dataset.catalog.title]
        shared = [len(words[3] & other) for other in words]
        shared[3] = 0
        assert shared[found.item_index[0]] == max(shared)
