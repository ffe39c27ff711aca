"""EASE: the closed form against plain numpy, and what it may know."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from tests.contracts.checkerboard import checkerboard

from edgewise.errors import ConfigError, DataError
from edgewise.models import ease
from edgewise.models.ease import EASE, item_weights


def random_matrix(num_users=40, num_items=300, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.random((num_users, num_items)) < 0.2).astype(np.float32)


def test_the_closed_form():
    taken, l2 = random_matrix(), 3.0
    inverse = np.linalg.inv(taken.T @ taken.astype(float) + l2 * np.eye(taken.shape[1]))
    expected = np.eye(len(inverse)) - inverse @ np.diag(1 / np.diag(inverse))
    assert item_weights(sp.csr_array(taken), l2) == pytest.approx(expected, abs=1e-5)


def test_each_column_is_a_ridge_regression_on_the_other_items():
    taken, l2, item = random_matrix(num_items=12).astype(float), 2.0, 5
    others = np.delete(taken, item, axis=1)
    ridge = np.linalg.solve(others.T @ others + l2 * np.eye(11), others.T @ taken[:, item])
    weights = item_weights(sp.csr_array(taken.astype(np.float32)), l2)
    assert np.delete(weights[:, item], item) == pytest.approx(ridge, abs=1e-5)
    assert (np.diag(weights) == 0).all()


def test_scores_are_sums_of_rows():
    model = EASE.from_preset("tiny").fit(checkerboard().split)
    history = model.data.histories.take(np.array([3]))
    scores = model.score_items(np.array([3]), history)[0]
    assert scores == pytest.approx(model.weights[history.values].sum(0), abs=1e-6)


def test_held_out_rows_are_not_read():
    split = checkerboard().split
    other = replace(split.test, item_index=split.test.item_index[::-1].copy())
    first = EASE.from_preset("tiny").fit(split)
    second = EASE.from_preset("tiny").fit(replace(split, test=other, valid=other))
    assert np.array_equal(first.weights, second.weights)


@pytest.mark.parametrize("relearn", [False, True])
def test_weights_may_be_learned_anew_from_what_users_have_by_now(relearn):
    split = checkerboard().split
    model = EASE.from_preset("tiny", [f"relearn={str(relearn).lower()}"]).fit(split)
    fitted, told = model.weights.copy(), split.known_before("test")
    model.prepare(told)
    expected = item_weights(model.matrix(told), 10.0) if relearn else fitted
    assert np.array_equal(model.weights, expected)
    assert np.array_equal(model.weights, fitted) is not relearn
    model.prepare(model.data.histories)
    assert model.weights == pytest.approx(fitted, abs=1e-6)


def test_a_catalogue_that_is_too_large_is_refused(monkeypatch):
    # 24 items need 12 * 24^2 = 6,912 bytes; 1,200 bytes are enough for 10.
    monkeypatch.setattr(ease, "total_memory", lambda: 1_200)
    told = []
    with pytest.raises(DataError, match=r"24 items.*--k-core to keep at most 10, .*lightgcn"):
        EASE.from_preset("tiny").fit(checkerboard().split, on_plan=told.append)
    assert not told, "refused before the plan"
    monkeypatch.setattr(ease, "total_memory", lambda: 6_912)
    EASE.from_preset("tiny").fit(checkerboard().split)


def test_lambda_is_above_zero():
    with pytest.raises(ConfigError, match=r"l2 = 0\.0: must be above"):
        EASE(l2=0.0)
