"""Every train item is a target once an epoch, after the items before it."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.models.graph_gpt.conftest import small_graph_gpt

from edgewise.config import with_overrides
from edgewise.data.dataset import Interactions
from edgewise.models.graph_gpt.attention_bias import build_distances
from edgewise.models.graph_gpt.backbone import build_tokens
from edgewise.models.graph_gpt.config import GraphGPTConfig
from edgewise.models.graph_gpt.prompts import TEMPLATES
from edgewise.models.graph_gpt.stages.sequence import (
    MAX_RANKED_ROWS,
    MAX_VALIDATION_ROWS,
    build_sequence,
)

ALL = slice(None)
SETTINGS = (
    "stages=sequence",
    "history.max_items=4",
    "history.order=time",
    "backbone.name=tiny",
    "backbone.vocab_size=300",
    "training.sequence.batch_size=8",
)


def data_of(split, *overrides, tokens=None):
    config = with_overrides(GraphGPTConfig(), [*SETTINGS, *overrides])
    tokens = tokens or build_tokens(config.backbone, split, TEMPLATES)
    distances = build_distances(
        config.attention, split.known_before("valid"), split.dataset.num_items
    )
    built = build_sequence(config, split, tokens, distances)
    assert built is not None
    return built


@pytest.fixture(scope="module")
def data(shop_split):
    return data_of(shop_split, "history.user_dropout=0.0")


def epoch(data, number=0):
    steps = range(number * data.steps_per_epoch, (number + 1) * data.steps_per_epoch)
    return [data.batch(step, ALL) for step in steps]


def rows_of(batches):
    """(nodes, targets) of every row, without padding."""
    for batch in batches:
        for node, target, mask in zip(batch.node, batch.targets, batch.attention_mask, strict=True):
            yield node[mask.bool()].numpy(), target[mask.bool()].numpy()


@torch.no_grad()
def average(batches, measure=None) -> float:
    """What the trainer hands over, without its processes."""
    values = [float(measure(batch)) for batch in batches]
    return float(np.average(values, weights=[len(batch) for batch in batches]))


class TestTraining:
    def test_every_train_item_is_a_target_once(self, data, shop_split):
        found = []
        for node, target in rows_of(epoch(data)):
            found += [(node[0], item) for item in target[target >= 0]]
        train = shop_split.train
        assert sorted(found) == sorted(zip(train.user_index, train.item_index, strict=True))

    def test_a_target_follows_the_items_before_it(self, data, shop_split):
        histories = shop_split.known_before("valid")
        num_users = shop_split.dataset.num_users
        several = 0
        for node, target in rows_of(epoch(data)):
            history = histories[node[0]].tolist()
            for place in np.flatnonzero(target >= 0):
                read = (node[: place + 1][node[: place + 1] >= num_users] - num_users).tolist()
                at = history.index(target[place])
                assert history[at - len(read) : at] == read
                several += len(read) > 1
        assert several > 20

    def test_the_first_item_follows_the_words(self, data):
        words = len(data.writer.write(0, np.empty(0, np.int64)))
        begins = []
        for node, target in rows_of(epoch(data)):
            assert (node[1:words] == -1).all() and (target[: words - 1] == -100).all()
            begins.append(target[words - 1] >= 0)
        assert any(begins) and not all(begins), "later windows begin with an item that was a target"

    def test_a_batch_depends_on_its_number_alone(self, data, shop_split):
        again = data_of(shop_split, "history.user_dropout=0.0")
        for step in (7, 0, 3):
            ours, theirs = data.batch(step, ALL), again.batch(step, ALL)
            assert torch.equal(ours.input_ids, theirs.input_ids)
            assert torch.equal(ours.targets, theirs.targets)

    def test_epochs_and_seeds_differ(self, data, shop_split):
        other = data_of(shop_split, "history.user_dropout=0.0", "seed=1")
        users = [[tuple(b.node[:, 0].tolist()) for b in epoch(*which)] for which in
                 ((data, 0), (data, 1), (other, 0))]  # fmt: skip
        assert users[0] != users[1] and users[0] != users[2]

    def test_processes_share_a_batch(self, data):
        whole = data.batch(0, ALL)
        parts = [data.batch(0, slice(rank, None, 2)) for rank in (0, 1)]
        for rank, part in enumerate(parts):
            assert torch.equal(part.node[:, 0], whole.node[rank::2, 0])
        assert sum(map(len, parts)) == len(whole)
        assert len(data.batch(0, slice(1000, None))) == len(whole)

    def test_batches_have_about_equally_many_targets(self, shop_split):
        data = data_of(shop_split, "history.max_items=50", "training.sequence.batch_size=4")
        counts = [int((batch.targets >= 0).sum()) for batch in epoch(data)]
        longest = int(data.windows.num_targets.max())
        assert max(counts) - min(counts) <= 2 * longest

    def test_distances_are_those_of_the_train_graph(self, data):
        """The user and an item of his are one step apart, two of his items two steps."""
        batch = data.batch(0, ALL)
        node = batch.node[0]
        items = torch.nonzero(node >= data.writer.tokens.num_users)[:, 0]
        assert (batch.distance[0, 0, items] == 1).all()
        assert batch.distance[0, items[0], items[1]] == 2

    def test_without_a_graph_no_distances(self, shop_split):
        for kind in ("none", "meaningless"):
            assert data_of(shop_split, f"attention.kind={kind}").batch(0, ALL).distance is None


class TestUsers:
    def test_some_are_left_out(self, shop_split):
        data = data_of(shop_split, "history.user_dropout=0.5")
        first = [node[0] for node, _ in rows_of(epoch(data))]
        share = np.mean([node < 0 for node in first])
        assert 0.25 < share < 0.75

    def test_all_are_left_out_where_no_user_token_is_wanted(self, shop_split):
        data = data_of(shop_split, "history.user_token=false")
        nodes = np.concatenate([node for node, _ in rows_of(epoch(data))])
        assert not ((nodes >= 0) & (nodes < shop_split.dataset.num_users)).any()


class TestValidation:
    def test_the_held_out_item_follows_the_train_items(self, data, shop_split):
        batches = data.valid_batches(MAX_VALIDATION_ROWS)
        valid = shop_split.valid
        held_out = dict(zip(valid.user_index, valid.item_index, strict=True))
        histories, num_users = shop_split.known_before("valid"), shop_split.dataset.num_users
        seen = 0
        for node, target in rows_of(batches):
            assert target[-1] == held_out[node[0]] and (target[:-1] == -100).all()
            items = node[node >= num_users] - num_users
            assert items.tolist() == histories[node[0]][-4:].tolist()
            seen += 1
        assert seen == len(valid)

    def test_no_held_out_rows_no_validation(self, shop_split):
        nothing = shop_split.valid.take(np.empty(0, np.int64))
        data = data_of(replace(shop_split, valid=nothing))
        assert data.validate(average, "loss") == data.validate(average, "NDCG@10") == {}

    def test_the_loss_is_the_networks(self, data, fitted):
        def of_network(batches, measure=None) -> float:
            assert measure is None
            return average(batches, fitted.network)

        found = data.validate(of_network, "loss")
        assert found == {"loss": of_network(data.valid_batches(MAX_VALIDATION_ROWS))}

    def test_ranking_counts_items_that_the_prompt_does_not_hold(self, shop_split, fitted):
        """Worked out row by row; with two items a prompt, most of a history may be listed."""
        data = data_of(shop_split, "history.max_items=2", tokens=fitted.tokens)
        data = replace(data, network=fitted.network)
        gains = []
        for batch in data.valid_batches(MAX_RANKED_ROWS):
            with torch.no_grad():
                scores = fitted.network.next_item_logits(batch).numpy()
            for row, (node, target) in enumerate(rows_of([batch])):
                read = set((node[node >= 40] - 40).tolist()) - {target[-1]}
                others = [item for item in range(48) if item not in read | {target[-1]}]
                rank = 1 + sum(scores[row, item] >= scores[row, target[-1]] for item in others)
                gains.append(1 / np.log2(rank + 1) if rank <= 10 else 0.0)
        assert len(gains) == len(shop_split.valid)
        found = data.validate(average, "NDCG@10")
        assert found == {"NDCG@10": pytest.approx(np.mean(gains), abs=1e-6)}
        hits = data.validate(average, "HitRate@1")["HitRate@1"]
        assert hits == pytest.approx(np.mean(np.array(gains) == 1))

    def test_the_setting_chooses_what_is_measured(self, shop_split):
        setting = "training.sequence.validation_metric=NDCG@10"
        model = small_graph_gpt("stages=sequence", setting).fit(shop_split)
        curves = model.stage_curves["sequence"]
        assert curves.best == max(row["NDCG@10"] for row in curves.valid) > 0


def test_training_does_not_depend_on_held_out_rows(data, shop_split):
    """Each user's validation and test items are exchanged for others."""
    num_items = shop_split.dataset.num_items

    def moved(rows: Interactions) -> Interactions:
        return replace(rows, item_index=(rows.item_index + 7) % num_items)

    other = replace(shop_split, valid=moved(shop_split.valid), test=moved(shop_split.test))
    ours, theirs = epoch(data), epoch(data_of(other, "history.user_dropout=0.0"))
    for mine, yours in zip(ours, theirs, strict=True):
        assert torch.equal(mine.input_ids, yours.input_ids)
        assert torch.equal(mine.distance, yours.distance)
        assert torch.equal(mine.targets, yours.targets)


