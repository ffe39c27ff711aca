"""LightGCN keeps the contract with a network of the smallest size."""

from __future__ import annotations

import numpy as np
from tests.contracts.recommender_contract import RecommenderContract

from edgewise.models.lightgcn import LightGCN


class TestLightGCN(RecommenderContract):
    def build(self, seed):
        return LightGCN.from_preset("tiny", [f"seed={seed}"])

    def test_a_person_not_in_the_data_gets_the_items_of_the_group(self, model, world):
        items = [np.flatnonzero(world.item_group == group)[:6] for group in (0, 1)]
        found = model.recommend_new(items, k=3)
        assert world.item_group[found.item_index].tolist() == [0, 0, 0, 1, 1, 1]


class TestWithSampledSoftmax(RecommenderContract):
    def build(self, seed):
        return LightGCN.from_preset(
            "tiny", ["loss=sampled_softmax", "num_negatives=8", f"seed={seed}"]
        )
