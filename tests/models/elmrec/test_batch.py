"""Assembled prompts equal tokenising the whole string; parts of many stay within bounds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.models.elmrec.conftest import NUM_ITEMS, NUM_USERS
from tests.oracles.prompts import nodes_and_order, written

from edgewise.models.elmrec.batch import assemble, bounded_rows
from edgewise.models.elmrec.prompts import SHORT_TEMPLATE, TEMPLATES, PromptWriter
from edgewise.recommender import TASKS

ALL = [(task, template) for task in TASKS for template in (SHORT_TEMPLATE[task], *TEMPLATES[task])]


def random_rows(rng: np.random.Generator, count: int, longest: int) -> list[np.ndarray]:
    lengths = rng.integers(0, longest + 1, count)
    lengths[0] = 0
    return [rng.integers(NUM_ITEMS, size=length) for length in lengths]


def prompts_and_texts(table, task, template, rng):
    writer = PromptWriter(table, max_history=20)
    users = rng.integers(NUM_USERS, size=6)
    users[1] = -1
    if task == "explanation":
        items = rng.integers(NUM_ITEMS, size=6)
        texts = [written(template, u, item=[i]) for u, i in zip(users, items, strict=True)]
        return writer.explanation(users, items, template), texts
    rows = random_rows(rng, 6, longest=20)
    slot = "history" if task == "sequential" else "candidates"
    texts = [written(template, u, **{slot: row}) for u, row in zip(users, rows, strict=True)]
    write = writer.sequential if task == "sequential" else writer.direct
    return write(users, rows, template), texts


@pytest.mark.parametrize(("task", "template"), ALL)
def test_assembly_equals_tokenising_the_string(table, tokenizer, task, template):
    rng = np.random.default_rng(len(template))
    for _ in range(3):
        prompts, texts = prompts_and_texts(table, task, template, rng)
        batch = assemble(table, task, prompts)
        for row, text in enumerate(texts):
            ids, nodes, order = nodes_and_order(tokenizer, text, NUM_USERS, NUM_ITEMS)
            length = int(batch.attention_mask[row].sum())
            assert batch.input_ids[row, :length].tolist() == ids
            assert batch.node[row, :length].tolist() == nodes
            assert batch.order[row, :length].tolist() == order


def test_padding_belongs_to_nobody(table):
    writer = PromptWriter(table)
    prompts = writer.direct(np.array([4, 5]), [np.arange(9), np.arange(1)])
    batch = assemble(table, "direct", prompts)
    padded = batch.attention_mask == 0
    assert padded[1].any() and not padded[0].any()
    assert (batch.input_ids[padded] == table.pad_id).all()
    assert (batch.node[padded] == -1).all() and (batch.order[padded] == 0).all()


def test_a_batch_is_its_rows(table):
    rng = np.random.default_rng(1)
    writer = PromptWriter(table)
    prompts = writer.sequential(np.arange(5), random_rows(rng, 5, 9), TEMPLATES["sequential"][0])
    together = assemble(table, "sequential", prompts)
    for row, prompt in enumerate(prompts):
        alone = assemble(table, "sequential", [prompt])
        length = alone.input_ids.shape[1]
        for name in ("input_ids", "node", "order", "attention_mask"):
            assert torch.equal(getattr(together, name)[row, :length], getattr(alone, name)[0])


def test_a_user_spelled_as_unknown_keeps_the_graph_node(table):
    prompts = PromptWriter(table).direct(np.array([7, 7]), [np.array([1, 2])] * 2)
    hidden = np.array([True, False])
    batch = assemble(table, "direct", prompts, spelled_unknown=hidden)
    unknown = table.tokens[table.unknown_user]
    assert batch.input_ids[0, : len(unknown)].tolist() == unknown.tolist()
    known = table.tokens[7]
    assert batch.input_ids[1, : len(known)].tolist() == known.tolist()
    assert set(batch.node[0].tolist()) == set(batch.node[1].tolist()) == {7, 1301, 1302}


def test_targets_are_padded_with_minus_100(table):
    prompts = PromptWriter(table).direct(np.array([0, 1]), [np.array([1])] * 2)
    targets = [np.array([5, 6, 1]), np.array([1])]
    batch = assemble(table, "direct", prompts, targets)
    assert batch.labels is not None
    assert batch.labels.tolist() == [[5, 6, 1], [1, -100, -100]]
    assert batch.edge_fold.tolist() == [-1, -1]


@given(
    st.lists(st.integers(1, 50), max_size=60),
    st.integers(1, 200),
    st.none() | st.integers(1, 9),
)
def test_parts_cover_all_rows_within_the_budget(lengths, budget, max_rows):
    parts = list(bounded_rows(lengths, budget, max_rows))
    assert [row for part in parts for row in part] == list(range(len(lengths)))
    for part in parts:
        padded = len(part) * max(lengths[row] for row in part)
        assert len(part) == 1 or padded <= budget
        assert max_rows is None or len(part) <= max_rows


def test_parts_are_as_large_as_fits():
    assert list(bounded_rows([2, 2, 2, 9, 1], 9, None)) == [range(0, 3), range(3, 4), range(4, 5)]
    assert list(bounded_rows([1] * 5, 100, 2)) == [range(0, 2), range(2, 4), range(4, 5)]


def test_a_batch_counts_its_prompts(table):
    batch = assemble(table, "direct", PromptWriter(table).direct(np.arange(3), [np.arange(2)] * 3))
    assert len(batch) == 3 and len(batch.take(slice(1, None))) == 2
    assert batch.to(torch.device("meta")).input_ids.device.type == "meta"