def test_what_the_data_lacks_is_told(shop_split, caplog):
    caplog.set_level(logging.WARNING)
    empty = replace(shop_split, train=shop_split.train.take(np.empty(0, np.int64)))
    config = with_overrides(GraphGPTConfig(), SETTINGS)
    tokens = build_tokens(config.backbone, empty, TEMPLATES)
    assert build_sequence(config, empty, tokens, None) is None
    assert "the sequence stage is left out" in caplog.text


class Told:
    """Priors that say of item i for a user after n items: ``user + n / 100 + i / 10,000``."""

    def of_train(self, users, histories):
        items = torch.arange(48)[None] / 10_000
        rows = torch.from_numpy(users + histories.lengths / 100.0)[:, None]
        return (rows + items).float()

    def of_valid(self, histories):
        return torch.full((len(histories), 48), -1.0)


def test_each_target_gets_the_bonus_of_its_own_history(data, shop_split):
    histories = shop_split.known_before("valid")
    for batch in epoch(replace(data, priors=Told())):
        rows, targets = (batch.targets >= 0).nonzero()[:, 0], batch.targets[batch.targets >= 0]
        assert len(batch.bonus) == len(targets)
        for row, target, bonus in zip(rows, targets, batch.bonus, strict=True):
            user = int(batch.node[row, 0])
            place = float(bonus[0]) - user
            known = histories[user].tolist()
            assert known[round(100 * place)] == target
            assert bonus[40] - bonus[0] == pytest.approx(0.004, abs=1e-4)


def test_the_loss_of_validation_holds_the_bonus(data):
    seen = []

    def network(batch):
        seen.append(batch.bonus)
        return torch.tensor(2.0)

    told = replace(data, priors=Told(), network=network)
    assert told.validate(average, "loss") == {"loss": 2.0}
    assert sum(map(len, seen)) == len(data.held_out) and all((each == -1).all() for each in seen)
