"""The graph-attentive GPT-2 keeps the contract with a network of the smallest size."""

from __future__ import annotations

import numpy as np
from tests.contracts.recommender_contract import RecommenderContract

from edgewise.models.graph_gpt.recommender import GraphGPT

SETTINGS = (
    "stages=sequence",
    "history.user_token=true",
    "backbone.dropout=0.0",
    "backbone.max_tokens=64",
    "training.sequence.epochs=30",
    "training.sequence.patience=0",
    "training.sequence.batch_size=16",
    "training.sequence.learning_rate=5e-3",
    "training.sequence.precision=fp32",
)


class TestGraphGPT(RecommenderContract):
    def build(self, seed):
        return GraphGPT.from_preset("tiny", [*SETTINGS, f"seed={seed}"])

    def test_a_person_not_in_the_data_gets_the_items_of_the_group(self, model, world):
        items = [np.flatnonzero(world.item_group == group)[:6] for group in (0, 1)]
        found = model.recommend_new(items, k=3)
        assert world.item_group[found.item_index].tolist() == [0, 0, 0, 1, 1, 1]

    def test_a_person_without_history_is_answered(self, model):
        assert len(model.recommend_new([np.array([], dtype=np.int64)], k=3)) == 3
