"""ELMRec keeps the contract with a network of the smallest size."""

from __future__ import annotations

import numpy as np
from tests.contracts.recommender_contract import RecommenderContract

from edgewise.models.elmrec.recommender import ELMRec

SETTINGS = (
    "prompts.tasks=direct,sequential",
    "prompts.num_negatives=6",
    "prompts.max_history=8",
    "whole_words.sequential=graph",
    "training.epochs=40",
    "training.batch_size=16",
    "training.learning_rate=5e-3",
    "backbone.mimetic_init=true",
    "graph.normalize=false",
    "training.precision=fp32",
    "backbone.dropout=0.0",
    "graph.num_folds=3",
    "graph.num_iterations=3",
)


class TestELMRec(RecommenderContract):
    def build(self, seed):
        return ELMRec.from_preset("tiny", [*SETTINGS, f"seed={seed}"])

    def test_a_person_not_in_the_data_gets_the_items_of_the_group(self, model, world):
        items = [np.flatnonzero(world.item_group == group)[:6] for group in (0, 1)]
        found = model.recommend_new(items, k=3)
        assert world.item_group[found.item_index].tolist() == [0, 0, 0, 1, 1, 1]

    def test_a_person_without_history_is_answered(self, model):
        assert len(model.recommend_new([np.array([], dtype=np.int64)], k=3)) == 3
