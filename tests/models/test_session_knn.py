"""Session kNN against loops over users."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.contracts.checkerboard import checkerboard

from edgewise.models.session_knn import SessionKNN

SETTINGS: dict[str, Any] = {
    "recency": 0.7,
    "neighbor_recency": 0.4,
    "rarity": 1.5,
    "normalization": 0.3,
    "popularity": -0.2,
}


@pytest.mark.parametrize("neighbors", [8, 1000])
def test_scores_worked_by_loops(neighbors):
    model = SessionKNN(neighbors=neighbors, **SETTINGS).fit(checkerboard().split)
    rows = [row.tolist() for row in model.data.histories.rows()]
    count = np.bincount(np.concatenate(rows), minlength=24)
    asked, user = [*rows[5][-3:], rows[6][0]], 5

    def near(other: list[int]) -> float:
        total = 0.0
        for age, item in enumerate(reversed(asked), start=1):
            if item in other:
                total += age**-0.7 * np.log(len(rows) / count[item]) ** 1.5
        return total / len(other) ** 0.3

    likeness = np.array([0 if other == user else near(row) for other, row in enumerate(rows)])
    bar = np.sort(likeness)[::-1][min(neighbors, len(rows)) - 1]
    assert (likeness >= bar).sum() == neighbors or bar == 0, "no ties at the border"
    expected = np.zeros(24)
    for other, row in enumerate(rows):
        if likeness[other] >= bar:
            for age, item in enumerate(reversed(row), start=1):
                expected[item] += likeness[other] * age**-0.4 * count[item] ** -0.2
    histories = model.data.histories.of_rows([np.array(asked)])
    found = model.score_items(np.array([user]), histories)[0]
    assert found[expected > 0] == pytest.approx(expected[expected > 0], rel=1e-4)
    assert (found[expected == 0] < 0).all()
