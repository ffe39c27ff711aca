"""Training examples: pure functions of seed and number, drawn from train rows alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from edgewise.data.dataset import Interactions, histories_of
from edgewise.data.texts import ExplanationPairs
from edgewise.models.elmrec.batch import Batch
from edgewise.models.elmrec.data import TrainingPool, Wordings, draw_candidates
from edgewise.models.elmrec.prompts import (
    SHORT_WORDING,
    WORDINGS,
    PromptWriter,
    build_entity_token_table,
)
from edgewise.recommender import TASKS

NUM_USERS, NUM_ITEMS = 30, 50


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
    tokens, lengths = table.item_targets
    pairs = ExplanationPairs(users, rows.item_index, [f"text {n}" for n in range(len(users))])
    return TrainingPool(
        writer=PromptWriter(table, max_history=4),
        histories=histories_of(NUM_USERS, rows),
        item_tokens=[row[:length] for row, length in zip(tokens, lengths, strict=True)],
        explanations=pairs,
        explanation_tokens=[np.array([3, 4 + n % 7, 1]) for n in range(len(users))],
        wordings=Wordings(0.0),
        num_negatives=9,
        seed=3,
    )


def tensors(batch: Batch) -> list[torch.Tensor]:
    assert batch.labels is not None
    return [batch.input_ids, batch.node, batch.order, batch.edge_fold, batch.labels]


def same(first: Batch, second: Batch) -> bool:
    pairs = zip(tensors(first), tensors(second), strict=True)
    return all(a.shape == b.shape and torch.equal(a, b) for a, b in pairs)


def rows_of(batch: Batch) -> list[tuple[int, list[int]]]:
    """Each example's user and items, by graph node, in order of appearance."""
    found = []
    for node, order in zip(batch.node, batch.order, strict=True):
        words = [int(node[order == n][0]) for n in range(1, int(order.max()) + 1)]
        found.append((words[0], [word - NUM_USERS for word in words[1:]]))
    return found


def targets(batch: Batch, pool: TrainingPool) -> list[int]:
    spelled = {tuple(row): item for item, row in enumerate(pool.item_tokens)}
    assert batch.labels is not None
    return [spelled[tuple(row[row != -100].tolist())] for row in batch.labels]


@pytest.mark.parametrize("task", TASKS)
def test_a_batch_depends_on_seed_and_number_alone(pool, task):
    later = pool.batch(task, 5, 8)
    for number in (9, 0, 2):
        pool.batch(task, number, 8)
    assert same(pool.batch(task, 5, 8), later)
    assert not same(pool.batch(task, 6, 8), later)
    assert not same(replace(pool, seed=4).batch(task, 5, 8), later)


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
    assert same(pool.batch("direct", 0, 2, slice(2, None, 3)), whole)


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


def test_sequential_targets_follow_a_segment_of_the_history(pool):
    starts = set()
    for number in range(20):
        batch = pool.batch("sequential", number, 8)
        for (user, segment), target in zip(rows_of(batch), targets(batch, pool), strict=True):
            history = pool.histories[user].tolist()
            end = history.index(target)
            assert 1 <= len(segment) <= 4
            assert history[end - len(segment) : end] == segment
            starts.add(end - len(segment))
    assert len(starts) > 2, "random segments start anywhere"


def test_whole_segments_end_with_the_last_train_item(pool):
    batch = replace(pool, segments="whole").batch("sequential", 0, 8)
    users = batch.user.numpy()
    for row, user in enumerate(users):
        last = pool.item_tokens[pool.histories[user][-1]]
        labels = batch.labels[row]
        assert labels[labels >= 0].tolist() == last.tolist()


def test_prefix_segments_hold_all_that_fits(pool):
    batch = replace(pool, segments="prefix").batch("sequential", 0, 8)
    for (user, segment), target in zip(rows_of(batch), targets(batch, pool), strict=True):
        history = pool.histories[user].tolist()
        end = history.index(target)
        assert segment == history[max(0, end - 4) : end]


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
    table = pool.writer.table
    unknown = table.tokens_of(table.unknown_user).tolist()
    hidden = replace(pool, user_dropout=0.3)
    rows = [row for n in range(40) for row in hidden.batch("direct", n, 8).input_ids.tolist()]
    share = np.mean([row[: len(unknown)] == unknown for row in rows])
    assert share == pytest.approx(0.3, abs=0.08)


def test_wordings_at_their_rate():
    rng = np.random.default_rng(0)
    drawn = [Wordings(0.25).draw("direct", rng) for _ in range(400)]
    assert np.mean([w == SHORT_WORDING["direct"] for w in drawn]) == pytest.approx(0.75, abs=0.07)
    assert set(drawn) == {SHORT_WORDING["direct"], *WORDINGS["direct"]}
    assert Wordings(0.25).for_inference("direct") == SHORT_WORDING["direct"]
    assert Wordings(1.0).for_inference("direct") == WORDINGS["direct"][0]


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
