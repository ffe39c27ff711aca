"""TIGER: what it reads and writes, its scores against the library's own T5, and its batches."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.contracts.checkerboard import checkerboard, with_other_held_out_items

from edgewise.data.fitted import FittedData
from edgewise.data.item_lists import CandidateLists
from edgewise.data.splits import leave_one_out
from edgewise.data.synthetic import make_demo_shop
from edgewise.errors import DataError
from edgewise.item_texts import item_sentences, tfidf_vectors
from edgewise.models.base import HeldOut
from edgewise.models.semantic_ids import residual_kmeans
from edgewise.models.tiger import TIGER

SMALL = ("training.epochs=1", "num_user_tokens=4", "max_history=3")


@pytest.fixture(scope="module")
def model():
    return TIGER.from_preset("tiny", SMALL).fit(checkerboard().split)


def written_by_hand(model, user, history):
    """Pad 0 and end 1, then four tokens of users, then 16 codes a level, then the last code."""
    own = [] if user is None else [2 + user % 4]
    codes = model.table.tokens
    return own + [token for item in history[-3:] for token in codes[item].tolist()]


@torch.no_grad()
def likelihood_by_hand(model, prompt, item):
    """By the library's forward pass over one prompt and one answer."""
    labels = torch.tensor(model.table.tokens[item])[None]
    logits = model.network.t5(input_ids=torch.tensor([prompt]), labels=labels).logits
    return logits.log_softmax(-1).gather(2, labels[..., None]).sum().item()


def test_every_level_has_tokens_of_its_own(model):
    tokens, levels = model.table.tokens, [(6, 22), (22, 38), (38, 62)]
    assert tokens.shape == (24, 3)
    for place, (first, last) in enumerate(levels):
        assert tokens[:, place].min() >= first and tokens[:, place].max() < last
    assert model.network.t5.config.vocab_size == tokens[:, -1].max() + 1
    assert len(np.unique(tokens, axis=0)) == 24


def test_training_reads_what_came_before_each_target(model):
    histories = model.data.histories
    users, ends = model._targets
    assert len(users) == (histories.lengths - 1).sum()
    model.config, config = model.config.model_copy(update={"user_dropout": 0.0}), model.config
    batch = model.training_batch(np.arange(len(users)), np.random.default_rng(0))
    model.config = config
    for row, (user, end) in enumerate(zip(users, ends, strict=True)):
        history = histories[user]
        read = batch.input_ids[row][batch.attention_mask[row] == 1].tolist()
        assert read == written_by_hand(model, user, history[:end])
        assert batch.labels[row].tolist() == model.table.tokens[history[end]].tolist()


def test_every_example_comes_once_an_epoch_in_batches_of_one_size(model):
    (stage,) = model.stages(checkerboard().split)
    data = stage.data
    batches = data._drawn(np.random.default_rng(0))
    assert len(batches) == data.steps_per_epoch
    assert sorted(np.concatenate(batches).tolist()) == list(range(data.num_examples))
    assert sorted(map(len, batches))[1:] == [64] * (len(batches) - 1)


def test_scores_are_the_likelihood_of_a_plain_t5(model):
    users = np.array([3, 8])
    lists = [np.array([5, 0, 17]), np.arange(24)]
    found = model.score_candidates(CandidateLists.from_lists(users, lists))
    expected = [
        likelihood_by_hand(model, written_by_hand(model, user, model.data.histories[user]), item)
        for user, row in zip(users, lists, strict=True)
        for item in row
    ]
    assert found == pytest.approx(np.array(expected), abs=1e-4)


def test_lists_are_the_exhaustive_ranking(model):
    found = model.recommend(np.array([3]), 8)
    known = model.data.histories[3]
    prompt = written_by_hand(model, 3, known)
    unseen = [item for item in range(24) if item not in known]
    scores = {item: likelihood_by_hand(model, prompt, item) for item in unseen}
    assert found.item_index.tolist() == sorted(scores, key=lambda item: -scores[item])[:8]
    assert found.score == pytest.approx(sorted(scores.values(), reverse=True)[:8], abs=1e-4)


def test_somebody_not_in_the_data_has_no_user_token(model):
    lists = CandidateLists.from_lists(np.zeros(2, int), [np.array([2, 9])] * 2)
    found = model.score_candidates(lists, new_users=[[4, 1], [7]])
    prompts = [written_by_hand(model, None, row) for row in ([4, 1], [7])]
    # Behind the place that a user's token would have: distances between tokens are the same.
    expected = [likelihood_by_hand(model, prompt, item) for prompt in prompts for item in (2, 9)]
    assert found == pytest.approx(np.array(expected), abs=1e-4)


@pytest.mark.parametrize("metric", ["NDCG@10", "loss"])
def test_what_validation_measures(model, metric):
    split = checkerboard().split
    rows = HeldOut(split.valid.user_index[:5].astype(int), split.valid.item_index[:5].astype(int))
    gains, losses = [], []
    for user, item in zip(rows.user, rows.item, strict=True):
        lists = model.recommend(np.array([user]), 10).item_index.tolist()
        gains.append(1 / np.log2(lists.index(item) + 2) if item in lists else 0.0)
        prompt = written_by_hand(model, user, model.data.histories[user])
        losses.append(-likelihood_by_hand(model, prompt, item) / 3)
    expected = np.mean(losses if metric == "loss" else gains)
    assert model.measure(rows, metric) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("vectors", ["transitions", "spectral"])
def test_ids_know_groups_before_training(vectors):
    """Items of a group lie together, whatever the vectors are made of."""
    world = checkerboard()
    model = TIGER.from_preset(
        "tiny", [f"vectors={vectors}", "num_codes=2", "num_levels=1", "vector_size=2"]
    )
    model._data = FittedData.of(world.split)
    model.network = model.build(world.split)
    first = model.table.tokens[:, 0]
    assert len({*zip(first.tolist(), world.item_group.tolist(), strict=True)}) == 2


def test_texts_are_needed_where_they_are_asked_for():
    with pytest.raises(DataError, match="tiger"):
        TIGER.from_preset("tiny", ["vectors=texts"]).fit(checkerboard().split)


def test_held_out_rows_change_neither_ids_nor_weights(model):
    other = TIGER.from_preset("tiny", SMALL).fit(with_other_held_out_items(checkerboard().split))
    ours, theirs = model.network.state_dict(), other.network.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_texts_may_be_what_ids_are_made_of():
    split = leave_one_out(make_demo_shop(seed=0, num_users=40, num_items=48))
    settings = ("vectors=texts", "texts.size=8", "training.epochs=1")
    model = TIGER.from_preset("tiny", settings).fit(split)
    vectors = tfidf_vectors(item_sentences(split.dataset.catalog), 8)
    codes, _ = residual_kmeans(vectors, 16, 2, seed=0)
    assert np.array_equal(model.table.tokens[:, :2], codes + np.array([2, 18]))
