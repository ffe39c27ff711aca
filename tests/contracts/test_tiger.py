"""TIGER keeps the contract with a network of the smallest size."""

from __future__ import annotations

import numpy as np
from tests.contracts.recommender_contract import RecommenderContract

from edgewise.models.tiger import TIGER


class TestTIGER(RecommenderContract):
    def build(self, seed):
        return TIGER.from_preset("tiny", ["num_user_tokens=8", f"seed={seed}"])

    def test_a_person_not_in_the_data_gets_the_items_of_the_group(self, model, world):
        items = [np.flatnonzero(world.item_group == group)[:6] for group in (0, 1)]
        found = model.recommend_new(items, k=3)
        assert world.item_group[found.item_index].tolist() == [0, 0, 0, 1, 1, 1]
