"""Held-out rows leave no trace in what is trained on; validation reads them as inference does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from tests.models.elmrec.conftest import same_weights, small_elmrec

from edgewise.data.dataset import Interactions
from edgewise.data.splits import Split
from edgewise.errors import DataError
from edgewise.graph.bipartite import BipartiteGraph
from edgewise.models.elmrec.batch import Batch
from edgewise.models.elmrec.config import ELMRecConfig
from edgewise.models.elmrec.data import ELMRecData, build_data
from edgewise.models.elmrec.graph_embeddings import BuiltGraph, build_graph
from edgewise.models.elmrec.prompts import build_entity_token_table
from edgewise.models.tokenizers import corpus_of, train_tokenizer


def prepared(split: Split, *overrides: str) -> tuple[ELMRecData, BuiltGraph]:
    config = small_elmrec(*overrides).config
    users, items = split.dataset.num_users, split.dataset.num_items
    tokenizer = train_tokenizer(corpus_of(split), config.backbone.vocab_size)
    table = build_entity_token_table(tokenizer, users, items)
    graph = BipartiteGraph.from_interactions(split.train, users, items)
    built = build_graph(graph, config.graph, 16, config.seed)
    return build_data(config, split, table, tokenizer, built.folds), built


def other_rows(rows: Interactions, num_items: int, seed: int) -> Interactions:
    """The same users with other items and texts."""
    items = np.random.default_rng(seed).integers(num_items, size=len(rows)).astype(np.int32)
    assert rows.review is not None and rows.summary is not None
    texts = {"review": rows.review.reverse(), "summary": rows.summary.reverse()}
    return replace(rows, item_index=items, **texts)


@pytest.fixture(scope="module")
def changed(shop_split) -> Split:
    """The test part replaced; train and validation rows as they were."""
    test = other_rows(shop_split.test, shop_split.dataset.num_items, seed=1)
    interactions = other_rows(shop_split.dataset.interactions, shop_split.dataset.num_items, seed=2)
    dataset = replace(shop_split.dataset, interactions=interactions)
    return replace(shop_split, dataset=dataset, test=test)


def tensors(batch: Batch) -> Iterator[torch.Tensor]:
    for field in fields(batch):
        if isinstance(value := getattr(batch, field.name), torch.Tensor):
            yield value


def equal(first: Batch, second: Batch) -> bool:
    pairs = zip(tensors(first), tensors(second), strict=True)
    return all(a.shape == b.shape and torch.equal(a, b) for a, b in pairs)


def test_held_out_rows_change_no_batch_and_no_feature(shop_split, changed):
    (data, built), (other_data, other_built) = prepared(shop_split), prepared(changed)
    assert np.array_equal(built.knowledge.features, other_built.knowledge.features)
    for step in range(0, 2 * data.steps_per_epoch, 3):
        assert equal(data.batch(step, slice(None)), other_data.batch(step, slice(None)))
    for task, batches in data.validation().items():
        for first, second in zip(batches, other_data.validation()[task], strict=True):
            assert equal(first, second)


def test_held_out_rows_change_no_trained_weight(changed, fitted):
    again = small_elmrec().fit(changed)
    assert same_weights(again, fitted)
    users = np.arange(5)
    assert np.array_equal(
        again.recommend(users, 3).item_index, fitted.recommend(users, 3).item_index
    )


def test_validation_rows_change_no_training_batch(shop_split):
    valid = other_rows(shop_split.valid, shop_split.dataset.num_items, seed=3)
    data, _ = prepared(shop_split)
    other, _ = prepared(replace(shop_split, valid=valid))
    for step in range(data.steps_per_epoch):
        assert equal(data.batch(step, slice(None)), other.batch(step, slice(None)))
    first, second = (d.validation()["direct"][0] for d in (data, other))
    assert not equal(first, second), "validation itself follows them"


def words_of(batch: Batch, row: int, num_users: int = 0, first: int = 2) -> list[int]:
    order, node = batch.order[row], batch.node[row]
    return [int(node[order == n][0]) - num_users for n in range(first, int(order.max()) + 1)]


def test_targets_are_train_items_of_their_user(shop_split):
    data, _ = prepared(shop_split)
    num_users = shop_split.dataset.num_users
    spelled = {tuple(row): item for item, row in enumerate(data.pool.item_tokens)}
    train = set(zip(shop_split.train.user_index, shop_split.train.item_index, strict=True))
    checked = 0
    for step in range(data.steps_per_epoch):
        batch = data.batch(step, slice(None))
        if batch.task == "explanation":
            continue
        assert batch.labels is not None
        for row in range(len(batch)):
            target = spelled[tuple(t for t in batch.labels[row].tolist() if t != -100)]
            # A template may name the user behind the items.
            nodes = words_of(batch, row, first=1)
            [user] = [node for node in nodes if node < num_users]
            assert (user, target) in train
            if batch.task == "direct":
                items = [node - num_users for node in nodes if node >= num_users]
                assert sum((user, item) in train for item in items) == 1
            checked += 1
    assert checked >= 60


def test_validation_prompts_are_as_at_inference(shop_split):
    data, _ = prepared(shop_split)
    num_users = shop_split.dataset.num_users
    users, items = shop_split.valid.user_index, shop_split.valid.item_index
    wanted = dict(zip(users.tolist(), items.tolist(), strict=True))
    known = shop_split.known_before("valid")
    for task in ("sequential", "direct"):
        (batch, *_) = data.validation()[task]
        assert (batch.edge_fold == -1).all()
        for row in range(len(batch)):
            user = int(batch.node[row][batch.order[row] == 1][0])
            words = words_of(batch, row, num_users)
            if task == "sequential":
                assert words == known[user][-6:].tolist()
            else:
                assert words.count(wanted[user]) == 1 and len(words) == len(set(words)) == 6
                assert not set(words) & set(known[user].tolist()) - {wanted[user]}


def test_training_reads_the_fold_that_left_the_target_out(shop_split):
    data, built = prepared(shop_split)
    assert built.folds is not None
    folds = [data.batch(n, slice(None)) for n in range(6)]
    used = {batch.task: set(batch.edge_fold.tolist()) for batch in folds}
    assert used == {"explanation": {-1}, "sequential": {0, 1}, "direct": {0, 1}}
    whole, _ = prepared(shop_split, "graph.num_folds=0")
    assert set(whole.batch(2, slice(None)).edge_fold.tolist()) == {-1}


def test_tasks_take_turns_and_an_epoch_passes_over_the_largest(shop_split):
    data, _ = prepared(shop_split)
    turns = [data.batch(step, slice(None)).task for step in range(6)]
    assert turns == ["explanation", "sequential", "direct"] * 2
    pairs = len(data.pool.examples["explanation"])
    assert data.steps_per_epoch == 3 * -(-pairs // 16)


def test_tasks_without_examples_are_left_out(shop_split):
    bare = replace(shop_split.train, review=None, summary=None)
    parts = {"train": bare, "valid": replace(shop_split.valid, review=None, summary=None)}
    data, _ = prepared(replace(shop_split, **parts))
    assert data.tasks == ("sequential", "direct")
    with pytest.raises(DataError, match="no training example of explanation"):
        prepared(replace(shop_split, **parts), "prompts.tasks=explanation")


def test_the_leaking_split_of_texts_must_be_asked_for():
    assert ELMRecConfig().prompts.explanations == "interaction"
