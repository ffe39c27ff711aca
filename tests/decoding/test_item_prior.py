"""Priors of items inside the prefix tree: scored, searched and trained on alike."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edgewise.decoding import beam_search, score_candidates
from edgewise.decoding.item_prior import continuation_bonus, node_bonus


@pytest.fixture
def pointed(table, prompts) -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    return 4 * torch.randn(len(prompts.hidden), len(table), generator=generator)


@pytest.fixture
def exhaustive(t5, prompts, table, pointed) -> np.ndarray:
    everything = [np.arange(len(table))] * len(prompts.hidden)
    arguments = (t5, prompts.hidden, prompts.mask, table, everything)
    return np.array(score_candidates(*arguments, pointed_items=pointed))


def test_a_nodes_bonus_sums_up_the_items_below_it(table, pointed) -> None:
    trie = table.trie
    bonus = node_bonus(trie, pointed).numpy()
    for node in range(trie.num_nodes):
        below = [i for i in range(trie.num_items) if node in trie.item_paths[i]]
        expected = np.logaddexp.reduce(pointed[:, below].numpy(), axis=1)
        np.testing.assert_allclose(bonus[:, node], expected, atol=1e-4)


def test_likelihoods_of_the_catalogue_sum_to_one(exhaustive) -> None:
    np.testing.assert_allclose(np.exp(exhaustive).sum(axis=1), 1, atol=1e-4)


def test_a_flat_language_model_leaves_a_softmax_of_bonuses(t5, prompts, table, pointed) -> None:
    with torch.no_grad():
        t5.lm_head.weight.zero_()
    everything = [np.arange(len(table))] * len(prompts.hidden)
    arguments = (t5, prompts.hidden, prompts.mask, table, everything)
    scores = np.array(score_candidates(*arguments, pointed_items=pointed))
    np.testing.assert_allclose(scores, pointed.log_softmax(dim=1).numpy(), atol=1e-4)


def test_some_candidates_score_as_they_do_among_all(t5, prompts, table, pointed, exhaustive):
    some = [np.array([3, 50, 7])] * (len(prompts.hidden) - 1) + [np.array([], dtype=np.int64)]
    scores = score_candidates(
        t5, prompts.hidden, prompts.mask, table, some, pointed_items=pointed, prompts_at_once=2
    )
    for row, items in enumerate(some):
        np.testing.assert_allclose(scores[row], exhaustive[row, items], atol=1e-4)


def test_a_wide_beam_equals_exhaustive_scoring(t5, prompts, table, pointed, exhaustive) -> None:
    size = len(table)
    seen = [np.arange(row) for row in range(len(prompts.hidden))]
    items, scores = beam_search(
        t5, prompts.hidden, prompts.mask, table.trie, size, 9, seen, pointed=pointed
    )
    for row, known in enumerate(seen):
        allowed = np.setdiff1d(np.arange(size), known)
        best = allowed[np.argsort(-exhaustive[row, allowed])][:9]
        np.testing.assert_array_equal(items[row], best)
        np.testing.assert_allclose(scores[row], exhaustive[row, best], atol=1e-4)


def test_a_training_target_gets_the_likelihood_that_is_searched(
    t5, prompts, table, pointed, exhaustive
) -> None:
    targets = np.array([0, 11, 25, 40, len(table) - 1])
    labels = torch.from_numpy(np.where(table.masked_tokens()[targets] < 0, -100, 0))
    labels = labels + torch.from_numpy(table.tokens[targets]) * (labels == 0)
    bonus = node_bonus(table.trie, pointed)
    with torch.no_grad():
        logits = t5(
            encoder_outputs=(prompts.hidden,), attention_mask=prompts.mask, labels=labels
        ).logits
    logits = logits + continuation_bonus(table.trie, labels, bonus, logits.shape[2])
    steps = torch.nn.functional.cross_entropy(
        logits.transpose(1, 2), labels, reduction="none", ignore_index=-100
    )
    found = -steps.sum(dim=1).numpy()
    np.testing.assert_allclose(found, exhaustive[np.arange(len(targets)), targets], atol=1e-4)
