"""Each item is the target of what stands before it."""

from __future__ import annotations

import pytest
import torch
from tests.models.graph_gpt.stages.conftest import (
    ALL,
    prompts_of,
    stage,
    tiny_split,
    token_space,
)

from edgewise.models.graph_gpt.batch import IGNORED


@pytest.fixture(scope="module")
def worked():
    """Two users; the second has one item."""
    return tiny_split([[0, 3, 2], [5]], valid=[(0, 1), (0, 4), (1, 2)])


def test_worked_example(worked):
    tokens = token_space(worked)
    data = stage("events", worked, "history.order=time", tokens=tokens)
    batch = data.batch(0, ALL)
    assert data.steps_per_epoch == 1 and batch.space == "items" and batch.positives is None
    prompts = [" [u0] has interacted with [i0] [i3]", " [u1] has interacted with"]
    assert sorted(prompts_of(tokens, batch)) == prompts
    for row in range(2):
        user = int(batch.node[row, 0])
        words = 1 + len(tokens.encode_text(" has interacted with"))
        wanted = [[0, 3, 2], [5]][user]
        targets = batch.targets[row]
        assert targets[words - 1 : words - 1 + len(wanted)].tolist() == wanted
        assert int((targets != IGNORED).sum()) == len(wanted)


def test_validation_asks_for_held_out_items_at_the_end_of_whole_histories(worked):
    tokens = token_space(worked)
    (batch,) = stage("events", worked, "history.order=time", tokens=tokens).valid_batches
    assert prompts_of(tokens, batch) == [
        " [u0] has interacted with [i0] [i3] [i2]",
        " [u1] has interacted with [i5]",
    ]
    assert batch.positives is not None
    assert batch.positives.tolist() == [[0, 1], [0, 4], [1, 2]]
    assert (batch.targets == IGNORED).all()


def test_targets_are_the_train_items_each_once(by_ratio, tokens):
    data = stage("events", by_ratio, tokens=tokens)
    train = {
        (int(user), int(item))
        for user, item in zip(by_ratio.train.user_index, by_ratio.train.item_index, strict=True)
    }
    seen = [
        (int(batch.node[row, 0]), item)
        for batch in (data.batch(step, ALL) for step in range(data.steps_per_epoch))
        for row in range(len(batch))
        for item in batch.targets[row][batch.targets[row] != IGNORED].tolist()
    ]
    assert len(seen) == len(train) and set(seen) == train


def test_an_item_is_never_among_what_it_is_told_from(by_ratio, tokens):
    batch = stage("events", by_ratio, tokens=tokens).batch(0, ALL)
    item = batch.node - by_ratio.dataset.num_users
    for row, place in zip(*torch.where(batch.targets != IGNORED), strict=True):
        assert batch.targets[row, place] not in item[row, : place + 1]


def test_sets_are_shuffled_each_epoch_and_time_order_is_not(by_ratio, tokens):
    for order, repeats in (("set", False), ("time", True)):
        data = stage("events", by_ratio, f"history.order={order}", tokens=tokens)
        epochs = []
        for epoch in range(2):
            first = epoch * data.steps_per_epoch
            batches = [data.batch(first + n, ALL) for n in range(data.steps_per_epoch)]
            epochs.append(sorted(text for b in batches for text in prompts_of(tokens, b)))
        assert (epochs[0] == epochs[1]) == repeats


def test_a_time_ordered_prompt_may_go_without_its_user(worked):
    tokens = token_space(worked)
    named = stage("events", worked, "history.user_token=false", tokens=tokens)
    assert all("[u" in text for text in prompts_of(tokens, named.batch(0, ALL)))
    settings = ("history.user_token=false", "history.order=time")
    bare = stage("events", worked, *settings, tokens=tokens)
    assert sorted(prompts_of(tokens, bare.batch(0, ALL))) == [
        " has interacted with",
        " has interacted with [i0] [i3]",
    ]


def test_a_user_and_an_item_taken_are_one_step_apart(worked):
    tokens = token_space(worked)
    batch = stage("events", worked, "history.order=time", tokens=tokens).batch(0, ALL)
    assert batch.distance is not None
    row = int(torch.where(batch.node[:, 0] == 0)[0])
    item = int(torch.where(batch.node[row] == worked.dataset.num_users)[0])
    assert batch.distance[row, 0, item] == 1 and batch.distance[row, item, 0] == 1
