"""What methods that only count have in common, each of them on the checkerboard world."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from tests.contracts.checkerboard import checkerboard

from edgewise.data.dataset import Interactions
from edgewise.data.ragged import Ragged
from edgewise.errors import DataError
from edgewise.models import counting
from edgewise.models.counting import nearest_of_rows, powers
from edgewise.models.graph_filter import GraphFilter
from edgewise.models.item_knn import ItemKNN
from edgewise.models.session_knn import SessionKNN
from edgewise.models.transitions import Transitions

METHODS = (ItemKNN, GraphFilter, Transitions, SessionKNN)
each = pytest.mark.parametrize("method", METHODS)


def scores(model) -> np.ndarray:
    rows = model.data.histories
    return model.score_items(np.arange(len(rows)), rows)


@each
def test_held_out_rows_are_not_read(method):
    split = checkerboard().split
    other = replace(split.test, item_index=split.test.item_index[::-1].copy())
    first = method.from_preset("tiny").fit(split)
    second = method.from_preset("tiny").fit(replace(split, test=other, valid=other))
    assert np.array_equal(scores(first), scores(second))


@each
@pytest.mark.parametrize("relearn", [False, True])
def test_what_is_told_later_may_be_counted(method, relearn, tmp_path):
    """As if it had been fitted on it; what is saved is what train rows say all the same."""
    split = checkerboard().split
    told = split.known_before("test")
    joined = Interactions(told.row_of_value.astype(np.int32), told.values)
    model = method.from_preset("tiny", [f"relearn={str(relearn).lower()}"]).fit(split)
    as_fitted = scores(model)
    model.prepare(told)
    newer = method.from_preset("tiny").fit(replace(split, train=joined))
    users = np.arange(len(told))
    expected = scores(newer) if relearn else model.score_items(users, told)
    assert model.score_items(users, told) == pytest.approx(expected, abs=1e-5)
    assert bool(abs(scores(model) - as_fitted).max() > 1e-6) is relearn
    model.save_pretrained(tmp_path / "model")
    assert scores(method.from_pretrained(tmp_path / "model")) == pytest.approx(as_fitted, abs=1e-6)


@each
def test_a_few_users_at_a_time_are_all_of_them(method, monkeypatch):
    model = method.from_preset("tiny").fit(checkerboard().split)
    expected = scores(model)
    monkeypatch.setattr(counting, "_VALUES_AT_ONCE", 7 * 48)
    assert scores(model) == pytest.approx(expected, abs=1e-5)


@each
def test_people_with_one_item_each_teach_nothing(method):
    split = checkerboard().split
    _, first = np.unique(split.train.user_index, return_index=True)
    with pytest.raises(DataError, match=f"no user with two train rows, and {method.name} learns"):
        method.from_preset("tiny").fit(replace(split, train=split.train.take(first)))


@each
def test_a_newcomer_scores_like_somebody_with_the_same_items(method):
    """But for session-knn, where the known user is no neighbour of himself, order is the same."""
    model = method.from_preset("tiny").fit(checkerboard().split)
    row = model.data.histories.take(np.array([3]))
    known, new = (model.score_items(np.array([user]), row)[0] for user in (3, -1))
    others = np.setdiff1d(np.arange(24), row.values)
    assert new[others] == pytest.approx(known[others], abs=1e-5)


def test_recency_falls_with_age_and_repeats_add_up():
    model = ItemKNN.from_preset("tiny").fit(checkerboard().split)
    histories = Ragged.of_rows([np.array([5, 7, 5, 9]), np.array([2])])
    found = model.recent(histories, 1.0).toarray()
    expected = np.zeros((2, 24))
    expected[0, [5, 7, 9]] = 1 / 4 + 1 / 2, 1 / 3, 1
    expected[1, 2] = 1
    assert found == pytest.approx(expected)
    assert model.recent(histories, 0.0).toarray()[0, 5] == 2


@pytest.mark.parametrize("k", [1, 3, 50])
def test_the_largest_of_each_row(k):
    matrix = sp.csr_array(sp.random_array((30, 20), density=0.4, rng=np.random.default_rng(0)))
    dense = matrix.toarray()
    bar = -np.sort(-dense, axis=1)[:, min(k, 20) - 1 : min(k, 20)]
    assert nearest_of_rows(matrix, k).toarray() == pytest.approx(np.where(dense >= bar, dense, 0))


def test_powers_of_nothing_are_nothing():
    assert powers(np.array([0, 4, 9]), -0.5).tolist() == pytest.approx([0, 1 / 2, 1 / 3])
