"""Training examples are drawn from train rows alone, by seed and number; validation is inference.

Held-out rows leave no trace in what is trained on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from tests.models.elmrec.conftest import same_weights, small_elmrec

from edgewise.data.dataset import Interactions, histories_of
from edgewise.data.splits import Split
from edgewise.data.texts import ExplanationPairs
from edgewise.errors import DataError
from edgewise.graph.bipartite import BipartiteGraph
from edgewise.models.elmrec.batch import Batch
from edgewise.models.elmrec.config import ELMRecConfig
from edgewise.models.elmrec.data import ELMRecData, TrainingPool, build_data, draw_candidates
from edgewise.models.elmrec.graph_embeddings import BuiltGraph, build_graph
from edgewise.models.elmrec.prompts import (
    PromptWriter,
    TemplateChoice,
    all_templates,
    build_entity_token_table,
)
from edgewise.models.tokenizers import corpus_of, train_tokenizer
from edgewise.recommender import TASKS

NUM_USERS, NUM_ITEMS = 30, 50


def tensors(batch: Batch) -> Iterator[torch.Tensor]:
    for field in fields(batch):
        if isinstance(value := getattr(batch, field.name), torch.Tensor):
            yield value


def equal(first: Batch, second: Batch) -> bool:
    pairs = zip(tensors(first), tensors(second), strict=True)
    return all(a.shape == b.shape and torch.equal(a, b) for a, b in pairs)


def spelled_items(pool: TrainingPool) -> dict[tuple[int, ...], int]:
    return {tuple(pool.table.target(item)): item for item in range(pool.table.num_items)}


class EvenAndOdd:
    """Items' edges lie in the fold of their parity."""

    def fold_for(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        return items % 2


@pytest.fixture(scope="module")
def pool(trained_tokenizer) -> TrainingPool:
    rng = np.random.default_rng(0)
    users = np.repeat(np.arange(NUM_USERS), rng.integers(0, 9, NUM_USERS)).astype(np.int32)
    items = np.concatenate([rng.permutation(NUM_ITEMS)[:n] for n in np.bincount(users)])
    rows = Interactions(users, items.astype(np.int32))
    table = build_entity_token_table(trained_tokenizer, NUM_USERS, NUM_ITEMS)
    pairs = ExplanationPairs(users, rows.item_index, [f"text {n}" for n in range(len(users))])
    return TrainingPool(
        writer=PromptWriter(table, max_history=4),
        histories=histories_of(NUM_USERS, rows),
        explanations=pairs,
        explanation_tokens=[np.array([3, 4 + n % 7, 1]) for n in range(len(users))],
        templates=TemplateChoice(0.0),
        num_negatives=9,
        seed=3,
    )


def rows_of(batch: Batch) -> list[tuple[int, list[int]]]:
    """Each example's user and items, by graph node, in order of appearance."""
    found = []
    for node, order in zip(batch.node, batch.order, strict=True):
        words = [int(node[order == n][0]) for n in range(1, int(order.max()) + 1)]
        found.append((words[0], [word - NUM_USERS for word in words[1:]]))
    return found


def targets(batch: Batch, pool: TrainingPool) -> list[int]:
    spelled = spelled_items(pool)
    assert batch.labels is not None
    return [spelled[tuple(row[row != -100].tolist())] for row in batch.labels]


@pytest.mark.parametrize("task", TASKS)
def test_a_batch_depends_on_seed_and_number_alone(pool, task):
    later = pool.batch(task, 5, 8)
    for number in (9, 0, 2):
        pool.batch(task, number, 8)
    assert equal(pool.batch(task, 5, 8), later)
    assert not equal(pool.batch(task, 6, 8), later)
    assert not equal(replace(pool, seed=4).batch(task, 5, 8), later)


@pytest.mark.parametrize("task", TASKS)
def test_parts_of_a_batch_are_its_rows(pool, task):
    pool = replace(pool, user_dropout=0.5, folds=EvenAndOdd())
    whole = pool.batch(task, 1, 8)
    parts = [pool.batch(task, 1, 8, slice(rank, None, 3)) for rank in range(3)]
    assert [len(part) for part in parts] == [3, 3, 2]
    for rank, part in enumerate(parts):
        width = part.input_ids.shape[1]
        assert torch.equal(part.input_ids, whole.input_ids[rank::3, :width])
        assert torch.equal(part.edge_fold, whole.edge_fold[rank::3])


def test_an_empty_part_becomes_the_whole_batch(pool):
    whole = pool.batch("direct", 0, 2)
    assert equal(pool.batch("direct", 0, 2, slice(2, None, 3)), whole)


@pytest.mark.parametrize("task", TASKS)
def test_a_pass_shows_every_example_once(pool, task):
    seen = []
    for number in range(pool.num_batches(task, 8)):
        batch = pool.batch(task, number, 8)
        examples = rows_of(batch)
        seen += [(u, tuple(i)) if task == "explanation" else u for u, i in examples]
    assert len(seen) == len(set(seen)) == len(pool.examples[task])


def test_direct_candidates_hold_one_positive_and_nothing_else_of_the_user(pool):
    for number in range(6):
        batch = pool.batch("direct", number, 8)
        for (user, candidates), target in zip(rows_of(batch), targets(batch, pool), strict=True):
            history = pool.histories[user].tolist()
            assert len(candidates) == len(set(candidates)) == 10
            assert set(candidates) & set(history) == {target}


def test_sequential_targets_follow_a_part_of_the_history(pool):
    starts = set()
    for number in range(20):
        batch = pool.batch("sequential", number, 8)
        for (user, part), target in zip(rows_of(batch), targets(batch, pool), strict=True):
            history = pool.histories[user].tolist()
            end = history.index(target)
            assert 1 <= len(part) <= 4
            assert history[end - len(part) : end] == part
            starts.add(end - len(part))
    assert len(starts) > 2, "random parts start anywhere"


def test_whole_histories_end_with_the_last_train_item(pool):
    batch = replace(pool, history_sampling="whole").batch("sequential", 0, 8)
    users = batch.user.numpy()
    for row, user in enumerate(users):
        last = pool.table.target(pool.histories[user][-1])
        labels = batch.labels[row]
        assert labels[labels >= 0].tolist() == last.tolist()


def test_prefixes_hold_all_that_fits(pool):
    batch = replace(pool, history_sampling="prefix").batch("sequential", 0, 8)
    for (user, part), target in zip(rows_of(batch), targets(batch, pool), strict=True):
        history = pool.histories[user].tolist()
        end = history.index(target)
        assert part == history[max(0, end - 4) : end]


def test_explanation_pairs_keep_their_texts(pool):
    pairs = pool.explanations
    place = {p: n for n, p in enumerate(zip(pairs.user_index, pairs.item_index, strict=True))}
    batch = pool.batch("explanation", 2, 8)
    for (user, (item,)), label in zip(rows_of(batch), batch.labels, strict=True):
        expected = pool.explanation_tokens[place[user, item]]
        assert label.tolist() == expected.tolist()


def test_the_fold_is_that_of_the_target_edge(pool):
    folded = replace(pool, folds=EvenAndOdd())
    for task in ("direct", "sequential"):
        batch = folded.batch(task, 0, 8)
        assert batch.edge_fold.tolist() == [item % 2 for item in targets(batch, pool)]
        assert set(pool.batch(task, 0, 8).edge_fold.tolist()) == {-1}


def test_unknown_users_are_spelled_at_the_given_rate(pool):
    table = pool.table
    unknown = table.tokens[table.unknown_user].tolist()
    hidden = replace(pool, user_dropout=0.3)
    rows = [row for n in range(40) for row in hidden.batch("direct", n, 8).input_ids.tolist()]
    share = np.mean([row[: len(unknown)] == unknown for row in rows])
    assert share == pytest.approx(0.3, abs=0.08)


def test_candidates_are_uniform_over_the_unseen():
    rng = np.random.default_rng(0)
    seen = np.array([0, 1, 2])
    lists = [draw_candidates(1, seen, 2, 8, rng) for _ in range(3000)]
    assert all(len(set(row.tolist())) == 3 and 1 in row for row in lists)
    counts = np.bincount(np.concatenate(lists), minlength=8)
    assert counts[[0, 2]].tolist() == [0, 0] and counts[1] == 3000
    assert counts[3:] == pytest.approx(1200, rel=0.1)
    assert np.bincount([row.tolist().index(1) for row in lists]) == pytest.approx(1000, rel=0.1)


def test_a_small_catalogue_gives_what_it_has():
    row = draw_candidates(4, np.array([4, 0]), 99, 6, np.random.default_rng(0))
    assert sorted(row.tolist()) == [1, 2, 3, 4, 5]


def test_a_positive_outside_the_history_is_no_negative_too():
    rng = np.random.default_rng(0)
    for _ in range(50):
        row = draw_candidates(5, np.array([0]), 4, 6, rng)
        assert sorted(row.tolist()) == [1, 2, 3, 4, 5]


def prepared(split: Split, *overrides: str) -> tuple[ELMRecData, BuiltGraph]:
    config = small_elmrec(*overrides).config
    users, items = split.dataset.num_users, split.dataset.num_items
    tokenizer = train_tokenizer(corpus_of(split, all_templates()), config.backbone.vocab_size)
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


def test_held_out_rows_change_no_batch_and_no_feature(shop_split, changed):
    (data, built), (other_data, other_built) = prepared(shop_split), prepared(changed)
    assert np.array_equal(built.start.features, other_built.start.features)
    for step in range(0, 2 * data.steps_per_epoch, 3):
        assert equal(data.batch(step, slice(None)), other_data.batch(step, slice(None)))
    for task, batches in data.valid_batches.items():
        for first, second in zip(batches, other_data.valid_batches[task], strict=True):
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
    first, second = (d.valid_batches["direct"][0] for d in (data, other))
    assert not equal(first, second), "validation itself follows them"


def items_of(batch: Batch, row: int, num_users: int) -> list[int]:
    """The items of a prompt in order of appearance."""
    order, node = batch.order[row], batch.node[row]
    words = [int(node[order == n][0]) for n in range(1, int(order.max()) + 1)]
    return [word - num_users for word in words if word != int(batch.user[row])]


def test_targets_are_train_items_of_their_user(shop_split):
    data, _ = prepared(shop_split)
    num_users = shop_split.dataset.num_users
    spelled = spelled_items(data.pool)
    train = set(zip(shop_split.train.user_index, shop_split.train.item_index, strict=True))
    checked = 0
    for step in range(data.steps_per_epoch):
        batch = data.batch(step, slice(None))
        if batch.task == "explanation":
            continue
        assert batch.labels is not None
        for row in range(len(batch)):
            target = spelled[tuple(t for t in batch.labels[row].tolist() if t != -100)]
            user = int(batch.user[row])
            assert (user, target) in train
            if batch.task == "direct":
                items = items_of(batch, row, num_users)
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
        (batch, *_) = data.valid_batches[task]
        assert (batch.edge_fold == -1).all()
        for row in range(len(batch)):
            user = int(batch.user[row])
            items = items_of(batch, row, num_users)
            if task == "sequential":
                assert items == known[user][-6:].tolist()
            else:
                assert items.count(wanted[user]) == 1 and len(items) == len(set(items)) == 6
                assert not set(items) & set(known[user].tolist()) - {wanted[user]}


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


def test_validation_losses_are_those_of_the_tasks(shop_split):
    data, _ = prepared(shop_split)
    losses = data.validate(lambda batches, measure=None: float(len(batches)), "loss")
    assert losses == {task: len(data.valid_batches[task]) for task in data.tasks}


def test_the_leaking_split_of_texts_must_be_asked_for():
    assert ELMRecConfig().prompts.explanations == "interaction"
