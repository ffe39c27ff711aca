"""Ragged with a part left out, and what is to be told from them."""

from __future__ import annotations

import re

import numpy as np
import pytest
from tests.models.graph_gpt.stages.conftest import (
    ALL,
    prompts_of,
    stage,
    tiny_split,
    token_space,
)

from edgewise.models.graph_gpt.batch import IGNORED, PromptBatch
from edgewise.models.graph_gpt.stages.predictive import num_left_out
from edgewise.models.graph_gpt.tokens import TokenSpace

TRAIN = [[0, 3, 2, 1, 4], [5], [2, 4], []]


@pytest.fixture(scope="module")
def worked():
    return tiny_split(TRAIN, valid=[(0, 5), (1, 2), (2, 4), (3, 1)])


@pytest.fixture(scope="module")
def worked_tokens(worked) -> TokenSpace:
    return token_space(worked)


def items_by_user(tokens: TokenSpace, batch: PromptBatch) -> dict[int, tuple[list[int], list[int]]]:
    """Items of each user's prompt and of the targets."""
    assert batch.positives is not None and (batch.targets == IGNORED).all()
    found = {}
    for row, text in enumerate(prompts_of(tokens, batch)):
        users = set(re.findall(r"\[u(\d+)\]", text))
        assert len(users) == 1
        targets = batch.positives[batch.positives[:, 0] == row, 1].tolist()
        found[int(users.pop())] = ([int(n) for n in re.findall(r"\[i(\d+)\]", text)], targets)
    return found


def test_share_left_out():
    lengths = np.array([1, 2, 3, 5, 7, 8, 12, 13])
    assert num_left_out(lengths, 0.2).tolist() == [0, 1, 1, 1, 1, 2, 2, 3]
    assert num_left_out(lengths, 0.0).tolist() == [0] * 8
    assert num_left_out(lengths, 0.99).tolist() == [0, 1, 2, 4, 6, 7, 11, 12]


def test_wording(worked, worked_tokens):
    batch = stage("predictive", worked, "history.mask_rate=0.0", tokens=worked_tokens).batch(0, ALL)
    assert " [u1] has interacted with [i5] . [u1] will interact with" in prompts_of(
        worked_tokens, batch
    )


def test_all_train_items_are_targets_whatever_is_left_out(worked, worked_tokens):
    data = stage("predictive", worked, "history.order=time", tokens=worked_tokens)
    for epoch in range(4):
        found = items_by_user(worked_tokens, data.batch(epoch, ALL))
        assert sorted(found) == [0, 1, 2], "nobody without a train row"
        for user, (kept, targets) in found.items():
            assert targets == sorted(TRAIN[user])
            assert len(kept) == [4, 1, 1][user]
            assert kept == [item for item in TRAIN[user] if item in kept], "in order of time"


def test_masked_targets_are_what_was_left_out(worked, worked_tokens):
    settings = ("history.targets=masked", "history.mask_rate=0.4")
    data = stage("predictive", worked, *settings, tokens=worked_tokens)
    hidden = set()
    for epoch in range(12):
        found = items_by_user(worked_tokens, data.batch(epoch, ALL))
        assert sorted(found) == [0, 2], "one item cannot be both history and target"
        for user, (kept, targets) in found.items():
            assert sorted(kept + targets) == sorted(TRAIN[user])
            assert len(targets) == {0: 2, 2: 1}[user]
        hidden |= set(found[0][1])
    assert hidden == set(TRAIN[0]), "each item has its turn"


def test_the_share_is_drawn_evenly(by_ratio, tokens):
    data = stage("predictive", by_ratio, "history.targets=masked", tokens=tokens)
    user = int(data.users[np.argmax(data.prompts.histories.lengths[data.users])])
    num_items = data.prompts.histories.lengths[user]
    epochs = 400
    counts = np.zeros(by_ratio.dataset.num_items)
    for epoch in range(epochs):
        batch = data.prompts.training(np.array([user]), epoch)
        assert batch.positives is not None
        np.add.at(counts, batch.positives[:, 1].numpy(), 1)
    counts = counts[counts > 0]
    wanted = epochs * num_left_out(np.array([num_items]), 0.2)[0] / num_items
    assert len(counts) == num_items
    assert (np.abs(counts - wanted) < 5 * np.sqrt(wanted)).all(), counts


def test_targets_reach_beyond_the_window(worked, worked_tokens):
    data = stage("predictive", worked, "history.max_items=2", tokens=worked_tokens)
    kept, targets = items_by_user(worked_tokens, data.batch(0, ALL))[0]
    assert set(kept) < {1, 4} and len(kept) == 1
    assert targets == [0, 1, 2, 3, 4]


def test_validation_reads_whole_histories_and_asks_for_new_items(worked, worked_tokens):
    data = stage("predictive", worked, tokens=worked_tokens)
    (batch,) = data.valid_batches
    found = items_by_user(worked_tokens, batch)
    assert {user: (sorted(kept), t) for user, (kept, t) in found.items()} == {
        0: ([0, 1, 2, 3, 4], [5]),
        1: ([5], [2]),
    }


def test_no_held_out_row_means_no_validation(worked_tokens):
    data = stage("predictive", tiny_split(TRAIN), tokens=worked_tokens)
    assert data.valid_batches == []
