"""Asking in pieces changes nothing but the telling."""

from __future__ import annotations

import numpy as np

from edgewise.data.negatives import uniform_candidates
from edgewise.data.splits import leave_one_out
from edgewise.data.synthetic import make_demo_shop
from edgewise.models.popularity import Popularity
from edgewise.runs.predict import BatchedRecommender


class Accepting(Popularity):
    """Popularity with the arguments of a model that knows tasks."""

    def score_candidates(self, candidates, *, histories=None, task=None):
        return super().score_candidates(candidates, histories=histories)

    def explain(self, pairs):
        return [f"{user}-{item}" for user, item in pairs]


def test_pieces_equal_the_whole():
    split = leave_one_out(make_demo_shop(0, num_users=11, num_items=60))
    model, told = Accepting().fit(split), []
    pieces = BatchedRecommender(model, lambda done, total: told.append((done, total)), size=4)  # type: ignore[arg-type]
    users = np.array([9, 0, 3, 5, 1])
    known = split.known_before("test")
    whole, parts = (m.recommend(users, 3, histories=known) for m in (model, pieces))
    for name in ("user_index", "item_index", "rank", "score"):
        assert np.array_equal(getattr(whole, name), getattr(parts, name))
    assert told == [(4, 5), (5, 5)]
    lists = uniform_candidates(split, "test", 5)
    scores = [m.score_candidates(lists, histories=known) for m in (model, pieces)]
    assert np.array_equal(*scores)
    asked = [(user, user + 1) for user in range(9)]
    assert pieces.explain(asked) == model.explain(asked)
    assert len(pieces.recommend(users[:0], 3, histories=known)) == 0
