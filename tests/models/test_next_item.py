"""What all methods that predict the next item share, and what none of them may know."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from tests.contracts.checkerboard import checkerboard

from edgewise.errors import ConfigError, DataError
from edgewise.models.item_head import LOSSES
from edgewise.models.next_item import NextItemBatch, NextItemRecommender
from edgewise.models.registry import METHODS

NEXT_ITEM = ("sasrec", "gru4rec", "caser", "hgn", "bert4rec", "esasrec", "s3rec", "fdsa", "unisrec")
WINDOWS = ("caser", "hgn")


@pytest.fixture(scope="module")
def split():
    return checkerboard(described=True).split


@pytest.fixture(params=NEXT_ITEM)
def kind(request):
    return METHODS[request.param].recommender


def new(kind, *settings, epochs=1) -> Any:
    return kind.from_preset("tiny", [f"training.epochs={epochs}", "dropout=0.0", *settings])


def in_training(kind, *settings):
    """Settings of all stages."""
    stages = [name for name in ("pretraining", "training") if name in kind.Config.model_fields]
    return [f"{stage}.{each}" for stage in stages for each in settings]


def weights(model):
    return model.network.state_dict()


def same(ours, theirs):
    return all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_all_of_them_are_here():
    found = {
        name
        for name, method in METHODS.items()
        if name not in ("elmrec", "graph-gpt")
        and issubclass(method.recommender, NextItemRecommender)
    }
    assert found >= set(NEXT_ITEM)


def test_held_out_rows_are_not_learned(kind, split):
    """Test rows never, validation rows but to choose the epoch, of which there is one here."""

    def turned(rows):
        return replace(rows, item_index=rows.item_index[::-1].copy())

    model = new(kind).fit(split)
    again = new(kind).fit(replace(split, test=turned(split.test), valid=turned(split.valid)))
    assert same(weights(model), weights(again))


def test_users_with_one_row_are_told(kind, split):
    firsts = np.unique(split.train.user_index, return_index=True)[1]
    with pytest.raises(DataError, match=rf"two train rows, and {kind.name} .*ease or lightgcn"):
        new(kind).fit(replace(split, train=split.train.take(firsts)))


def batch_of(items, targets):
    return NextItemBatch(
        torch.tensor(items), torch.tensor(targets), np.empty(0, np.int64), torch.arange(len(items))
    )


@pytest.fixture
def network(kind, split):
    """Far from zero."""
    one = ["num_targets=1"] if kind.name in WINDOWS else []
    return new(kind, "init_std=0.5", "loss=softmax", *one).fit(split).network


@pytest.mark.parametrize("kind", [n for n in NEXT_ITEM if n != "bert4rec"], indirect=True)
def test_no_position_sees_its_target_or_a_later_item(network):
    """What is predicted at the first two positions, when everything behind them changes."""
    first = network.predictions(batch_of([[3, 7, 5, 9]], [[1, 1, -1, -1]]))[0]
    other = network.predictions(batch_of([[3, 7, 2, 4]], [[1, 1, -1, -1]]))[0]
    third = network.predictions(batch_of([[3, 7, 2, 4]], [[-1, -1, 1, -1]]))[0]
    assert torch.allclose(first, other, atol=1e-5) and len(first) == 2
    assert not torch.allclose(third[0], first[1], atol=1e-3)


def test_asked_about_as_it_is_trained(kind, network):
    """The state at the end of a history, alone, beside a longer one, and as in training."""
    items = torch.tensor([[3, 7, 5, 0], [2, 4, 6, 8]])
    lengths, users = torch.tensor([3, 4]), torch.arange(2)
    both = network.last_states(items, lengths, users)
    alone = network.last_states(items[:1, :3], lengths[:1], users[:1])
    assert torch.allclose(both[0], alone[0], atol=1e-5)
    if kind.name != "bert4rec":
        batch = batch_of([[3, 7, 5], [2, 4, 6]], [[-1, -1, 1], [-1, -1, -1]])
        assert torch.allclose(network.predictions(batch)[0][0], both[0], atol=1e-5)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("method", ["sasrec", "caser", "bert4rec"])
def test_every_loss_trains_every_kind(method, name, split):
    kind = METHODS[method].recommender
    model = new(kind, f"loss={name}", "num_negatives=4", epochs=2).fit(split)
    (curves,) = model.stage_curves.values()
    assert np.isfinite([loss for _, loss in curves.train_loss]).all()


@pytest.mark.parametrize("method", ["sasrec", "gru4rec", "caser", "bert4rec", "unisrec"])
def test_tables_may_be_moved_row_by_row(method, split, tmp_path):
    kind, plans = METHODS[method].recommender, []
    settings = in_training(kind, "embedding_gradients=sparse", "epochs=2")
    model = new(kind, "loss=sampled_softmax", "num_negatives=2", *settings)
    model.fit(split, on_plan=plans.append, folder=tmp_path)
    assert ("embeddings", "sparse gradients") in [
        (name, words[:16]) for name, words in plans[0].rows
    ]
    (*_, curves) = model.stage_curves.values()
    assert np.isfinite([loss for _, loss in curves.train_loss]).all()
    again = new(kind, "loss=sampled_softmax", "num_negatives=2", *settings)
    again.fit(split, folder=tmp_path, resume=True)
    assert same(weights(model), weights(again))


def test_the_table_has_a_learning_rate_of_its_own(kind, split):
    """A multiplier of nothing leaves tables where they started, and moves the rest."""
    frozen = in_training(kind, "embedding_lr_multiplier=0.0", "weight_decay=0.0")
    model = new(kind, *frozen)
    start = new(kind)
    start._data = model.fit(split)._data
    with torch.random.fork_rng():
        torch.manual_seed(0)
        before = start.build(split).state_dict()
    moved = {name for name, value in weights(model).items() if not torch.equal(value, before[name])}
    assert "items.weight" not in moved and moved


@pytest.mark.parametrize("method", WINDOWS)
def test_windows_their_targets_and_their_sampled_items(method, split):
    kind = METHODS[method].recommender
    model = new(kind, "window=3", "num_targets=2", "loss=bpr", "num_negatives=2").fit(split)
    batch = batch_of([[3, 7, 5, 9]], [[7, 5, 9, 1]])
    batch = replace(batch, negatives=torch.arange(16).reshape(1, 4, 4))
    read = []
    model.network._of = lambda windows, users: read.append(windows) or torch.zeros(len(windows), 1)
    _, targets, negatives = model.network.predictions(batch)
    assert read[0].tolist() == [[-1, -1, 3], [-1, 3, 7], [3, 7, 5], [7, 5, 9]]
    assert targets.tolist() == [7, 5, 5, 9, 9, 1, 1], "two of each window, but for the last"
    assert negatives.tolist() == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9], [10, 11], [12, 13]]
    model.network.last_states(batch.items[:, :2], torch.tensor([2]), torch.tensor([0]))
    assert read[1].tolist() == [[-1, 3, 7]]


@pytest.mark.parametrize("method", WINDOWS)
def test_people_not_in_the_data_are_the_mean_of_those_who_are(method, split):
    network = new(METHODS[method].recommender).fit(split).network
    found = network._users(torch.tensor([4, -1]))
    assert torch.equal(found[0], network.users.weight[4])
    assert torch.allclose(found[1], network.users.weight.mean(0))


@pytest.mark.parametrize("method", ["sasrec", "esasrec", "bert4rec"])
def test_heads_share_the_width(method):
    with pytest.raises(ConfigError, match="hidden_size = 10 is no multiple of num_heads = 4"):
        METHODS[method].recommender(hidden_size=10, num_heads=4)


def test_a_start_from_transitions_reaches_the_tables(kind, split):
    still = in_training(kind, "learning_rate=1e-30")
    model = new(kind, "item_init=transitions", *still).fit(split)
    table = model.network.items.weight.detach()[:24].numpy()
    group = checkerboard().item_group
    table /= np.linalg.norm(table, axis=1, keepdims=True)
    alike = table @ table.T
    assert alike[group[:, None] == group].mean() > alike[group[:, None] != group].mean() + 0.1
