from __future__ import annotations

import numpy as np
import pytest
import torch

from edgewise.decoding import score_candidates
from edgewise.decoding.exact_scores import build_forest


@pytest.mark.parametrize("feed_forward", ["relu", "gated-gelu"])
@pytest.mark.parametrize("tied", [True, False])
def test_equals_each_candidate_alone(
    make_model, encode, table, lists, library_score, feed_forward, tied
) -> None:
    t5 = make_model(feed_forward, tied)
    prompts = encode(t5)
    scores = score_candidates(t5, prompts.hidden, prompts.mask, table, lists)
    assert [len(row) for row in scores] == [len(row) for row in lists]
    for row, items in enumerate(lists):
        alone = [
            library_score(t5, prompts, row, table.tokens[item, : table.lengths[item]])
            for item in items
        ]
        np.testing.assert_allclose(scores[row], alone, atol=1e-4, rtol=1e-6)


def test_likelihoods_of_a_whole_tree_sum_to_at_most_one(t5, prompts, table) -> None:
    everything = [np.arange(len(table))] * len(prompts.hidden)
    total = np.exp(score_candidates(t5, prompts.hidden, prompts.mask, table, everything)).sum(
        axis=1
    )
    assert np.all((total > 0) & (total < 1))


def test_order_and_company_do_not_matter(t5, prompts, table, lists) -> None:
    scores = score_candidates(t5, prompts.hidden, prompts.mask, table, lists)
    turned = score_candidates(t5, prompts.hidden, prompts.mask, table, [row[::-1] for row in lists])
    alone = score_candidates(t5, prompts.hidden, prompts.mask, table, [row[:1] for row in lists])
    for row, (first, second, third) in enumerate(zip(scores, turned, alone, strict=True)):
        np.testing.assert_allclose(first, second[::-1], atol=1e-4, err_msg=str(row))
        np.testing.assert_allclose(first[:1], third, atol=1e-4, err_msg=str(row))


@pytest.mark.parametrize("prompts_at_once", [1, 2, 100])
def test_blocks_of_prompts_do_not_matter(t5, prompts, table, lists, prompts_at_once) -> None:
    whole = score_candidates(t5, prompts.hidden, prompts.mask, table, lists)
    parts = score_candidates(
        t5, prompts.hidden, prompts.mask, table, lists, prompts_at_once=prompts_at_once
    )
    for first, second in zip(whole, parts, strict=True):
        np.testing.assert_allclose(first, second, atol=1e-4)


def test_a_repeated_candidate_gets_one_score(t5, prompts, table) -> None:
    scores = score_candidates(
        t5, prompts.hidden, prompts.mask, table, [np.array([4, 9, 4])] * len(prompts.hidden)
    )
    for row in scores:
        assert row[0] == row[2] != row[1]


def test_no_candidates_at_all(t5, prompts, table) -> None:
    scores = score_candidates(
        t5, prompts.hidden, prompts.mask, table, [np.empty(0)] * len(prompts.hidden)
    )
    assert [row.shape for row in scores] == [(0,)] * len(prompts.hidden)


def test_a_forest_decodes_no_node_twice_and_no_leaf(table, lists) -> None:
    forest = build_forest(table.trie, lists, 0, torch.device("cpu"))
    prefixes = {
        (row, tuple(table.tokens[item, :end]))
        for row, items in enumerate(lists)
        for item in items
        for end in range(table.lengths[item])
    }
    assert len(forest.nodes.tokens) == len(prefixes)
    assert bool((forest.edge_parent.diff() >= 0).all())


def test_among_candidates_the_likelihoods_of_all_candidates_sum_to_one(
    t5, prompts, table, lists
) -> None:
    scores = score_candidates(t5, prompts.hidden, prompts.mask, table, lists, among_candidates=True)
    for row in scores:
        if len(row):
            np.testing.assert_allclose(np.exp(row).sum(), 1.0, atol=1e-5)


def test_among_candidates_each_step_is_normalised_over_the_ways_on(t5, prompts, table) -> None:
    """Two candidates: the first step at which they part decides between them alone."""
    first, second = table.tokens[0], table.tokens[1]
    parting = int(np.argmax(first != second))
    start = torch.tensor([[0, *first[:parting]]])
    with torch.no_grad():
        logits = t5(
            encoder_outputs=(prompts.hidden[:1],),
            attention_mask=prompts.mask[:1],
            decoder_input_ids=start,
        ).logits[0, -1]
    expected = logits[torch.tensor([first[parting], second[parting]])].log_softmax(0)
    scores = score_candidates(
        t5, prompts.hidden[:1], prompts.mask[:1], table, [np.array([0, 1])], among_candidates=True
    )
    np.testing.assert_allclose(scores[0], expected, atol=1e-4)


def test_decoder_shift_is_added_to_every_decoder_input(t5, prompts, table) -> None:
    shift = torch.randn(len(prompts.hidden), t5.config.d_model)
    row, item = 3, 5
    spelling = torch.from_numpy(table.tokens[item, : table.lengths[item]])
    inputs = t5.decoder.embed_tokens(torch.cat([torch.tensor([0]), spelling[:-1]]))
    with torch.no_grad():
        logits = t5(
            encoder_outputs=(prompts.hidden[row : row + 1],),
            attention_mask=prompts.mask[row : row + 1],
            decoder_inputs_embeds=(inputs + shift[row])[None],
        ).logits[0]
    expected = logits.log_softmax(-1).gather(1, spelling[:, None]).sum()
    lists = [np.array([item, 2, 0])] * len(prompts.hidden)
    shifted = score_candidates(t5, prompts.hidden, prompts.mask, table, lists, decoder_shift=shift)
    plain = score_candidates(t5, prompts.hidden, prompts.mask, table, lists)
    np.testing.assert_allclose(shifted[row][0], expected, atol=1e-4)
    assert abs(shifted[row][0] - plain[row][0]) > 1e-3
