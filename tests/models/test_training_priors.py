"""Priors in the loss: nobody is told what was counted in the own history."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from edgewise.data.dataset import histories_of
from edgewise.data.ragged import Ragged
from edgewise.data.splits import Split, leave_one_out
from edgewise.data.synthetic import make_demo_shop
from edgewise.graph.transitions import item_transitions
from edgewise.models.item_priors import PriorsConfig
from edgewise.models.mixing import PriorMixture
from edgewise.models.training_priors import NUM_FOLDS, TrainingPriors

NAMES = ("transitions", "markov", "texts", "popularity")


@pytest.fixture(scope="module")
def split() -> Split:
    return leave_one_out(make_demo_shop(seed=1, num_users=60, num_items=48))


def told_by(split: Split, **settings) -> TrainingPriors:
    config = PriorsConfig(**({"names": NAMES} | settings))
    histories = histories_of(split.dataset.num_users, split.train)
    mixture = PriorMixture.of(split, histories, config, seed=0)
    assert mixture is not None
    return TrainingPriors.of(split, histories, mixture, config, seed=0)


@pytest.fixture(scope="module")
def priors(split) -> TrainingPriors:
    return told_by(split)


def test_users_are_told_what_others_rows_say(split, priors):
    """One prior, one item before: w log(1 + T_ij / o_i / e), T counted without the user's fold."""
    alone = told_by(split, names=("markov",), neighbours=1000)
    histories = split.known_before("valid")
    size, weight = float(alone.whole.sizes[0]), float(alone.weights[0])
    for user in range(0, 60, 7):
        others = alone.fold != alone.fold[user]
        rows = Ragged.of_rows([histories[other] for other in np.flatnonzero(others)])
        counted = item_transitions(rows, 48, 1, backward=0.0).toarray()
        counted /= np.maximum(counted.sum(1, keepdims=True), 1)
        item = histories[user][0]
        expected = weight * np.log1p(counted[item] / size)
        asked = np.array([user]), Ragged.of_rows([np.array([item])])
        np.testing.assert_allclose(alone.of_train(*asked)[0], expected, atol=1e-5)
    assert priors.fold.min() == 0 and priors.fold.max() == NUM_FOLDS - 1


def test_nothing_of_the_own_history_is_told(split, priors):
    """Somebody who now takes the same items in another order is told the same."""
    users = np.arange(60)
    before = Ragged.of_rows([np.array([3, 5])] * 60)
    told = priors.of_train(users, before)
    turned = split.train.item_index.copy()
    own = split.train.user_index == 7
    turned[own] = turned[own][::-1]
    other = replace(split, train=replace(split.train, item_index=turned))
    changed = told_by(other)
    # One constant a prior, its usual size, is of all rows.
    folds = tuple(replace(each, sizes=priors.whole.sizes) for each in changed.folds)
    same = replace(changed, folds=folds, weights=priors.weights).of_train(users, before)
    mates = priors.fold == priors.fold[7]
    assert torch.equal(told[mates], same[mates])
    assert not torch.equal(told[~mates], same[~mates])


def test_rows_of_validation_are_told_by_all_train_rows(split, priors):
    histories = split.known_before("valid").take(np.arange(9))
    features = [*priors.whole.features(histories)]
    expected = sum(
        float(weight) * feature for weight, feature in zip(priors.weights, features, strict=True)
    )
    torch.testing.assert_close(priors.of_valid(histories), expected, atol=1e-5, rtol=1e-5)


def test_a_user_without_items_before_is_told_what_all_are(priors):
    empty = Ragged.of_rows([np.empty(0, np.int64), np.empty(0, np.int64)])
    told = priors.of_train(np.flatnonzero(priors.fold == priors.fold[0])[:2], empty)
    assert torch.equal(told[0], told[1]) and told[0].std() > 0, "popularity alone"
