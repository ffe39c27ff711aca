"""Item transitions against plain numpy."""

from __future__ import annotations

import numpy as np
import pytest
from tests.contracts.checkerboard import checkerboard

from edgewise.errors import ConfigError
from edgewise.models.transitions import Transitions


@pytest.mark.parametrize("second", [0.0, 0.6])
def test_scores_worked_by_loops(second):
    settings = {"forward": 2.0, "backward": 0.5, "window": 3, "decay": 0.8, "popularity": 0.7}
    model = Transitions(recency=0.9, first=1.5, second=second, **settings)
    model.fit(checkerboard().split)
    counted = np.zeros((24, 24))
    for row in model.data.histories.rows():
        for place, earlier in enumerate(row):
            for steps, later in enumerate(row[place + 1 : place + 4], start=1):
                counted[earlier, later] += 2.0 * steps**-0.8
                counted[later, earlier] += 0.5 * steps**-0.8
    normal = counted / counted.sum(1)[:, None] ** 0.5 / counted.sum(0) ** 0.3
    history = model.data.histories.take(np.array([7]))
    weights = np.zeros(24)
    weights[history.values[::-1]] = np.arange(1, len(history.values) + 1) ** -0.9
    expected = weights @ (1.5 * normal + second * normal @ normal)
    found = model.score_items(np.array([7]), history)[0]
    assert found[expected > 0] == pytest.approx(expected[expected > 0], rel=1e-4)
    assert (found[expected == 0] < 0).all() and (expected == 0).any()


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"forward": 0.0, "backward": 0.0}, "nothing is counted"),
        ({"first": 0.0, "second": 0.0}, "nothing is scored"),
    ],
)
def test_settings_that_leave_nothing_are_refused(settings, told):
    with pytest.raises(ConfigError, match=told):
        Transitions(**settings)


def test_neighbors_are_the_largest_of_each_row():
    split = checkerboard().split
    whole = Transitions().fit(split).transitions.toarray()
    kept = Transitions(neighbors=4).fit(split).transitions.toarray()
    bar = -np.sort(-whole, axis=1)[:, [3]]
    assert (np.count_nonzero(kept, axis=1) == np.minimum(4, np.count_nonzero(whole, axis=1))).all()
    assert (whole[kept > 0] >= np.broadcast_to(bar, whole.shape)[kept > 0]).all()
    assert np.array_equal(kept[kept > 0], whole[kept > 0])
